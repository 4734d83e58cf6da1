"""What the panel of recursive filters shows: bands, forecasts, gains and innovations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from tfbdl.errors import DataError, ModelError
from tfbdl.remembered import remember

from .evaluation import ljung_box, standardised
from .panel import MOST_AHEAD, FilterControls

LAGS = 10

Arrays = dict[str, np.ndarray]


def filtered_states(fit: Any, controls: FilterControls) -> Arrays:
    """Bands over a window of a sequence, with what was seen up to ``now`` and a forecast.

    Returns:
        ``step [w]``; ``observed [w]``, ``truth [w]`` (empty where there is none);
        ``filtered_mean``, ``_low``, ``_high``, the same of ``smoothed``, each ``[w]``; ``ahead
        [h]`` and ``forecast_mean``, ``_low``, ``_high``; ``gain [w, d m]`` with ``gain_name``;
        ``innovation [w]`` in standard deviations, ``p_value`` and ``lags`` of their test; ``now``,
        ``length``, ``log_likelihood`` so far, ``level``, ``title``.

    Raises:
        ModelError: If the data of the run are not known.
    """
    known = remember(fit.model, "sequences", lambda: _sequences_of(fit))
    index = controls.sequence % len(known[0])
    y, truth = known[0][index], None if known[1] is None else known[1][index]
    said = remember(fit.model, ("filtered", index), lambda: _filtered(fit.model, y))
    length = len(y)
    now = round(controls.now * (length - 1))
    rows, title, noise = _view(said, controls, getattr(fit.info, "feature_names", None))
    width = min(controls.window, length)
    first = int(np.clip(now - round(0.75 * width), 0, length - width))
    shown = slice(first, first + width)
    sigmas = stats.norm.ppf(0.5 + 0.5 * controls.level)
    arrays: Arrays = {"step": np.arange(first, first + width)}
    for name in ("filtered", "smoothed"):
        if f"{name}_means" in said:
            means, spreads = said[f"{name}_means"][shown], said[f"{name}_covariances"][shown]
            arrays |= band(name, means @ rows, np.einsum("i,tij,j->t", rows, spreads, rows), sigmas)
    if controls.horizon:
        means, spreads = ahead(fit.model, y, now, controls.horizon)
        variance = np.einsum("i,tij,j->t", rows, spreads, rows) + noise
        arrays |= band("forecast", means @ rows, variance, sigmas)
        arrays["ahead"] = now + 1 + np.arange(controls.horizon)
    column = controls.column % y.shape[1]
    is_signal = controls.shown == "signal"
    state = None if is_signal else controls.column % said["filtered_means"].shape[1]
    gains = said["gains"][shown]
    d, m = gains.shape[1:]
    names = [f"state {i}, column {j}" for i in range(d) for j in range(m)]
    nothing = np.zeros(0)
    return {
        **arrays,
        "observed": y[shown, column] if is_signal else nothing,
        "truth": _truth(truth, rows, state)[shown] if truth is not None else nothing,
        "gain": gains.reshape(len(gains), -1),
        "gain_name": np.array(names),
        "innovation": said["innovations"][shown, column] if "innovations" in said else nothing,
        "p_value": _whiteness(said, column),
        "lags": np.array(LAGS),
        "now": np.array(now),
        "length": np.array(length),
        "log_likelihood": said["increments"][: now + 1].sum(),
        "level": np.array(controls.level),
        "title": np.array(title),
    }


def band(name: str, mean: np.ndarray, variance: np.ndarray, sigmas: float) -> Arrays:
    """Mean and limits ``[w]`` of a normal band."""
    half = sigmas * np.sqrt(np.maximum(variance, 0.0))
    return {f"{name}_mean": mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def ahead(model: Any, y: np.ndarray, now: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The state in the steps after ``now``: means ``[steps, d]``, covariances ``[steps, d, d]``.

    The filter runs over what was seen, with nothing after it, and always over as many steps: so it
    is compiled once for all places of the stream.

    Args:
        model: With ``filter``.
        y: A sequence ``[T, m]``.
        now: The last step that is seen.
        steps: At most MOST_AHEAD.
    """
    seen = np.full((len(y) + MOST_AHEAD, y.shape[1]), np.nan)
    seen[: now + 1] = y[: now + 1]
    found, after = model.filter(seen), slice(now + 1, now + 1 + steps)
    return found.means[after], found.covariances[after]


def _view(
    said: Arrays, controls: FilterControls, names: tuple[str, ...] | None
) -> tuple[np.ndarray, str, float]:
    """The direction of the state that is shown, its name, and the noise of an observation of it."""
    size = said["filtered_means"].shape[1]
    if controls.shown == "state":
        coordinate = controls.column % size
        return np.eye(size)[coordinate], f"state {coordinate}", 0.0
    column = controls.column % len(said["H"])
    noise = float(said["R"][column, column]) if "R" in said else 0.0
    return said["H"][column], names[column] if names else f"column {column}", noise


def _sequences_of(fit: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The sequences of training ``[n, T, m]``, and their true states where the data hold them."""
    data = fit.dataset()
    if data is None:
        raise ModelError(
            "States are of the steps of a sequence. Expected: a run on data that are given by "
            "name. Received: other data, which no run stores."
        )
    rows = data.in_memory()
    y = np.asarray(rows.x, np.float64)
    if y.ndim < 3:  # one sequence; of a learned filter many, of single numbers
        y = y.reshape(1, len(y), -1) if hasattr(fit.model, "kalman") else y[..., np.newaxis]
    truth = None if rows.y is None else np.asarray(rows.y, np.float64)
    return y, truth if truth is not None and truth.shape[:2] == y.shape[:2] else None


def _filtered(model: Any, y: np.ndarray) -> Arrays:
    """All that does not depend on the controls, of one sequence ``[T, m]``."""
    found = model.filter(y)
    said: Arrays = {
        "filtered_means": found.means,
        "filtered_covariances": found.covariances,
        "gains": found.gains,
        "increments": found.increments,
        "H": np.asarray(model.H if hasattr(model, "H") else model.H_),
    }
    if hasattr(model, "kalman"):
        said |= model.fitted()
        smoothed = model.smooth(y)
        said |= {"smoothed_means": smoothed.means, "smoothed_covariances": smoothed.covariances}
        H = said["H"]
        residuals = y - found.predicted_means @ H.T
        said["innovations"] = standardised(
            residuals, H @ found.predicted_covariances @ H.T + said["R"]
        )
    return said


def _truth(truth: np.ndarray, rows: np.ndarray, state: int | None) -> np.ndarray:
    """The true course of what is shown, where true states are the model's own; else nothing."""
    if truth.shape[1] != len(rows):
        return np.zeros(0)
    return np.asarray(truth @ rows if state is None else truth[:, state])


def _whiteness(said: Arrays, column: int) -> np.ndarray:
    if "innovations" not in said:
        return np.array(np.nan)
    try:
        return np.array(ljung_box(said["innovations"][:, column], LAGS).p_value)
    except DataError:  # too short
        return np.array(np.nan)
