"""Options that are vectors and matrices: plain values that go through JSON and the command line."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest

from tfbdl._cli_views import run_text
from tfbdl.arrays import to_plain
from tfbdl.config import Array, Arrays, Config, Field, expected_text, fields_of, from_text, make
from tfbdl.errors import OptionsError, SpecError
from tfbdl.specs import RunSpec


class Options(Config):
    m0: Array | None = Field(None, description="A vector.")
    W0: Array = Field(1.0, description="A matrix, or a number.")
    initial: Literal["auto", "random"] | Arrays = Field("auto", description="Where to begin.")


def test_fields_say_what_they_admit() -> None:
    fields = {field.name: field for field in fields_of(Options)}
    assert fields["m0"].kind == "array"
    assert fields["m0"].optional
    assert expected_text(fields["m0"]) == "a number or nested lists of numbers, or none"
    assert fields["initial"].kind == "choice"
    assert fields["initial"].item == "arrays"
    assert expected_text(fields["initial"]) == (
        "one of 'auto', 'random', or a mapping from names to nested lists of numbers"
    )


def test_arrays_become_nested_tuples_that_json_keeps() -> None:
    made = make(Options, {"m0": np.arange(2), "W0": np.eye(2), "initial": {"w": np.ones(2)}})
    assert made.m0 == (0.0, 1.0)
    assert made.W0 == ((1.0, 0.0), (0.0, 1.0))
    assert made.initial == {"w": (1.0, 1.0)}
    stored = json.loads(json.dumps(made.model_dump(mode="json")))
    assert make(Options, stored) == made


def test_texts_of_a_command_line_are_json() -> None:
    texts = {"m0": "[0, 1]", "W0": "2.5", "initial": '{"w": [1, 2]}'}
    made = make(Options, from_text(Options, texts))
    assert (made.m0, made.W0, made.initial) == ((0.0, 1.0), 2.5, {"w": (1.0, 2.0)})
    named = make(Options, from_text(Options, {"m0": "none", "initial": "random"}))
    assert (named.m0, named.initial) == (None, "random")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m0": [[1, 2], [3]]}, "lists of equal lengths"),
        ({"m0": []}, "at least one number"),
        ({"m0": [1.0, float("nan")]}, "Expected finite numbers, but nan is none"),
        ({"m0": [True]}, "Expected finite numbers, but True is none"),
        ({"m0": "a"}, "a number or nested lists of numbers, or none"),
        ({"W0": None}, "must be a number or nested lists of numbers"),
        ({"initial": "automatic"}, "one of 'auto', 'random', or a mapping"),
        ({"initial": {"w": "a"}}, "one of 'auto', 'random', or a mapping"),
        ({"initial": {"w": [float("nan")]}}, "Expected finite numbers, but nan is none"),
    ],
)
def test_what_is_no_array_is_refused(values: dict, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make(Options, values)


def test_a_run_in_plain_values_takes_arrays_as_lists() -> None:
    options = {"initial": {"means": np.zeros((1, 2))}, "steps": np.int64(3)}
    run = RunSpec(model="gmm", engine_options=options)
    assert run.engine_options == {"initial": {"means": [[0.0, 0.0]]}, "steps": 3}
    assert RunSpec.model_validate_json(run.model_dump_json()) == run


def test_to_plain_leaves_other_values_alone() -> None:
    value = {"a": (1, "x", None), "b": [True]}
    assert to_plain(value) == value


def test_other_unions_are_refused_where_they_are_declared() -> None:
    class Wrong(Config):
        either: int | Array = Field(1, description="A number or a matrix.")

    with pytest.raises(SpecError, match="Array or Arrays"):
        fields_of(Wrong)


def test_a_run_shows_arrays_as_they_are_typed() -> None:
    spec = RunSpec(model="bayesian_gmm", model_options={"W0": np.eye(2), "m0": [0.5, 1]})
    text = run_text(spec)
    assert "--model.W0 [[1.0, 0.0], [0.0, 1.0]]" in text
    assert "--model.m0 [0.5, 1]" in text
