"""Infinitely wide networks as Gaussian processes, and Gaussian processes of other kernels."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import GPOptions, NNGPOptions
from .panel import NetworkControls

if TYPE_CHECKING:
    from . import layers
    from .classification import GPClassifier
    from .gradient_flow import GradientFlow
    from .kernel import Kernel
    from .mean_field import MeanField, edge_of_chaos
    from .regression import GPRegressor
    from .sparse import SparseGPRegressor

__all__ = [
    "GPClassifier",
    "GPRegressor",
    "GradientFlow",
    "Kernel",
    "MeanField",
    "SparseGPRegressor",
    "edge_of_chaos",
    "layers",
]

_HEAVY = {
    "GPClassifier": "classification",
    "GPRegressor": "regression",
    "GradientFlow": "gradient_flow",
    "Kernel": "kernel",
    "MeanField": "mean_field",
    "SparseGPRegressor": "sparse",
    "edge_of_chaos": "mean_field",
}


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    both = frozenset({Capability.EXACT, Capability.LOG_JOINT})
    return (
        ModelSpec(
            name="nngp",
            summary="Infinitely wide network as a Gaussian process, exactly; classes by regression",
            factory="tfbdl_nngp.model:NNGPModel",
            config=NNGPOptions,
            task="supervised",
            capabilities=both,
            default_engine="exact",
            references=(
                "Lee et al. 2018, Deep neural networks as Gaussian processes",
                "Neal 1996, Bayesian learning for neural networks",
                "Jacot et al. 2018, Neural tangent kernel",
            ),
        ),
        ModelSpec(
            name="gp",
            summary="Gaussian process of a kernel written as sums and products, exactly",
            factory="tfbdl_nngp.model:GPModel",
            config=GPOptions,
            task="supervised",
            capabilities=both,
            default_engine="exact",
            references=(
                "Rasmussen & Williams 2006, Gaussian processes for machine learning, chapters 2, 5",
            ),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """A demonstration: functions of infinitely wide networks."""
    return (
        PanelSpec(
            name="wide_network",
            summary="Networks of infinite width: functions before and after points are seen",
            compute="tfbdl_nngp.network_shown:wide_network",
            show="tfbdl_nngp.panel:show_network",
            controls=NetworkControls,
        ),
    )


def __getattr__(name: str) -> Any:
    """Import what users call when it is first asked for; the hooks need none of it."""
    if name == "layers":
        return importlib.import_module(".layers", __name__)
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HEAVY[name]}", __name__), name)


def __dir__() -> list[str]:
    """The names of this package, those imported on demand too."""
    return sorted({*globals(), *__all__})
