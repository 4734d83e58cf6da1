"""Where EM begins: moments of the data, and a model of lagged observations.

References:
    Van Overschee & De Moor 1996, "Subspace Identification for Linear Systems": states as the
    main directions of stacked observations.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .form import NAMES, Form

SMALL = 1e-3
"""Least variance of a start, in units of the data's."""
STAYING = 0.9
"""Of a state, what a transition that is not known keeps at the start."""
WINDOW = 6
"""Steps of a window whose main directions are the first guess of the states."""
LEVEL_SHARE = 0.1
"""Of the data's variance, what a step of the state is thought to make at the start."""
SLOPE_SHARE = 0.1
"""Of the variance of steps, what is thought to be that of slopes at the start."""


class SeriesMoments(NamedTuple):
    """What a series is like, by column: arrays or tensors ``[m]``.

    Attributes:
        mean: Of the observations.
        variance: About the mean.
        steps: Mean square of the change from one step to the next.
    """

    mean: Any
    variance: Any
    steps: Any


def moments(values: np.ndarray) -> SeriesMoments:
    """Of sequences ``[n, T, m]``, NaN left out.

    A column that is constant, or never seen, has the variance 1 (and steps of this size).
    """
    seen = ~np.isnan(values)
    count = np.maximum(seen.sum(axis=(0, 1)), 1)
    mean = np.where(seen, values, 0.0).sum(axis=(0, 1)) / count
    variance = (np.where(seen, values - mean, 0.0) ** 2).sum(axis=(0, 1)) / count
    variance = np.where(variance > 0.0, variance, 1.0)
    change = np.diff(values, axis=1)
    known = ~np.isnan(change)
    steps = (np.where(known, change, 0.0) ** 2).sum(axis=(0, 1))
    steps = steps / np.maximum(known.sum(axis=(0, 1)), 1)
    return SeriesMoments(mean, variance, np.where(steps > 0.0, steps, variance))


def first_state(series: SeriesMoments, form: Form, diffuse_scale: float) -> tuple[Any, Any]:
    """A wide start, for what is neither given nor learned: ``m0 [d]`` and ``P0 [d, d]``.

    Levels are as wide as the data, and slopes as their steps, times ``diffuse_scale``; beside a
    learned m0 as the data alone.

    Args:
        series: Of the observations.
        form: Of the model.
        diffuse_scale: See KalmanOptions.
    """
    count, size, placing = form.observation_dim, form.state_dim, placed(form)
    scale = 1.0 if form.is_learned("m0") else diffuse_scale
    levels, slopes = (
        scale * sum(part[j] for j in range(count)) / count
        for part in (series.variance, series.steps)
    )
    num_slopes = form.num_slopes
    diagonal = np.diag(np.arange(size) < size - num_slopes).astype(np.float64)
    P0 = levels * diagonal + slopes * (np.eye(size) - diagonal)
    m0 = sum(placing[:, j] * series.mean[j] for j in range(count))
    return m0, P0


def placed(form: Form) -> np.ndarray:
    """The matrix ``[d, m]`` from an observation to the least state that would show it."""
    H = form.given.get("H", np.eye(form.observation_dim, form.state_dim))
    return np.asarray(np.linalg.pinv(H))


def start(values: np.ndarray, form: Form, diffuse_scale: float) -> dict[str, np.ndarray]:
    """All seven parameters to begin with.

    Args:
        values: ``[n, T, m]``, NaN where one is missing.
        form: Of the model.
        diffuse_scale: See KalmanOptions.
    """
    series = moments(values)
    found = by_moments(series, form, diffuse_scale)
    if not {"A", "H"} <= set(form.given):
        found |= _of_lags(values, form, series.variance)
        if form.is_learned("m0"):
            found["m0"] = np.linalg.pinv(found["H"]) @ series.mean
    found |= form.given
    return {name: _structured(name, found[name], form) for name in NAMES}


def by_moments(series: SeriesMoments, form: Form, diffuse_scale: float) -> dict[str, np.ndarray]:
    """All seven parameters, without a look at the order of the observations.

    Args:
        series: Of the observations.
        form: Of the model.
        diffuse_scale: See KalmanOptions.
    """
    d, m = form.state_dim, form.observation_dim
    mean, variance, steps = series
    m0, P0 = first_state(series, form, diffuse_scale)
    level, slope = variance.mean(), steps.mean()
    widths = np.where(np.arange(d) < d - form.num_slopes, level, SLOPE_SHARE * slope)
    found = {
        "A": STAYING * np.eye(d),
        "B": (1.0 - STAYING) * placed(form) @ mean,
        "H": np.eye(m, d),
        "Q": LEVEL_SHARE * np.diag(widths),
        "R": np.diag(variance * (1.0 - LEVEL_SHARE)),
        "m0": m0,
        "P0": np.diag(widths) if form.is_learned("P0") else P0,
    }
    if "A" in form.given:
        found["B"] = np.zeros(d)
    found |= form.given
    return {name: _structured(name, found[name], form) for name in NAMES}


def scattered(
    params: dict[str, np.ndarray], form: Form, seed: int, width: float = 0.5
) -> dict[str, np.ndarray]:
    """A start at random about another: learned matrices shifted, learned covariances scaled.

    Args:
        params: The other start.
        form: Of the model.
        seed: Of the draws.
        width: Standard deviation, of matrices in units of their typical element, of covariances
            a quarter of that of the logarithm of their scale.
    """
    rng = np.random.default_rng(seed)
    found = dict(params)
    for name in form.learned:
        value = params[name]
        if name in form.structures:
            found[name] = value * np.exp(4.0 * width * rng.normal())
        else:
            typical = np.sqrt(np.mean(value**2)) or 1.0
            found[name] = value + width * typical * rng.normal(size=value.shape)
    if form.is_learned("A"):  # a transition that grows would overflow in a long sequence
        found["A"] = found["A"] / max(np.abs(np.linalg.eigvals(found["A"])).max(), 1.0)
    return found


def _of_lags(values: np.ndarray, form: Form, variance: np.ndarray) -> dict[str, np.ndarray]:
    """States as the main directions of windows of observations; matrices by regression."""
    d, m = form.state_dim, form.observation_dim
    # Windows longer than needed average the noise of the observations.
    lags = max(math.ceil(d / m), min(WINDOW, values.shape[1] // 4))
    lags = min(lags, values.shape[1] - 1)
    filled = _filled(values)
    rows = filled.shape[1] - lags + 1
    windows = np.concatenate([filled[:, k : k + rows] for k in range(lags)], axis=-1)
    flat = windows.reshape(-1, windows.shape[-1])
    states = windows
    if flat.shape[1] > d:
        states = windows @ np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][:d].T
    if states.shape[-1] < d:  # too few steps for so many states: the others begin apart from them
        missing = d - states.shape[-1]
        noise = np.random.default_rng(0).normal(size=(*states.shape[:2], missing))
        states = np.concatenate([states, np.sqrt(variance.mean()) * noise], axis=-1)
    before, after = states[:, :-1].reshape(-1, d), states[:, 1:].reshape(-1, d)
    shifted = np.column_stack([before, np.ones(len(before))])
    transition = np.linalg.lstsq(shifted, after, rcond=None)[0].T
    everywhere, seen = states.reshape(-1, d), filled[:, :rows].reshape(-1, m)
    H = np.linalg.lstsq(everywhere, seen, rcond=None)[0].T
    Q = _spread(after - shifted @ transition.T, variance.mean())
    R = _spread(seen - everywhere @ H.T, variance.mean())
    return {"A": transition[:, :-1], "B": transition[:, -1], "H": H, "Q": Q, "R": R}


def _spread(residual: np.ndarray, scale: float) -> np.ndarray:
    """Second moments, well away from singular."""
    covariance = residual.T @ residual / len(residual)
    return np.asarray(covariance + 10.0 * SMALL * scale * np.eye(residual.shape[1]))


def _filled(values: np.ndarray) -> np.ndarray:
    """Missing elements by straight lines between those around them."""
    filled = values.copy()
    place = np.arange(values.shape[1])
    mean = moments(values).mean
    for sequence in filled:
        for j, column in enumerate(sequence.T):
            seen = ~np.isnan(column)
            column[~seen] = (
                np.interp(place[~seen], place[seen], column[seen]) if seen.any() else mean[j]
            )
    return filled


def _structured(name: str, value: np.ndarray, form: Form) -> np.ndarray:
    """A learned covariance in its structure."""
    if not form.is_learned(name) or form.structures.get(name, "full") == "full":
        return value
    diagonal = np.diag(value)
    if form.structures[name] == "scalar":
        diagonal = np.full_like(diagonal, diagonal.mean())
    return np.diag(diagonal)
