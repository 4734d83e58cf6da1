"""Restricted Boltzmann machines, trained by contrastive divergence (Hinton 2002)."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import RBMOptions
from .panel import FilterControls


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the model."""
    return (
        ModelSpec(
            name="rbm",
            summary="Restricted Boltzmann machine: features and a density of binary or real rows",
            factory="tfbdl_rbm.model:build",
            config=RBMOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            references=(
                "Hinton 2002, Training Products of Experts by Minimizing Contrastive Divergence",
                "Tieleman 2008, Training Restricted Boltzmann Machines using Approximations to "
                "the Likelihood Gradient",
                "Salakhutdinov & Murray 2008, On the Quantitative Analysis of Deep Belief Networks",
            ),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of the units."""
    return (
        PanelSpec(
            name="filters",
            summary="Hidden units as images, and what Gibbs steps make of noise",
            compute="tfbdl_rbm.filters_shown:filters",
            show="tfbdl_rbm.panel:show_filters",
            controls=FilterControls,
            models=("rbm",),
        ),
    )
