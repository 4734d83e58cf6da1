"""Specs: what a plugin says of its contributions, checked when it is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pydantic
import pytest

from tfbdl.config import SET_BY_SHOW, Array, Config, Field
from tfbdl.errors import OptionsError, SpecError
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


class Clicked(Config):
    size: int = Field(1, ge=0, le=5, description="Has a widget.")
    points: Array | None = Field(None, description="Clicked.", json_schema_extra=SET_BY_SHOW)


class NeedsAClick(Config):
    place: float = Field(description="Where.", json_schema_extra=SET_BY_SHOW)


def test_panel_spec_refuses_a_control_that_nothing_can_set_at_first() -> None:
    with pytest.raises(SpecError, match=r"p: the control 'place' is set by show alone.*a default"):
        PanelSpec(name="p", compute="a:b", show="a:c", controls=NeedsAClick)


def test_controls_after_a_picture_are_those_before_with_what_it_set() -> None:
    panel = PanelSpec(name="p", compute="a:b", show="a:c", controls=Clicked)
    assert panel.controls_after({}, None) == {"size": 1, "points": None}
    assert panel.controls_after({"size": 3}, {"points": np.array([[1.0, 2.0]])}) == {
        "size": 3,
        "points": [[1.0, 2.0]],
    }
    before = {"points": [[0, 1]]}
    assert panel.controls_after(before, {"points": None, "size": 2}) == {"size": 2, "points": None}
    assert before == {"points": [[0, 1]]}


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        ({"sizes": 2}, OptionsError, "controls of panel 'p' have no 'sizes'. Did you mean 'size'"),
        ({"size": 9}, OptionsError, "'size' of the controls of panel 'p' must be .* at most 5"),
        ([("size", 2)], SpecError, "show must return None, or a mapping.*Received: a list"),
    ],
)
def test_controls_after_a_picture_are_checked(
    returned: object, error: type[Exception], message: str
) -> None:
    panel = PanelSpec(name="p", compute="a:b", show="a:c", controls=Clicked)
    with pytest.raises(error, match=message):
        panel.controls_after({}, returned)


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
