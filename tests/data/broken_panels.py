"""Panels named after what is wrong with them; one is sound."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import tfbdl
from tfbdl.errors import OptionsError


class Controls(tfbdl.Config):
    row: int = tfbdl.Field(1, ge=0, le=9, description="A row of three.")


class Choices(tfbdl.Config):
    way: Literal["up", "down", "left"] = tfbdl.Field("up", description="A way.")
    turned: bool = tfbdl.Field(False, description="Whether it is turned.")


def sound(fit: Any, controls: Controls) -> dict[str, Any]:
    if controls.row > 2:
        raise OptionsError("There are three rows.")
    return {"row": controls.row, "name": "a", "values": np.arange(3.0)}


def out_of_bounds(fit: Any, controls: Controls) -> dict[str, Any]:
    return {"value": np.arange(3.0)[controls.row]}


def with_objects(fit: Any, controls: Any) -> dict[str, Any]:
    return {"fit": fit}


def empty(fit: Any, controls: Any) -> dict[str, Any]:
    return {}


unshown = silent = heavy = apologetic = restless = misspelt = no_mapping = sound


def bounds_refused(fit: Any, controls: Controls) -> dict[str, Any]:
    if controls.row != 1:
        raise OptionsError("There is one row.")
    return {"values": np.arange(3.0)}


def choice_unknown(fit: Any, controls: Choices) -> dict[str, Any]:
    return {"values": np.arange(3.0) + {"up": 1, "down": -1}[controls.way]}


def choices_refused(fit: Any, controls: Choices) -> dict[str, Any]:
    if controls.turned:
        raise OptionsError("It cannot be turned.")
    return {"values": np.arange(3.0)}


def without_numbers(fit: Any, controls: Controls) -> dict[str, Any]:
    return {"row": controls.row, "values": np.full(3, np.nan)}


def show(st: Any, arrays: Any) -> None:
    st.line_chart(arrays["values"])


def show_unshown(st: Any, arrays: Any) -> None:
    st.text(arrays["missing"])


def show_silent(st: Any, arrays: Any) -> None:
    pass


def show_apologetic(st: Any, arrays: Any) -> None:
    st.error("There is nothing to show.")


def show_heavy(st: Any, arrays: Any) -> None:
    import tensorflow as tf

    st.text(tf.__version__)


def show_restless(st: Any, arrays: Any) -> dict[str, Any]:
    st.text("without a click")
    return {"row": int(arrays["row"]) % 2 + 1}


def show_misspelt(st: Any, arrays: Any) -> dict[str, Any]:
    st.text("without a click")
    return {"rows": 1}


def show_no_mapping(st: Any, arrays: Any) -> Any:
    return st.text("what drawing gives")
