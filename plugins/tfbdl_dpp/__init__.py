"""Determinantal point processes: diverse subsets, mini-batches, smaller networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl
from tfbdl.lazy import on_demand

from .config import KDPPOptions, SizedDPPOptions
from .net_config import DPPNetOptions
from .panel import SubsetControls

if TYPE_CHECKING:
    from .batches import DPPBatches
    from .dpp import DPP
    from .greedy import greedy_map
    from .k_dpp import KDPP
    from .net import DPPNet
    from .pruning import prune
    from .selection import select

__all__ = ["DPP", "KDPP", "DPPBatches", "DPPNet", "greedy_map", "prune", "select"]

_HEAVY = {
    "DPP": "dpp",
    "DPPBatches": "batches",
    "DPPNet": "net",
    "KDPP": "k_dpp",
    "greedy_map": "greedy",
    "prune": "pruning",
    "select": "selection",
}


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


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
