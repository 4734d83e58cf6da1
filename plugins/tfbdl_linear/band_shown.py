"""What the panel of linear regression shows: a posterior that narrows as rows come.

References:
    Bishop 2006, figures 3.8 and 3.9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import ModelError
from tfbdl.remembered import remember

from .linear import Linear
from .panel import BandControls

GRID = 201
MARGIN = 0.15  # of the rows' range, to both sides
MOST_ROWS = 1_000

Arrays = dict[str, np.ndarray]


def predictive_band(fit: Any, controls: BandControls) -> Arrays:
    """The closed form for one column, given the first rows in a random order.

    The noise's precision is that of all rows; with ``basis="run"`` all other options are the run's.

    Returns:
        ``grid [g]``, ``mean [g]``, ``function_sd [g]``, ``target_sd [g]`` (the noise included);
        ``line [lines, g]``: draws of the function; ``x [n]``, ``y [n]``: the rows taken in,
        ``rest_x``, ``rest_y``: at most 1,000 of those to come; ``noise_sd``; ``rows``: how many are
        taken in, ``all``: of how many; ``weights``: how many there are.

    Raises:
        ModelError: If the data of the run are not known, or have several targets.
        DataError, OptionsError: If the run's options do not fit one column.
    """
    x, y = remember(fit.model, "rows", lambda: _rows_of(fit))
    column = controls.column % x.shape[1]
    x, order = x[:, [column]], np.random.default_rng(controls.seed).permutation(len(x))
    name = ("whole", column, controls.basis, controls.num_basis)
    options, data = remember(fit.model, name, lambda: _options(fit, controls, x, y))
    taken = order[: min(controls.rows, len(order))]
    model = Linear(options, data.info, None, 0)
    posterior = model.condition(_dataset(x[taken], y[taken]))
    margin = MARGIN * float(np.ptp(x))
    grid = np.linspace(float(x.min()) - margin, float(x.max()) + margin, GRID)[:, np.newaxis]
    predict = posterior.predictive
    assert predict is not None  # a regression has one
    predictive = predict(grid)
    states = posterior.sample(controls.lines, seed=controls.seed)
    lines = [
        model.outputs({n: tf.constant(v[i]) for n, v in states.items()}, grid).numpy()
        for i in range(controls.lines)
    ]
    rest = order[len(taken) :][:MOST_ROWS]
    return {
        "grid": grid[:, 0],
        "mean": np.asarray(predictive.mean).reshape(-1),
        "function_sd": np.sqrt(np.asarray(predictive.epistemic)).reshape(-1),
        "target_sd": np.sqrt(np.asarray(predictive.variance)).reshape(-1),
        "line": np.stack(lines).reshape(len(lines), -1),
        "x": x[taken, 0],
        "y": y[taken],
        "rest_x": x[rest, 0],
        "rest_y": y[rest],
        "noise_sd": np.sqrt(np.asarray(predictive.aleatoric).reshape(-1)).mean(),
        "rows": np.array(len(taken)),
        "all": np.array(len(order)),
        "column": np.array(column),
        "weights": np.array(model.basis.num_columns),
    }


def _rows_of(fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs ``[n, d]`` and targets ``[n]`` of training."""
    data = fit.dataset()
    if data is None:
        raise ModelError(
            "A band is drawn around rows of data. Expected: a run on data that are given by name. "
            "Received: other data, which no run stores."
        )
    data = data.in_memory()
    x, y = np.asarray(data.x, np.float64), np.asarray(data.y, np.float64)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1:
        raise ModelError(
            f"A band is drawn for one target. Received: targets of shape {list(y.shape)}."
        )
    return x.reshape(len(x), -1), y


def _options(fit: Any, controls: BandControls, x: np.ndarray, y: np.ndarray) -> tuple[Any, Dataset]:
    """Options for one column, with the precisions that all rows ask for; and all rows."""
    given = fit.model.options
    changes: dict[str, Any] = {"centers": "grid"} if given.at_rows else {}
    if x.shape[1] != fit.model.info.x_shape[0] or controls.basis != "run":
        changes |= {"m0": None, "S0": None}
    if controls.basis != "run":
        changes |= {"basis": controls.basis, "num_basis": controls.num_basis, "domain": None}
        changes |= {"width": None, "period": None, "degree": min(controls.num_basis, 9)}
    options, data = given.model_copy(update=changes), _dataset(x, y)
    whole = Linear(options, data.info, None, 0)
    whole.condition(data)
    found = {"alpha": float(whole.alpha_)} if options.S0 is None else {}
    if options.noise_prior == "point":
        found["beta"] = float(whole.beta_)
    return options.model_copy(update=found), data


def _dataset(x: np.ndarray, y: np.ndarray) -> Dataset:
    return as_dataset((x, y), task="regression")
