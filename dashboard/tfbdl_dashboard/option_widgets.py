"""One option, one widget: a switch, a slider, a number, a choice or a text, by its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st
from pydantic_core import to_jsonable_python

from tfbdl.config import OptionField, expected_text
from tfbdl_dashboard.plain_text import escaped

MISSING: Any = ...
"""What a widget gives while a required option has no value."""

AS_ARRAYS = "given as arrays"
"""Stands beside the words of a choice that admits arrays by name."""

SLIDER_SPAN = 200.0
"""Bounds further apart than this are typed, not slid."""

_LARGEST = 2**53 - 1  # whole numbers that a browser tells apart
_SHORT_CHOICES = 34  # characters that stand side by side
_FORMAT = "%.8g"


def option_widget(field: OptionField, key: str, value: Any) -> Any:
    """Draw the widget of an option.

    Args:
        field: The option.
        key: Unique on the page; what is typed under it outlives a visit of another page.
        value: What it shows at first, as a valid plain value; ``MISSING`` if there is none.

    Returns:
        The plain value, or what was typed if that is no value of this kind: whoever checks the
        options then says what was expected. ``MISSING`` if the option was not given.
    """
    if field.optional:
        is_none = st.checkbox(
            f"{field.name}: none",
            value in (None, MISSING),
            key=f"{key}:none",
            help=help_text(field),
            persist_state="session",
        )
        if is_none:
            return None
    if value is None or (field.optional and value is MISSING):
        value = starting_value(field)
    return _WIDGETS[field.kind](field, key, value)


def help_text(field: OptionField) -> str:
    """What the option means, what is admitted, and its default, as escaped Markdown."""
    default = "It must be given." if field.required else f"Default: {shown(field.default)}."
    return escaped(f"{field.description} Expected: {expected_text(field)}. {default}")


def shown(value: Any) -> str:
    """A plain value as a person would type it: ``none``, ``true``, ``50, 50``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)) and not any(isinstance(v, (list, tuple)) for v in value):
        return list_text(value)
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(to_jsonable_python(value))
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def list_text(items: Iterable[Any], separator: str = ", ") -> str:
    """The items of a list as they are typed; as JSON where commas alone would not part them."""
    texts = [repr(item) if isinstance(item, float) else str(item) for item in items]
    if any(_needs_quotes(text) for text in texts):
        return json.dumps(texts, ensure_ascii=False)
    return separator.join(texts)


def _needs_quotes(text: str) -> bool:
    parted = not text or text != text.strip() or bool(set(',[]"') & set(text))
    return parted or text.lower() in ("none", "null")


def starting_value(field: OptionField) -> Any:
    """What an option that is none by default shows once it is given a value."""
    if not field.required and field.default is not None:
        return field.default
    if field.kind == "bool":
        return False
    if field.kind in ("int", "float"):
        low, high = (field.low, field.high) if field.kind == "float" else whole_bounds(field)
        number = min(max(1.0, 1.0 if low is None else low), 1.0 if high is None else high)
        return int(number) if field.kind == "int" else number
    if field.kind == "choice":
        return field.choices[0]
    return () if field.kind == "list" else ""


def whole_bounds(field: OptionField) -> tuple[int | None, int | None]:
    """The least and the largest whole number that an option admits, both included."""
    low = high = None
    if field.low is not None:
        low = math.floor(field.low) + 1 if field.low_open else math.ceil(field.low)
    if field.high is not None:
        high = math.ceil(field.high) - 1 if field.high_open else math.floor(field.high)
    return low, high


def slider_range(field: OptionField, value: float) -> tuple[float, float, float] | None:
    """Low end, high end and step of a slider; None if the number is better typed.

    That is so without two bounds, with bounds far apart, where a bound is not admitted itself
    or no whole number of steps from zero (a slider would hide values near it), and where ``value``
    lies too near zero to be told from it.
    """
    if field.low is None or field.high is None or field.high - field.low > SLIDER_SPAN:
        return None
    if field.kind == "int":
        low, high = whole_bounds(field)
        return None if low is None or high is None or low >= high else (low, high, 1)
    ends = field.low, field.high
    if field.low_open or field.high_open or ends[0] >= ends[1]:
        return None
    step = 10.0 ** (math.floor(math.log10(ends[1] - ends[0]) + 1e-6) - 2)
    hidden = any(abs(end / step - round(end / step)) > 1e-9 for end in ends)
    small = value != 0.0 and abs(value) < step
    return None if hidden or small or not ends[0] <= value <= ends[1] else (*ends, step)


def number_step(value: float) -> float:
    """By how much the buttons of a number change it: a tenth of its magnitude."""
    return 0.1 if value == 0.0 else 10.0 ** (math.floor(math.log10(abs(value))) - 1)


def _switch(field: OptionField, key: str, value: Any) -> bool:
    start = value is not MISSING and bool(value)
    return st.toggle(field.name, start, key=key, help=help_text(field), persist_state="session")


def _whole(field: OptionField, key: str, value: Any) -> Any:
    low, high = whole_bounds(field)
    ends = [end for end in (low, value) if end not in (None, MISSING)]
    if any(abs(end) > _LARGEST for end in ends):
        return _text(field, key, value)
    span = None if value is MISSING else slider_range(field, value)
    if span is not None:
        return st.slider(
            field.name,
            int(span[0]),
            int(span[1]),
            int(value),
            key=key,
            help=help_text(field),
            persist_state="session",
        )
    typed = st.number_input(
        field.name,
        low if low is None else int(low),
        None if high is None or high > _LARGEST else int(high),
        None if value is MISSING else int(value),
        step=1,
        key=key,
        help=help_text(field),
        persist_state="session",
    )
    return MISSING if typed is None else typed


def _number(field: OptionField, key: str, value: Any) -> Any:
    span = None if value is MISSING else slider_range(field, value)
    if span is not None:
        return st.slider(
            field.name,
            *span[:2],
            float(value),
            span[2],
            format="%.4g",
            key=key,
            help=help_text(field),
            persist_state="session",
        )
    typed = st.number_input(
        field.name,
        field.low,
        field.high,
        None if value is MISSING else float(value),
        step=number_step(1.0 if value is MISSING else value),
        format=_FORMAT,
        key=key,
        help=help_text(field),
        persist_state="session",
    )
    return MISSING if typed is None else typed


def _choice(field: OptionField, key: str, value: Any) -> Any:
    arrays = field.item == "arrays"
    options = [*field.choices, *([AS_ARRAYS] if arrays else [])]
    given = arrays and isinstance(value, Mapping)
    start = AS_ARRAYS if given else value
    short = sum(len(str(option)) + 4 for option in options) <= _SHORT_CHOICES
    if short and start in options:
        chosen = st.segmented_control(
            field.name,
            options,
            default=start,
            required=True,
            format_func=escaped,
            key=key,
            help=help_text(field),
            persist_state="session",
        )
    else:
        chosen = st.selectbox(
            field.name,
            options,
            options.index(start) if start in options else None,
            format_func=str,
            key=key,
            help=help_text(field),
            placeholder="Choose",
            persist_state="session",
        )
    if arrays and chosen == AS_ARRAYS:
        return _json(field, f"{key}:arrays", value if given else {})
    return MISSING if chosen is None else chosen


def _text(field: OptionField, key: str, value: Any) -> Any:
    start = "" if value is MISSING else str(value)
    typed = st.text_input(
        field.name, start, key=key, help=help_text(field), persist_state="session"
    )
    if typed == start:
        return value
    return MISSING if field.required and not typed else typed


def _list(field: OptionField, key: str, value: Any) -> Any:
    start = "" if value is MISSING else list_text(value)
    typed = st.text_input(
        field.name,
        start,
        key=key,
        help=help_text(field),
        placeholder="separated by commas",
        persist_state="session",
    )
    return value if typed == start else Typed(typed)


def _json(field: OptionField, key: str, value: Any) -> Any:
    start = "" if value in (MISSING, "") else json.dumps(to_jsonable_python(value))
    typed = st.text_area(
        field.name,
        start,
        key=key,
        help=help_text(field),
        placeholder='{"name": [1, 2]}' if field.item == "arrays" else "[[1, 0], [0, 1]]",
        height=90,
        persist_state="session",
    )
    return value if typed == start else Typed(typed)


class Typed(str):
    """A text that is read as on the command line."""


_WIDGETS: Mapping[str, Callable[[OptionField, str, Any], Any]] = {
    "bool": _switch,
    "int": _whole,
    "float": _number,
    "str": _text,
    "choice": _choice,
    "list": _list,
    "array": _json,
    "arrays": _json,
}
