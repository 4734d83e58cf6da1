"""Potts fields: images and other grids in segments, of a known or an unknown number of labels."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, hookimpl

from .config import DirichletPottsOptions, PottsOptions


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    yield ModelSpec(
        name="potts",
        summary="Segments of an image: a Potts field over normal colours, labels known in number",
        factory="tfbdl_potts.model:PottsImage",
        config=PottsOptions,
        task="unsupervised",
        capabilities=frozenset({Capability.POTTS}),
        default_engine="swendsen_wang",
        references=(
            "Geman & Geman 1984, Stochastic Relaxation, IEEE PAMI 6",
            "Swendsen & Wang 1987, Nonuniversal critical dynamics in Monte Carlo, PRL 58",
        ),
    )
    yield ModelSpec(
        name="dirichlet_potts",
        summary="Segments of an image, as many as it asks for: a Potts field, a Dirichlet process",
        factory="tfbdl_potts.model:DirichletPottsImage",
        config=DirichletPottsOptions,
        task="unsupervised",
        capabilities=frozenset({Capability.POTTS}),
        default_engine="swendsen_wang",
        references=(
            "Xu, Caron & Doucet 2016, Bayesian nonparametric image segmentation using a "
            "generalised Swendsen-Wang algorithm, arXiv:1602.03048",
        ),
    )
