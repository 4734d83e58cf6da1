"""The task ``slide``: predictions along a line that leads an input away from the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import OptionsError, did_you_mean
from ..remembered import remember
from .predictions import DRAWS
from .rows import require_one_array, require_targets, rows_of, training_inputs
from .tasks import FitsByRun

POINTS = 91  # 0 and 1 are among them, where a line runs from -1 to 2 or from 0 to 10
LEVEL = 0.9
REACH = 1.5
"""A feature goes so many times its training range beyond either end."""
FURTHEST = 10.0
"""Times its distance from the mean that a row is scaled to."""
MOST_MARKS = 500
MOST_NUMBERS = 400_000
"""Of the inputs along the line that an answer holds."""

Line = Callable[[np.ndarray, np.ndarray, Mapping[str, Any]], tuple[np.ndarray, np.ndarray]]
"""From training inputs, one input and the arguments to the positions and the inputs there."""


def slide(runs: FitsByRun, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Predictions of one input while it is moved, with both uncertainties.

    ``direction`` says how: ``feature`` moves one of them from far below to far above its training
    range, ``row`` blends into another row and beyond, ``noise`` into noise with the mean and
    spread of each feature, ``scale`` moves away from the training mean.

    Args:
        runs: Where the fits are.
        arguments: ``run``; ``row``, a place among the rows that ``predictions`` shows;
            ``direction``; ``feature``, a number from 0, or ``other``, another row.

    Returns:
        ``position`` ``[p]``, where 91 inputs lie on the line; ``at``, the position of the row as
        it is; ``distance`` ``[p]``, from the nearest training row, in standard deviations of the
        features (root mean square); ``marks``, positions of training rows (the values of the
        feature, else none); ``aleatoric`` and ``epistemic``; for numbers ``mean low high``
        ``[p, targets]``, the ends those of the 90 % interval; for classes ``probs``
        ``[p, classes]``; ``x``, the inputs, if they are not large.

    Raises:
        DataError: If the run's data cannot be read again, or inputs are several arrays.
        ModelError: If the model predicts nothing.
        OptionsError: If an argument is not admitted.
    """
    run = str(arguments["run"])
    fit, dataset = runs.fit(run), runs.data(run)
    rows = rows_of(dataset)
    require_targets(fit, rows)
    require_one_array(rows.x)
    near = remember(fit.model, "neighbours", lambda: Neighbours.of(training_inputs(dataset)))
    train = near.train
    start = rows.x[_whole("row", arguments.get("row", 0), len(rows.x))]
    if arguments.get("direction") == "row":
        other = _whole("other", arguments.get("other", 0), len(rows.x))
        arguments = {**arguments, "target": rows.x[other]}
    position, x = _line(arguments)(train, start, arguments)
    inputs = np.asarray(x, train.dtype)
    predictive = fit.predict(inputs, draws=DRAWS)
    answer = {
        "position": position,
        "at": np.asarray(_position_of_row(arguments, start)),
        "distance": near.distance(inputs),
        "marks": _marks(train, arguments),
        **_predicted(predictive, len(position)),
    }
    return answer | ({"x": inputs} if inputs.size <= MOST_NUMBERS else {})


def along_feature(
    train: np.ndarray, start: np.ndarray, arguments: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """One feature from far below to far above its training range, the others held.

    Args:
        train: ``[n, features]``.
        start: ``[features]``.
        arguments: ``feature``, a number from 0.
    """
    if train.ndim != 2:
        raise OptionsError(
            f"A feature is a column of inputs [n, features]. Received: inputs of shape "
            f"{list(train.shape[1:])} each. Choose another direction."
        )
    feature = _whole("feature", arguments.get("feature", 0), train.shape[1])
    low, high = float(np.min(train[:, feature])), float(np.max(train[:, feature]))
    reach = REACH * (high - low) or 1.0
    position = np.linspace(low - reach, high + reach, POINTS)
    position[np.argmin(np.abs(position - start[feature]))] = start[feature]  # the row as it is
    x = np.repeat(start[np.newaxis], POINTS, axis=0).astype(np.float64)
    x[:, feature] = position
    return position, x


def towards_row(
    train: np.ndarray, start: np.ndarray, arguments: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """From the row, at 0, to another, at 1, and as far beyond either.

    Args:
        train: ``[n, ...]``.
        start: ``[...]``.
        arguments: ``target``, the other row.
    """
    del train
    return _blend(start, arguments["target"], np.linspace(-1.0, 2.0, POINTS))


def towards_noise(
    train: np.ndarray, start: np.ndarray, arguments: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """From the row, at 0, to normal noise with the mean and spread of each feature, at 1."""
    del arguments
    flat = train.reshape(len(train), -1)
    noise = np.random.default_rng(0).normal(flat.mean(axis=0), flat.std(axis=0))
    return _blend(start, noise.reshape(start.shape), np.linspace(0.0, 1.0, POINTS))


def away_from_mean(
    train: np.ndarray, start: np.ndarray, arguments: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """From the training mean, at 0, through the row, at 1, to ten times as far."""
    del arguments
    mean = train.mean(axis=0, dtype=np.float64)
    return _blend(mean, start, np.linspace(0.0, FURTHEST, POINTS))


LINES: Mapping[str, Line] = {
    "feature": along_feature,
    "row": towards_row,
    "noise": towards_noise,
    "scale": away_from_mean,
}
"""Direction -> its line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """Training rows, made ready to find the nearest among them.

    Features are measured in their standard deviations; those that do not vary in the mean standard
    deviation of the others.

    Attributes:
        train: ``[n, ...]``.
        rows: ``[n, f]``, standardised, float32.
        squares: ``[n]``, their squared lengths.
        centre, sd: ``[f]``.
    """

    train: np.ndarray
    rows: np.ndarray
    squares: np.ndarray
    centre: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, train: np.ndarray) -> Neighbours:
        """The neighbours among training inputs ``[n, ...]``."""
        flat = train.reshape(len(train), -1)
        centre, sd = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
        sd = np.where(sd > 0, sd, sd[sd > 0].mean() if (sd > 0).any() else 1.0)
        rows = ((flat - centre) / sd).astype(np.float32)
        squares = np.einsum("nf,nf->n", rows, rows)
        return cls(train=train, rows=rows, squares=squares, centre=centre, sd=sd)

    def distance(self, x: np.ndarray) -> np.ndarray:
        """From each input ``[p, ...]`` to the nearest row, in standard deviations, ``[p]``.

        ``min_j sqrt(mean_f ((x_f - t_jf) / sd_f)^2)``; which row is nearest is found in float32.
        """
        flat = x.reshape(len(x), -1).astype(np.float64)
        points = ((flat - self.centre) / self.sd).astype(np.float32)
        nearest = (self.squares - 2.0 * points @ self.rows.T).argmin(axis=1)
        apart = (flat - self.train.reshape(len(self.train), -1)[nearest]) / self.sd
        return np.asarray(np.sqrt((apart**2).mean(axis=1)))


def _predicted(predictive: Any, count: int) -> dict[str, np.ndarray]:
    if predictive.model.likelihood.is_classification:
        probs = np.asarray(predictive.class_probs, np.float64)
        parts = predictive.expected_entropy, np.maximum(predictive.mutual_information, 0.0)
        noise, unknown = (np.asarray(v, np.float64).reshape(count, -1).mean(axis=1) for v in parts)
        probs = probs.reshape(count, -1, probs.shape[-1]).mean(axis=1)
        return {"probs": probs, "aleatoric": noise, "epistemic": unknown}
    low, high = predictive.interval(LEVEL)
    columns = {
        "mean": predictive.mean,
        "low": low,
        "high": high,
        "aleatoric": predictive.aleatoric,
        "epistemic": predictive.epistemic,
    }
    return {name: np.asarray(v, np.float64).reshape(count, -1) for name, v in columns.items()}


def _line(arguments: Mapping[str, Any]) -> Line:
    direction = str(arguments.get("direction", "feature"))
    if direction not in LINES:
        raise OptionsError(
            f"'direction' must be one of {', '.join(LINES)}.{did_you_mean(direction, LINES)} "
            f"Received: {direction!r}."
        )
    return LINES[direction]


def _position_of_row(arguments: Mapping[str, Any], start: np.ndarray) -> float:
    direction = arguments.get("direction", "feature")
    if direction == "feature":
        return float(start[int(arguments.get("feature", 0))])
    return 1.0 if direction == "scale" else 0.0


def _marks(train: np.ndarray, arguments: Mapping[str, Any]) -> np.ndarray:
    if arguments.get("direction", "feature") != "feature":
        return np.empty(0)
    values = train[:, int(arguments.get("feature", 0))].astype(np.float64)
    count = min(len(values), MOST_MARKS)
    return values[np.arange(count) * len(values) // max(1, count)]


def _blend(
    start: np.ndarray, end: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``start`` at 0 and ``end`` at 1, and the line through both at the other positions."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    share = position.reshape(-1, *(1,) * start.ndim)
    return position, start + share * (end - start)


def _whole(name: str, value: Any, size: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size:
        raise OptionsError(f"{name!r} must be from 0 to {size - 1}. Received: {value!r}.")
    return value
