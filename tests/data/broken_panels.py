"""Panels named after what is wrong with them; one is sound."""

from __future__ import annotations

from typing import Any

import numpy as np

import tfbdl
from tfbdl.errors import OptionsError


class Controls(tfbdl.Config):
    row: int = tfbdl.Field(1, ge=0, le=9, description="A row of three.")


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


unshown = silent = heavy = sound


def show(st: Any, arrays: Any) -> None:
    st.line_chart(arrays["values"])


def show_unshown(st: Any, arrays: Any) -> None:
    st.text(arrays["missing"])


def show_silent(st: Any, arrays: Any) -> None:
    pass


def show_heavy(st: Any, arrays: Any) -> None:
    import tensorflow as tf

    st.text(tf.__version__)
