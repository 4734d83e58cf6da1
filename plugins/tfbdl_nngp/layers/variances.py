"""Variances of weights as arguments: numbers are checked, tensors pass through."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfbdl.errors import OptionsError


def checked(name: str, value: Any, *, positive: bool = False) -> Any:
    """``value`` as a float, or the tensor that it is.

    Raises:
        OptionsError: If it is no finite number of at least 0, or above 0 with ``positive``.
    """
    if tf.is_tensor(value):
        return value
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0.0 or (positive and number == 0.0):
        bound = "above 0" if positive else "of at least 0"
        raise OptionsError(f"{name} must be a finite number {bound}. Received: {value!r}.")
    return number
