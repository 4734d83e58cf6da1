"""Infinitely wide networks as Gaussian processes, and Gaussian processes of other kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl
from tfbdl.lazy import on_demand

from .config import GPOptions, NNGPOptions, SparseGPOptions, SparseNNGPOptions
from .depth_panel import DepthControls
from .panel import NetworkControls

if TYPE_CHECKING:
    from . import layers
    from .classification import GPClassifier
    from .figures import mean_field_figure
    from .gradient_flow import GradientFlow
    from .kernel import Kernel
    from .mean_field import MeanField, edge_of_chaos
    from .phase_diagram import edge_curve, phases
    from .regression import GPRegressor
    from .sparse import SparseGPRegressor
    from .sparse_model import SparseProcess

__all__ = [
    "GPClassifier",
    "GPRegressor",
    "GradientFlow",
    "Kernel",
    "MeanField",
    "SparseGPRegressor",
    "SparseProcess",
    "edge_curve",
    "edge_of_chaos",
    "layers",
    "mean_field_figure",
    "phases",
]

_HEAVY = {
    "GPClassifier": "classification",
    "GPRegressor": "regression",
    "GradientFlow": "gradient_flow",
    "Kernel": "kernel",
    "MeanField": "mean_field",
    "SparseGPRegressor": "sparse",
    "SparseProcess": "sparse_model",
    "edge_curve": "phase_diagram",
    "edge_of_chaos": "mean_field",
    "layers": None,
    "mean_field_figure": "figures",
    "phases": "phase_diagram",
}

_SPARSE = (
    "Titsias 2009, Variational learning of inducing variables in sparse Gaussian processes",
    "Hensman, Fusi & Lawrence 2013, Gaussian processes for big data",
    "Hensman, Matthews & Ghahramani 2015, Scalable variational Gaussian process classification",
)


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    both = frozenset({Capability.EXACT, Capability.LOG_JOINT})
    trained = frozenset({Capability.TRAINABLE, Capability.LOG_JOINT})
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
        ModelSpec(
            name="sparse_nngp",
            summary="Infinitely wide network by inducing points: many rows, numbers or classes",
            factory="tfbdl_nngp.sparse_factory:build_sparse_nngp",
            config=SparseNNGPOptions,
            task="supervised",
            capabilities=trained,
            default_engine="variational",
            references=(*_SPARSE, "Lee et al. 2018, Deep neural networks as Gaussian processes"),
        ),
        ModelSpec(
            name="sparse_gp",
            summary="Gaussian process by inducing points: many rows, numbers or classes",
            factory="tfbdl_nngp.sparse_factory:build_sparse_gp",
            config=SparseGPOptions,
            task="supervised",
            capabilities=trained,
            default_engine="variational",
            references=_SPARSE,
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """Demonstrations: functions of infinitely wide networks, and how deep signals reach in them."""
    return (
        PanelSpec(
            name="wide_network",
            summary="Networks of infinite width: functions before and after points are seen",
            compute="tfbdl_nngp.network_shown:wide_network",
            show="tfbdl_nngp.panel:show_network",
            controls=NetworkControls,
        ),
        PanelSpec(
            name="depth_of_networks",
            summary="Order, chaos and the edge between them: how deep signals reach in random nets",
            compute="tfbdl_nngp.depth_shown:depth_of_networks",
            show="tfbdl_nngp.depth_panel:show_depth",
            controls=DepthControls,
        ),
    )


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
