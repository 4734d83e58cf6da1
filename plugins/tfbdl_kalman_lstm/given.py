"""Arguments of an LSTMKalman, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfbdl.errors import OptionsError

from . import parameters


def given_arrays(
    d: int, m: int, *, H: Any, m0: Any, P0: Any, Q: Any, R: Any
) -> dict[str, np.ndarray | None]:
    """Matrices and vectors that a user gave in place of learned ones; None for the others.

    Args:
        d, m: Sizes of a state and of an observation.
        H, m0, P0, Q, R: As LSTMKalman takes them.

    Raises:
        OptionsError: If one does not fit the sizes, varies with time, or is no covariance.
    """
    if H is None and m > d:
        raise OptionsError(
            f"More is observed than a state has. Expected H [{m}, {d}], or observation_dim of "
            f"at most state_dim={d}. Received: observation_dim={m}, H=None."
        )
    arrays = {
        "H": None if H is None else parameters.matrix("H", H, m, d),
        "m0": None if m0 is None else parameters.vector("m0", m0, d),
        "P0": None if P0 is None else parameters.covariance("P0", P0, d),
        "Q": None if Q is None else parameters.covariance("Q", Q, d),
        "R": None if R is None else parameters.covariance("R", R, m),
    }
    for role, value in arrays.items():
        if value is not None and value.ndim == 3:
            raise OptionsError(f"{role} must not vary. Received: shape {list(value.shape)}.")
    return arrays


def positive(name: str, value: Any, *, or_zero: bool = False) -> float:
    """A finite number above 0, or at least 0.

    Raises:
        OptionsError: If it is none.
    """
    number = float(value) if isinstance(value, (int, float, np.number)) else math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and not or_zero):
        least = "of at least 0" if or_zero else "above 0"
        raise OptionsError(f"{name} must be a finite number {least}. Received: {value!r}.")
    return number
