"""A form is made of a schema: a widget for each kind, and the options that differ come back."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import forms, option_widgets, plain_text
from tfbdl_dashboard.option_widgets import MISSING, Typed

from tfbdl.config import Array, Arrays, Config, Field, OptionField, fields_of, make


class Every(Config):
    """An option of each kind."""

    switch: bool = Field(False, description="A switch.")
    share: float = Field(0.25, ge=0.0, lt=1.0, description="A share.")
    level: int = Field(3, ge=0, le=10, description="A level.")
    count: int = Field(5, ge=1, description="A count.")
    rate: float = Field(0.0001, gt=0.0, description="A rate.")
    word: str = Field("plain", description="A word.")
    mode: Literal["a", "b"] = Field("a", description="A mode.")
    kernel: Literal[
        "squared_exponential", "matern_three_halves", "matern_five_halves", "rational_quadratic"
    ] = Field("squared_exponential", description="A kernel.")
    hidden: tuple[int, ...] = Field((50, 20), description="A list.")
    names: tuple[str, ...] = Field((), description="Texts.")
    matrix: Array = Field(((1.0, 0.0), (0.0, 1.0)), description="A matrix.")
    starts: Arrays = Field({"m": (1.0,)}, description="Arrays by name.")
    initial: Literal["random", "current"] | Arrays = Field("random", description="A start.")
    width: float | None = Field(None, gt=0.0, description="A width.")
    limit: int | None = Field(7, ge=1, description="A limit.")
    portion: float = Field(0.25, ge=0.0, le=1.0, description="A portion.")


class Needed(Config):
    """Options without defaults."""

    size: int = Field(..., ge=1, description="A size.")
    path: str = Field(..., description="A path.")
    mode: Literal["a", "b"] = Field(..., description="A mode.")


class Pair(Config):
    """Options that must fit together."""

    low: float = Field(0.0, description="The low end.")
    high: float = Field(1.0, description="The high end.")

    def model_post_init(self, context: Any) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


def script(name: str, values: dict, fixed: dict) -> None:  # type: ignore[type-arg]
    """The page under test: one form, and what it returns in the session's state."""
    import streamlit as st
    import test_dashboard_forms as cases
    from tfbdl_dashboard.forms import options_form

    st.session_state["returned"] = options_form(getattr(cases, name), "key", values, fixed=fixed)


def form(
    config: type[Config] = Every,
    values: dict[str, Any] | None = None,
    fixed: dict[str, Any] | None = None,
) -> AppTest:
    arguments = (config.__name__, values or {}, fixed or {})
    shown = AppTest.from_function(script, args=arguments, default_timeout=120).run()
    assert not shown.exception
    return shown


def returned(shown: AppTest) -> dict[str, Any]:
    assert not shown.exception
    return shown.session_state["returned"]


def option(name: str, config: type[Config] = Every) -> OptionField:
    return next(field for field in fields_of(config) if field.name == name)


def test_form_returns_nothing_while_all_is_at_its_default() -> None:
    shown = form()
    assert returned(shown) == {}
    assert not shown.error


@pytest.mark.parametrize(
    ("widget", "name", "typed", "expected"),
    [
        ("toggle", "switch", True, True),
        ("slider", "portion", 0.5, 0.5),
        ("number_input", "share", 0.995, 0.995),
        ("slider", "level", 10, 10),
        ("number_input", "count", 12, 12),
        ("number_input", "rate", 1e-5, 1e-5),
        ("text_input", "word", "none", "none"),
        ("segmented_control", "mode", "b", "b"),
        ("selectbox", "kernel", "rational_quadratic", "rational_quadratic"),
        ("text_input", "hidden", "8, 4,2", [8, 4, 2]),
        ("text_input", "hidden", "", []),
        ("text_input", "names", '["a, b", "c"]', ["a, b", "c"]),
        ("text_area", "matrix", "[[2, 0.5], [0.5, 1]]", [[2.0, 0.5], [0.5, 1.0]]),
        ("text_area", "starts", '{"m": [1], "s": 2}', {"m": [1.0], "s": 2.0}),
    ],
)
def test_each_kind_has_its_widget_and_gives_a_plain_value(
    widget: str, name: str, typed: Any, expected: Any
) -> None:
    shown = form()
    getattr(shown, widget)(key=f"key:{name}").set_value(typed).run()
    assert returned(shown) == {name: expected}
    assert make(Every, returned(shown)).model_dump(mode="json")[name] == expected


def test_optional_number_is_none_until_it_is_wanted() -> None:
    shown = form()
    assert shown.checkbox(key="key:width:none").value is True
    assert "key:width" not in [number.key for number in shown.number_input]
    shown.checkbox(key="key:width:none").uncheck().run()
    shown.number_input(key="key:width").set_value(0.3).run()
    assert returned(shown) == {"width": 0.3}


def test_optional_number_with_a_default_can_be_made_none() -> None:
    shown = form()
    assert shown.number_input(key="key:limit").value == 7
    shown.checkbox(key="key:limit:none").check().run()
    assert returned(shown) == {"limit": None}


def test_choice_that_admits_arrays_takes_them_as_json() -> None:
    shown = form()
    box = shown.selectbox(key="key:initial")
    assert box.options == ["random", "current", option_widgets.AS_ARRAYS]
    box.set_value(option_widgets.AS_ARRAYS).run()
    shown.text_area(key="key:initial:arrays").set_value('{"means": [[0, 1]]}').run()
    assert returned(shown) == {"initial": {"means": [[0.0, 1.0]]}}


def test_what_is_not_admitted_is_marked_and_comes_back_as_it_was_typed() -> None:
    shown = form()
    shown.text_input(key="key:hidden").set_value("8, many").run()
    shown.text_area(key="key:matrix").set_value("[[1, 2], [3]]").run()
    assert len(shown.error) == 2
    assert "a list of int values separated by commas" in shown.error[0].value.replace("\\", "")
    assert set(returned(shown)) == {"hidden", "matrix"}
    assert set(forms.option_errors(Every, returned(shown))) == {"hidden", "matrix"}


def test_options_that_do_not_fit_together_are_said_below_the_form() -> None:
    shown = form(Pair)
    shown.number_input(key="key:low").set_value(2.0).run()
    assert "low must not be above high" in shown.error[0].value
    assert returned(shown) == {"low": 2.0}


def test_required_options_are_left_out_until_they_are_given() -> None:
    shown = form(Needed)
    assert returned(shown) == {}
    assert not shown.error
    shown.number_input(key="key:size").set_value(4).run()
    shown.text_input(key="key:path").set_value("a.csv").run()
    shown.selectbox(key="key:mode").set_value("b").run()
    assert returned(shown) == {"size": 4, "path": "a.csv", "mode": "b"}


def test_values_are_shown_at_first_and_come_back() -> None:
    values = {"switch": True, "rate": 1e-7, "hidden": [3], "width": 2.0, "limit": None}
    shown = form(values=values)
    assert shown.text_input(key="key:hidden").value == "3"
    assert shown.number_input(key="key:width").value == 2.0
    assert returned(shown) == values


def test_values_that_are_not_admitted_any_more_are_left_out_and_named() -> None:
    shown = form(values={"count": 0, "gone": 1, "level": 4})
    assert returned(shown) == {"level": 4}
    assert "count, gone" in shown.warning[0].value


def test_fixed_options_are_neither_drawn_nor_returned() -> None:
    shown = form(Needed, fixed={"path": "a.csv", "mode": "a"})
    assert not shown.text_input
    shown.number_input(key="key:size").set_value(2).run()
    assert returned(shown) == {"size": 2}


def test_many_options_wait_below_and_required_and_preset_ones_do_not() -> None:
    fields = fields_of(Every)
    lead, rest = forms.parted(fields, {"limit": 3})
    assert [field.name for field in lead] == ["switch", "share", "level", "count", "rate", "limit"]
    assert len(lead) + len(rest) == len(fields)
    assert forms.parted(fields[:8], {}) == (list(fields[:8]), [])
    assert [e.label for e in form().expander] == ["More options (10)"]


def test_what_a_plugin_says_is_no_markup() -> None:
    said = "![x](http://a.example/p.png) $x$ **b** :red[c] <b>"
    text = plain_text.escaped(said)
    for mark in "![]()$*:<>":
        assert text.count(mark) == text.count(f"\\{mark}") == said.count(mark)
    assert option_widgets.help_text(option("rate")).replace("\\", "").startswith("A rate.")


@pytest.mark.parametrize(
    ("bounds", "value", "expected"),
    [
        ({"low": 0.0, "high": 1.0}, 0.5, (0.0, 1.0, 0.01)),
        ({"low": 0.0, "high": 1.0, "low_open": True, "high_open": True}, 0.5, None),
        ({"low": 0.0, "high": 1.0, "high_open": True}, 0.5, None),  # 0.999 is admitted
        ({"low": 1e-6, "high": 0.999999}, 0.5, None),
        ({"low": -5.0, "high": 5.0}, 0.0, (-5.0, 5.0, 0.1)),
        ({"low": 0.0, "high": 1.0}, 0.001, None),  # too small for the steps: typed
        ({"low": 0.0, "high": 1.0, "low_open": True}, 1e-9, None),
        ({"low": 1e-10, "high": 1e10}, 1.0, None),
        ({"low": 0.0}, 1.0, None),
    ],
)
def test_slider_keeps_inside_the_bounds(
    bounds: dict[str, Any], value: float, expected: tuple[float, float, float] | None
) -> None:
    field = OptionField(
        name="a", kind="float", item="float", optional=False, default=value, description="A.",
        **bounds,
    )  # fmt: skip
    found = option_widgets.slider_range(field, value)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"low": 0.0, "high": 4.0}, (0, 4)),
        ({"low": 0.0, "high": 4.0, "low_open": True, "high_open": True}, (1, 3)),
        ({"low": 0.5}, (1, None)),
        ({}, (None, None)),
    ],
)
def test_whole_bounds_are_included(bounds: dict[str, Any], expected: tuple[Any, Any]) -> None:
    field = OptionField(
        name="a", kind="int", item="int", optional=False, default=1, description="A.", **bounds
    )
    assert option_widgets.whole_bounds(field) == expected


@pytest.mark.parametrize(("value", "step"), [(0.0, 0.1), (1.0, 0.1), (3e-4, 1e-5), (25.0, 1.0)])
def test_buttons_of_a_number_change_it_by_a_tenth_of_its_magnitude(
    value: float, step: float
) -> None:
    assert math.isclose(option_widgets.number_step(value), step)


def test_read_takes_texts_as_the_command_line_does() -> None:
    typed = {"hidden": Typed("[7]"), "word": "none", "count": MISSING}
    assert forms.read(Every, typed) == {"hidden": ("7",), "word": "none"}


def test_seed_beyond_what_a_browser_counts_is_a_text() -> None:
    shown = AppTest.from_string(
        """
import streamlit as st
from tfbdl_dashboard.option_widgets import option_widget
from tfbdl_dashboard.pages.new_run import _SEED
st.session_state["found"] = option_widget(_SEED, "seed", 2**60)
"""
    ).run(timeout=30)
    assert not shown.exception
    assert shown.text_input(key="seed").value == str(2**60)
    assert shown.session_state["found"] == 2**60
