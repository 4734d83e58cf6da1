"""Hidden Markov models: a Markov chain of states seen through noise (Rabiner 1989)."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import HMMOptions
from .panel import StatesControls


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the model."""
    return (
        ModelSpec(
            name="hmm",
            summary="Hidden Markov model with Gaussian or categorical observations",
            factory="tfbdl_hmm.model:HiddenMarkovModel",
            config=HMMOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EM, Capability.CONDITIONALS, Capability.LOG_JOINT}),
            default_engine="em",
            missing_values=True,
            references=(
                "Rabiner 1989, A Tutorial on Hidden Markov Models, Proceedings of the IEEE 77",
                "Scott 2002, Bayesian Methods for Hidden Markov Models, JASA 97",
            ),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of the states."""
    return (
        PanelSpec(
            name="states",
            summary="The state of each step of a sequence, decoded, filtered and smoothed",
            compute="tfbdl_hmm.states_shown:states",
            show="tfbdl_hmm.panel:show_states",
            controls=StatesControls,
            models=("hmm",),
        ),
    )
