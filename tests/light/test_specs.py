"""Specs: what a plugin says of its contributions, checked when it is said."""

from __future__ import annotations

import dataclasses

import pydantic
import pytest

from tfbdl.config import Config
from tfbdl.errors import SpecError
from tfbdl.specs import Capability, EngineSpec, ModelSpec, PanelSpec, PriorSpec, RunSpec


def prior(**changes: object) -> PriorSpec:
    return PriorSpec(**{"name": "p", "summary": "A prior.", "factory": "a.b:C", **changes})


def test_spec_accepts_an_address_or_a_callable() -> None:
    assert prior().factory == "a.b:C"
    assert prior(factory=dict).factory is dict


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Normal"}, "'Normal' is not a name."),
        ({"name": "1st"}, "'1st' is not a name."),
        ({"name": None}, "None is not a name."),
        ({"summary": "two\nlines"}, "the summary must be one line"),
        ({"summary": " "}, "the summary must be one line"),
        ({"factory": "a.b.C"}, "Received: 'a.b.C'."),
        ({"factory": 3}, "Received: 3."),
        ({"config": int}, "must be a subclass of tfbdl.Config"),
    ],
)
def test_spec_refuses_what_is_malformed(changes: dict, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        prior(**changes)
    assert message in str(caught.value)


def test_spec_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prior().name = "q"


def test_model_spec_turns_words_into_capabilities_and_names_the_nearest() -> None:
    common = {"name": "m", "summary": "M.", "factory": "a:b", "task": "t", "default_engine": "e"}
    assert ModelSpec(**common, capabilities={"em"}).capabilities == {Capability.EM}
    with pytest.raises(
        SpecError, match=r"No capability is named 'trainabel'\. Did you mean 'trainable'\?"
    ):
        ModelSpec(**common, capabilities={"trainabel"})


def test_engine_fits_a_model_that_offers_one_alternative_whole() -> None:
    engine = EngineSpec(
        name="e",
        summary="E.",
        factory="a:b",
        needs=({"trainable"}, {"log_joint", "gaussian_prior"}),
    )
    assert engine.fits({Capability.TRAINABLE, Capability.NETWORK})
    assert engine.fits({Capability.LOG_JOINT, Capability.GAUSSIAN_PRIOR})
    assert not engine.fits({Capability.LOG_JOINT})


@pytest.mark.parametrize("needs", [(), frozenset({"em"}), "em"])
def test_engine_spec_refuses_needs_that_are_no_alternatives(needs: object) -> None:
    with pytest.raises(SpecError, match="needs must be a tuple of sets"):
        EngineSpec(name="e", summary="E.", factory="a:b", needs=needs)


def test_panel_spec_checks_both_addresses() -> None:
    with pytest.raises(SpecError, match="Received: 'nowhere'"):
        PanelSpec(name="p", models=["m"], compute="a:b", show="nowhere")
    assert PanelSpec(name="p", models=["m"], compute="a:b", show="a:c").models == ("m",)


def test_run_spec_goes_through_json_unchanged() -> None:
    run = RunSpec(model="bbb", data="yacht", model_options={"hidden": [50]}, seed=2**62)
    assert RunSpec.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_run_spec_refuses_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(pydantic.ValidationError):
        RunSpec(model="bbb", seed=seed)


def test_options_of_a_spec_default_to_none() -> None:
    assert issubclass(prior().config, Config)
    assert not prior().config.model_fields
