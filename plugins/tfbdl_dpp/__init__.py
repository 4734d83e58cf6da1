"""Determinantal point processes: diverse subsets, mini-batches, smaller networks."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import KDPPOptions, SizedDPPOptions
from .net_config import DPPNetOptions
from .panel import SubsetControls

_ADDRESSES = {
    "DPP": "dpp",
    "DPPBatches": "batches",
    "DPPNet": "net",
    "KDPP": "k_dpp",
    "greedy_map": "greedy",
    "prune": "pruning",
    "select": "selection",
}
__all__ = ["DPP", "KDPP", "DPPBatches", "DPPNet", "greedy_map", "prune", "select"]


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    both = frozenset({Capability.EXACT, Capability.LOG_JOINT})
    return (
        ModelSpec(
            name="dpp",
            summary="Determinantal point process: diverse subsets of rows, kernels learned",
            factory="tfbdl_dpp.model:DPPModel",
            config=SizedDPPOptions,
            task="unsupervised",
            capabilities=both,
            default_engine="exact",
            references=(
                "Kulesza & Taskar 2012, Determinantal point processes for machine learning",
                "Affandi et al. 2014, Learning the parameters of determinantal point process "
                "kernels",
            ),
        ),
        ModelSpec(
            name="k_dpp",
            summary="k-DPP: subsets of k diverse rows, kernels learned",
            factory="tfbdl_dpp.model:KDPPModel",
            config=KDPPOptions,
            task="unsupervised",
            capabilities=both,
            default_engine="exact",
            references=("Kulesza & Taskar 2011, k-DPPs: fixed-size determinantal point processes",),
        ),
        ModelSpec(
            name="dpp_net",
            summary="k-DPP whose draws come fast and approximately, from a net",
            factory="tfbdl_dpp.net_model:DPPNetModel",
            config=DPPNetOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EXACT}),
            default_engine="exact",
            references=("Mariet et al. 2019, DPPNet, arXiv:1901.02051",),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of a chosen subset."""
    return (
        PanelSpec(
            name="diverse_subset",
            summary="The chosen items, their likeness and their volume, beside random ones",
            compute="tfbdl_dpp.subset_shown:diverse_subset",
            show="tfbdl_dpp.panel:show_subset",
            controls=SubsetControls,
            models=("dpp", "k_dpp", "dpp_net"),
        ),
    )


def __getattr__(name: str) -> Any:
    """Import what users call when it is first asked for; the hooks need none of it."""
    if name not in _ADDRESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ADDRESSES[name]}", __name__), name)


def __dir__() -> list[str]:
    """The names of this package, those imported on demand too."""
    return sorted({*globals(), *__all__})
