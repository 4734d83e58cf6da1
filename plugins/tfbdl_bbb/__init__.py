"""Bayes by Backprop: nets with a distribution over each weight (Blundell et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import BBBOptions
from .panel import PruningControls


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the model."""
    return (
        ModelSpec(
            name="bbb",
            summary="Dense, convolutional or recurrent net with a posterior over its weights",
            factory="tfbdl_bbb.model:build",
            config=BBBOptions,
            task="supervised",
            capabilities=frozenset(
                {Capability.TRAINABLE, Capability.LOG_JOINT, Capability.NETWORK}
            ),
            default_engine="variational",
            default_prior="normal",
            references=(
                "Blundell et al. 2015, Weight Uncertainty in Neural Networks, arXiv:1505.05424",
                "Fortunato et al. 2017, Bayesian Recurrent Neural Networks, arXiv:1704.02798",
            ),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of the weights."""
    return (
        PanelSpec(
            name="pruning",
            summary="Signal to noise of the weights, and the net without the least of them",
            compute="tfbdl_bbb.weights:pruning",
            show="tfbdl_bbb.panel:show_pruning",
            controls=PruningControls,
            models=("bbb",),
        ),
        PanelSpec(
            name="weight_densities",
            summary="All weights under the prior and under the posterior",
            compute="tfbdl_bbb.weights:densities",
            show="tfbdl_bbb.panel:show_densities",
            models=("bbb",),
        ),
    )
