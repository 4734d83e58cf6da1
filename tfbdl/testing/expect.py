"""How a check says that a plugin breaks the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def require(kept: Any, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``kept``; unlike assert, also under -O."""
    if not kept:
        raise AssertionError(message)


def require_finite(who: str, arrays: Mapping[str, Any]) -> None:
    """Raise AssertionError if an array of numbers holds NaN or infinity."""
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind == "f":
            bad = int(array.size - np.isfinite(array).sum())
            require(not bad, f"{who}: {name} holds {bad} of {array.size} numbers not finite.")


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The names whose arrays are not equal bit for bit, or that only one side has."""
    return [
        name
        for name in dict.fromkeys([*first, *second])
        if name not in first
        or name not in second
        or np.asarray(first[name]).tobytes() != np.asarray(second[name]).tobytes()
    ]
