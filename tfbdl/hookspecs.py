"""The five hooks that a plugin may implement. Each returns specs; none may import TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from .specs import DatasetSpec, EngineSpec, ModelSpec, PanelSpec, PriorSpec

GROUP = "tfbdl"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def tfbdl_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Models: a Bayesian network, an auto-encoder, a mixture."""


@hookspec
def tfbdl_engines() -> Iterable[EngineSpec]:  # type: ignore[empty-body]
    """Inference engines: variational, Monte Carlo, EM, exact."""


@hookspec
def tfbdl_priors() -> Iterable[PriorSpec]:  # type: ignore[empty-body]
    """Priors over the tensors of a model."""


@hookspec
def tfbdl_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Data sets: bundled, from files, or simulated."""


@hookspec
def tfbdl_panels() -> Iterable[PanelSpec]:  # type: ignore[empty-body]
    """Panels of the dashboard for certain models."""
