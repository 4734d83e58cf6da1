"""What this plugin provides. TensorFlow is imported when a part is used, not here."""

from __future__ import annotations

from collections.abc import Iterable

import tfbdl

from .config import BarkerOptions, LogisticOptions
from .panel import AcceptanceControls


@tfbdl.hookimpl
def tfbdl_engines() -> Iterable[tfbdl.EngineSpec]:
    """The engine of this plugin."""
    yield tfbdl.EngineSpec(
        name="barker",
        summary="Metropolis-Hastings with Barker's proposal: gradients, and a forgiving step size",
        factory="tfbdl_barker.engine:Barker",
        config=BarkerOptions,
        needs=(frozenset({tfbdl.Capability.LOG_JOINT}),),
        references=("Livingstone and Zanella 2022, The Barker proposal, JRSS B 84",),
    )


@tfbdl.hookimpl
def tfbdl_priors() -> Iterable[tfbdl.PriorSpec]:
    """The prior of this plugin."""
    yield tfbdl.PriorSpec(
        name="logistic",
        summary="Independent logistic elements: heavier tails than a normal, concave log density",
        factory="tfbdl_barker.logistic:Logistic",
        config=LogisticOptions,
    )


@tfbdl.hookimpl
def tfbdl_panels() -> Iterable[tfbdl.PanelSpec]:
    """The panel of this plugin, which the dashboard shows with each run of its engine."""
    yield tfbdl.PanelSpec(
        name="barker_acceptance",
        summary="The acceptance rate of each chain",
        engines=("barker",),
        compute="tfbdl_barker.panel:compute",
        show="tfbdl_barker.panel:show",
        controls=AcceptanceControls,
    )
