"""A form made of the options that a plugin declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
import streamlit as st
from pydantic_core import to_jsonable_python

from tfbdl.config import Config, OptionField, expected_text, fields_of, from_text
from tfbdl_dashboard.option_widgets import MISSING, Typed, option_widget
from tfbdl_dashboard.plain_text import escaped

LEAD = 6
"""Options that are shown at once where there are many; the others wait under "More options"."""

WIDTH = 260
"""Pixels of an option; as many stand in a row as there is room for."""


def options_form(
    config: type[Config],
    key: str,
    values: Mapping[str, Any] | None = None,
    *,
    fixed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw a widget for each option.

    Args:
        config: The options' class.
        key: Unique on the page. What is typed under it outlives a visit of another page, so a form
            for something else needs another key.
        values: What the options are at first where that is not their default. A value that is not
            admitted (any more) is left out, and the form says so.
        fixed: Options that are decided elsewhere: they are not drawn, and not returned.

    Returns:
        The options that differ from their defaults, as plain values. What is not admitted is marked
        beside its widget, and returned as it was typed, so that ``tfbdl.config.make`` refuses it.
    """
    fixed = dict(fixed or {})
    fields = [field for field in fields_of(config) if field.name not in fixed]
    preset, refused = usable(config, values or {})
    if refused:
        st.warning(f"Not admitted, and left out: {escaped(', '.join(refused))}")
    typed: dict[str, Any] = {}
    slots: dict[str, Any] = {}
    lead, rest = parted(fields, preset)
    _draw(lead, key, preset, typed, slots)
    if rest:
        with st.expander(f"More options ({len(rest)})"):
            _draw(rest, key, preset, typed, slots)
    given = read(config, typed)
    errors = option_errors(config, fixed | given)
    for name, message in errors.items():
        if name in slots and name in given:
            slots[name].error(escaped(message))
    if set(errors) == {""}:
        st.error(escaped(errors[""]))
    return differing(config, given, fixed)


def read(config: type[Config], typed: Mapping[str, Any]) -> dict[str, Any]:
    """What widgets gave, as plain values; lists and arrays as a command line reads them."""
    texts = {name: str(value) for name, value in typed.items() if isinstance(value, Typed)}
    parsed = from_text(config, texts)
    return {name: parsed.get(name, value) for name, value in typed.items() if value is not MISSING}


def differing(
    config: type[Config], given: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Those of the given options that are not at their default, as plain values."""
    try:
        plain = config(**{**(fixed or {}), **given}).model_dump(mode="json")
    except pydantic.ValidationError:  # whoever makes the options says what is wrong
        plain = to_jsonable_python(dict(given))
    defaults = {
        field.name: to_jsonable_python(field.default)
        for field in fields_of(config)
        if not field.required
    }
    return {
        name: plain[name] for name in given if name not in defaults or plain[name] != defaults[name]
    }


def option_errors(config: type[Config], values: Mapping[str, Any]) -> dict[str, str]:
    """What is not admitted.

    Returns:
        Option -> what was expected. The empty name stands for options that are well by themselves
        and do not fit together.
    """
    try:
        config(**values)
    except pydantic.ValidationError as error:
        known = {field.name: field for field in fields_of(config)}
        found: dict[str, str] = {}
        for fault in error.errors():
            name = str(fault["loc"][0]) if fault["loc"] else ""
            said = str(fault["msg"]).removeprefix("Value error, ")
            if not name:
                text = f"These options do not fit together: {said}."
            elif name not in known:
                text = "There is no such option."
            else:
                text = f"Expected {expected_text(known[name])}."
                text += f" {said}." if fault["type"] == "value_error" else ""
            found.setdefault(name, text)
        return found
    return {}


def usable(config: type[Config], values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Part values of elsewhere into those that this form can show, and the names of the others."""
    wrong = option_errors(config, values)
    fine = {name: value for name, value in values.items() if name not in wrong}
    return fine, [name for name in values if name in wrong]


def parted(
    fields: Sequence[OptionField], preset: Mapping[str, Any]
) -> tuple[list[OptionField], list[OptionField]]:
    """Part options into those to show at once and the rest; required and preset ones come first."""
    if len(fields) <= LEAD + 2:
        return list(fields), []
    urgent = [field for field in fields if field.required or field.name in preset]
    others = [field for field in fields if field not in urgent]
    room = max(LEAD - len(urgent), 0)
    lead = [field for field in fields if field in urgent or field in others[:room]]
    return lead, others[room:]


def _draw(
    fields: Sequence[OptionField],
    key: str,
    preset: Mapping[str, Any],
    typed: dict[str, Any],
    slots: dict[str, Any],
) -> None:
    with st.container(horizontal=True):
        for field in fields:
            slots[field.name] = st.container(width=WIDTH, gap="xsmall")
            with slots[field.name]:
                value = preset.get(field.name, field.default)
                typed[field.name] = option_widget(field, f"{key}:{field.name}", value)
