"""Where and how large states and observations are, from the sequences of a training set."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

SURE = 1e-2
"""The least standard deviation of the first state, beside that of all states."""


class Scales(NamedTuple):
    """Means and standard deviations, and moments of the first state.

    Attributes:
        state_location, state_scale: ``[d]``.
        observation_location, observation_scale: ``[m]``.
        m0, P0: ``[d]`` and ``[d, d]``, diagonal.
    """

    state_location: np.ndarray
    state_scale: np.ndarray
    observation_location: np.ndarray
    observation_scale: np.ndarray
    m0: np.ndarray
    P0: np.ndarray


def scales_of(y: Any, x: Any, H: np.ndarray) -> Scales:
    """Scales of observations and states; without states, of what H lets see of them.

    Args:
        y: ``[n, T, m]``, or ``[n, T]`` where m is 1; NaN where an element is missing.
        x: ``[n, T, d]``, or ``[n, T]`` where d is 1; or None.
        H: ``[m, d]``.
    """
    y = _sequences(y)
    location, scale = _moments(y)
    if x is not None:
        states = _sequences(x)
        state_location, state_scale = _moments(states)
        m0, first = _moments(states[:, 0])
        first = np.where(np.isnan(states[:, 0]).all(axis=0), state_scale, first)
        m0 = np.where(np.isnan(states[:, 0]).all(axis=0), state_location, m0)
        return Scales(
            state_location, state_scale, location, scale, m0,
            np.diag(np.maximum(first * (len(states) > 1), SURE * state_scale) ** 2),
        )  # fmt: skip
    back = np.linalg.pinv(H)  # [d, m]
    state_location = back @ location
    state_scale = np.sqrt(np.square(back) @ np.square(scale))
    unseen = np.abs(back).max(axis=1) < 1e-12
    state_scale = np.where(unseen, np.mean(scale), state_scale)
    return Scales(
        state_location, state_scale, location, scale, state_location, np.diag(state_scale**2)
    )


def _sequences(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array if array.ndim == 3 else array[..., np.newaxis]


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the last axis' columns; 0 and 1 where there are none."""
    rows = values.reshape(-1, values.shape[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any number
        mean, spread = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    return np.nan_to_num(mean), np.where(spread > 0, np.nan_to_num(spread, nan=1.0), 1.0)
