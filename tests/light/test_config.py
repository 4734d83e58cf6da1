"""Options: declared once, checked, and read alike by Python, the command line and forms."""

from __future__ import annotations

from typing import Literal

import pytest

from tfbdl.config import SET_BY_SHOW, Config, Field, fields_of, from_text, make
from tfbdl.errors import OptionsError, SpecError


class Options(Config):
    draws: int = Field(1000, ge=1, le=10_000, description="Draws per chain.")
    step_size: float | None = Field(None, gt=0, description="Step size; none: adapted.")
    mass_matrix: Literal["diagonal", "dense"] = Field("diagonal", description="Kind of metric.")
    hidden: tuple[int, ...] = Field((50,), description="Units of each layer.")
    names: tuple[str, ...] | None = Field(None, description="Columns.")
    thin: bool = Field(False, description="Whether to thin.")
    label: str = Field(description="A word that must be given.")


def test_fields_of_describes_each_option_in_order() -> None:
    found = {field.name: field for field in fields_of(Options)}
    assert list(found) == [
        "draws", "step_size", "mass_matrix", "hidden", "names", "thin", "label"
    ]  # fmt: skip
    draws, step = found["draws"], found["step_size"]
    assert (draws.kind, draws.low, draws.high, draws.low_open) == ("int", 1, 10_000, False)
    assert (step.kind, step.optional, step.low, step.low_open) == ("float", True, 0, True)
    assert found["mass_matrix"].choices == ("diagonal", "dense")
    assert (found["hidden"].kind, found["hidden"].item) == ("list", "int")
    assert found["label"].required
    assert not draws.required


def test_fields_of_tells_what_a_picture_alone_sets() -> None:
    class Controls(Config):
        size: int = Field(1, description="Has a widget.")
        place: float = Field(0.0, description="Has none.", json_schema_extra=SET_BY_SHOW)
        other: int = Field(1, description="Has one.", json_schema_extra={"examples": [2]})

    found = {field.name: field.set_by_show for field in fields_of(Controls)}
    assert found == {"size": False, "place": True, "other": False}


def test_brackets_around_a_list_may_be_typed() -> None:
    typed = from_text(Options, {"hidden": "[100, 50]"})
    assert make(Options, {**typed, "label": "a"}).hidden == (100, 50)


def test_texts_that_hold_commas_may_be_typed_as_json() -> None:
    typed = from_text(Options, {"names": '["price, net", "[b]"]', "hidden": "[1]"})
    assert typed == {"names": ("price, net", "[b]"), "hidden": ("1",)}
    assert from_text(Options, {"names": "[a, 1]"}) == {"names": ("a", "1")}


def test_make_turns_a_list_from_json_into_a_tuple() -> None:
    assert make(Options, {"hidden": [100, 50], "label": "a"}).hidden == (100, 50)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"drwas": 3, "label": "a"}, "The engine options have no 'drwas'. Did you mean 'draws'?"),
        (
            {"draws": 0, "label": "a"},
            "'draws' of the engine options must be an integer of at least 1",
        ),
        ({"draws": "many", "label": "a"}, "Received: 'many'."),
        ({"step_size": 0.0, "label": "a"}, "a finite number above 0, or none. Received: 0.0."),
        ({"step_size": float("nan"), "label": "a"}, "Received: nan."),
        ({"mass_matrix": "full", "label": "a"}, "one of 'diagonal', 'dense'. Received: 'full'."),
        ({}, "'label' of the engine options must be a text. It was not given."),
    ],
)
def test_make_says_what_was_expected_and_received(values: dict, message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        make(Options, values, "engine options")
    assert message in str(caught.value)


def test_options_are_frozen() -> None:
    options = make(Options, {"label": "a"})
    with pytest.raises(ValueError, match="frozen"):
        options.draws = 5


def test_from_text_reads_none_and_lists_and_leaves_the_rest() -> None:
    values = from_text(
        Options, {"step_size": "none", "hidden": "100, 50", "names": "a,b", "other": "x"}
    )
    assert values == {
        "step_size": None, "hidden": ("100", "50"), "names": ("a", "b"), "other": "x"
    }  # fmt: skip
    del values["other"]
    assert make(Options, {**values, "label": "a"}).hidden == (100, 50)


def test_fields_of_refuses_a_field_without_description() -> None:
    class Silent(Config):
        draws: int = 3

    with pytest.raises(SpecError, match=r"Silent\.draws has no description"):
        fields_of(Silent)


def test_fields_of_refuses_a_type_that_no_form_can_show() -> None:
    class Mapped(Config):
        table: dict[str, int] = Field({}, description="A table.")

    with pytest.raises(SpecError, match="a command line and a form cannot show"):
        fields_of(Mapped)


def test_fields_of_refuses_what_is_no_config() -> None:
    with pytest.raises(SpecError, match=r"must be a subclass of tfbdl\.Config"):
        fields_of(dict)  # type: ignore[arg-type]
