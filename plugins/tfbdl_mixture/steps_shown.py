"""What the panel of mixtures shows: a run's steps, one after the other, over the rows.

The steps are made again from the run's seed and options, by the same functions.

References:
    Bishop 2006, figures 9.1, 9.8 and 10.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import ModelError
from tfbdl.inference.em import Climb, Schedule
from tfbdl.remembered import remember
from tfbdl.standardization import column_moments

from . import geometry
from .panel import StepControls

MOST_STEPS = 200
MOST_ROWS = 1_000
TRAJECTORY_BYTES = 32 * 2**20
ANGLES = np.linspace(0.0, 2.0 * np.pi, 61)

Arrays = dict[str, np.ndarray]


def responsibilities(fit: Any, controls: StepControls) -> Arrays:
    """Components and the rows' shares in them after so many steps.

    Returns:
        ``point [n, 2]``: at most 1,000 training rows in a plane; ``share [n, k]``: their
        responsibilities; ``mean [k, 2]``, ``path [steps, k, 2]``: the means, and those before;
        ``ellipse [k, 2, 61, 2]`` at one and two standard deviations (not of k-means); ``weight
        [steps, k]`` and ``value [steps]`` of all steps, the latter named ``objective``; ``step``,
        ``steps``; ``kind``: ``em`` or ``gibbs``; ``climbs``: whether no step may fall; ``axis
        [2]``: names of the axes.

    Raises:
        ModelError: If the data of the run are not known.
    """
    x = remember(fit.model, "rows", lambda: _rows_of(fit))
    steps = _steps(fit, controls)
    step = min(controls.step, len(steps.value) - 1)
    shown = x[:: -(-len(x) // MOST_ROWS)]
    plane = _plane(x, controls)
    means = plane.of_points(steps.means)
    said = {
        "point": plane.of_points(shown),
        "share": steps.shares(step, shown),
        "mean": means[step],
        "path": means[: step + 1],
        "weight": steps.weights,
        "value": steps.value,
        "objective": np.array(steps.objective),
        "rows": np.array(len(x)),
        "step": np.array(step),
        "steps": np.array(len(steps.value) - 1),
        "kind": np.array(steps.kind),
        "climbs": np.array(steps.climbs),
        "axis": np.array(plane.names),
    }
    if steps.covariances is not None:
        said["ellipse"] = ellipses(means[step], plane.of_covariances(steps.covariances[step]))
    return said


def ellipses(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Ellipses at one and two standard deviations, for ``[k, 2]``, ``[k, 2, 2]``: [k, 2, 61, 2]."""
    values, vectors = np.linalg.eigh(covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, np.newaxis]
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
    edges = np.swapaxes(roots @ circle, 1, 2)
    radii = np.array([1.0, 2.0])[:, np.newaxis, np.newaxis]
    return np.asarray(means[:, np.newaxis, np.newaxis] + radii * edges[:, np.newaxis])


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """All steps of a climb, or draws of a Gibbs sampler.

    Attributes:
        weights: ``[steps, k]``.
        means: ``[steps, k, d]``.
        covariances: ``[steps, k, d, d]``, or None for k-means.
        value: ``[steps]``, the objective; of draws, how many components have rows.
        objective: What it is called.
        kind: ``em`` or ``gibbs``.
        climbs: Whether no step may fall: not where the E-step is random or of minibatches.
        shares: From a step and rows ``[n, d]``, of the training rows and in their order, to
            responsibilities ``[n, k]``.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray | None
    value: np.ndarray
    objective: str
    kind: str
    climbs: bool
    shares: Callable[[int, np.ndarray], np.ndarray]


def _steps(fit: Any, controls: StepControls) -> Steps:
    if getattr(fit.model, "has_draws_alone", False):
        return remember(fit.model, "steps", lambda: _draws_of(fit))
    seed = controls.seed if controls.start == "random" else None
    return remember(fit.model, ("steps", seed), lambda: _steps_of(fit, controls))


def _options_of(fit: Any) -> Mapping[str, Any]:
    return fit.spec.engine_options if fit.spec.engine in (None, "em") else {}


def _climb_of(fit: Any) -> Climb:
    """The loop over a copy of the model, which is not fitted."""
    model, options = fit.model.clone(seed=fit.model.seed), _options_of(fit)
    of_steps = ("e_step", "samples", "batch_size", "forgetting")
    schedule = Schedule(tolerance=None, **{n: options[n] for n in of_steps if n in options})
    return Climb(model, model.rows(fit.dataset().in_memory()), schedule, fit.spec.seed)


def _steps_of(fit: Any, controls: StepControls) -> Steps:
    climb = remember(fit.model, "climb", lambda: _climb_of(fit))  # traced once for all starts
    model: Any = climb.model
    state = climb.begin(_start(fit, model, climb.rows, _options_of(fit), controls))
    most = min(MOST_STEPS, max(1, TRAJECTORY_BYTES // _bytes_of(state.params)))
    states = [state]
    for _ in range(min(most, _length(fit, controls))):
        state, _values = climb.advance(state, 1)
        states.append(state)
    each = [{n: np.asarray(v) for n, v in s.params.items()} for s in states]

    def shares(step: int, shown: np.ndarray) -> np.ndarray:
        model.assign(each[step])
        return np.asarray(model.responsibilities(shown), np.float64)

    weights, means, covariances = zip(
        *(_components(model, params, s.statistics) for params, s in zip(each, states, strict=True)),
        strict=True,
    )
    return Steps(
        weights=np.stack(weights),
        means=np.stack(means),
        covariances=None if covariances[0] is None else np.stack(covariances),
        value=np.array([float(s.value) for s in states]),
        objective=model.objective,
        kind="em",
        climbs=climb.schedule.climbs,
        shares=shares,
    )


def _start(
    fit: Any, model: Any, rows: Any, options: Mapping[str, Any], controls: StepControls
) -> dict[str, tf.Tensor]:
    """Where the run's best climb began, or random rows."""
    initial, restart, seed = options.get("initial", "auto"), _best_restart(fit), fit.spec.seed
    if controls.start == "random":
        initial, restart, seed = "random", 0, controls.seed
    if isinstance(initial, str):
        # the number that the engine draws for the start of a climb
        number = random.bits((), random.key(seed, "em start", restart))
        method = "auto" if initial == "current" else initial
        start = model.start(rows, method, int(tf.cast(number, tf.int64)))
    else:
        like = model.start(rows, "random", 0)
        start = {n: np.asarray(initial[n], np.asarray(like[n]).dtype) for n in like}
    return {name: tf.convert_to_tensor(value) for name, value in start.items()}


def _best_restart(fit: Any) -> int:
    finals = fit.history.get(f"{fit.model.objective}_of_restarts", [0.0])
    return int(np.argmax(finals))


def _length(fit: Any, controls: StepControls) -> int:
    """How many steps the run made; a start of one's own may need more."""
    made = len(fit.history.get(fit.model.objective, ())) or MOST_STEPS
    return made if controls.start == "run" else max(made, 60)


def _components(
    model: Any, params: Mapping[str, np.ndarray], statistics: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Weights ``[k]``, means ``[k, d]`` and covariances ``[k, d, d]`` of parameters."""
    if "centers" in params:
        return np.asarray(statistics["counts"] / statistics["rows"]), params["centers"], None
    model.assign(params)
    if "covariances" in params:
        return params["weights"], params["means"], geometry.matrices(params, model.form)
    return model.weights_, model.means_, model.covariances_


def _draws_of(fit: Any) -> Steps:
    """Draws of the labels by a Gibbs sampler's first chain, at most 200."""
    x = _rows_of(fit)
    z = fit.model.draws.draws["z"][0]
    z = z[:: -(-len(z) // MOST_STEPS)]
    k, d = int(z.max()) + 1, x.shape[1]
    counts = np.stack([np.bincount(labels, minlength=k) for labels in z])
    means = np.full((len(z), k, d), np.nan)
    covariances = np.full((len(z), k, d, d), np.nan)
    for draw, labels in enumerate(z):
        members = np.split(x[np.argsort(labels, kind="stable")], np.cumsum(counts[draw])[:-1])
        for component in np.flatnonzero(counts[draw]):
            rows = members[component]
            means[draw, component] = rows.mean(axis=0)
            shifted = rows - means[draw, component]
            covariances[draw, component] = shifted.T @ shifted / len(rows)
    z = z[:, :: -(-len(x) // MOST_ROWS)].astype(np.int32)
    return Steps(
        weights=counts / len(x),
        means=means,
        covariances=covariances,
        value=(counts > 0).sum(axis=1).astype(np.float64),
        objective="components with rows",
        kind="gibbs",
        climbs=False,
        shares=lambda draw, shown: np.eye(k)[z[draw]],
    )


def _rows_of(fit: Any) -> np.ndarray:
    """The training rows ``[n, d]``.

    Raises:
        ModelError: If the data of the run are not known.
    """
    data = fit.dataset()
    if data is None:
        raise ModelError(
            "Responsibilities are of the rows of training. Expected: a run on data that are given "
            "by name. Received: other data, which no run stores."
        )
    return np.asarray(data.in_memory().x, np.float64)


def _bytes_of(params: Mapping[str, Any]) -> int:
    return sum(int(np.asarray(value).nbytes) for value in params.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """An affine map of rows ``[d]`` to two numbers.

    Attributes:
        centre: ``[d]``.
        directions: ``[d, 2]``.
        names: Of the axes.
    """

    centre: np.ndarray
    directions: np.ndarray
    names: tuple[str, str]

    def of_points(self, x: np.ndarray) -> np.ndarray:
        """``[..., d]`` to ``[..., 2]``."""
        return np.asarray((x - self.centre) @ self.directions)

    def of_covariances(self, S: np.ndarray) -> np.ndarray:
        """``[k, d, d]`` to ``[k, 2, 2]``."""
        return np.asarray(self.directions.T @ S @ self.directions)


def _plane(x: np.ndarray, controls: StepControls) -> Plane:
    """The first two principal axes of standardised rows, or two columns."""
    d = x.shape[1]
    if controls.axes == "columns" or d == 1:
        pair = [controls.first % d, controls.second % d]
        directions = np.eye(d)[:, pair]
        if d == 1:
            directions[:, 1] = 0.0
        return Plane(
            centre=np.zeros(d),
            directions=directions,
            names=(f"column {pair[0]}", f"column {pair[1]}" if d > 1 else ""),
        )
    centre, scale = column_moments(x)
    _, _, axes = np.linalg.svd((x - centre) / scale, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, np.newaxis]
    directions = axes[:2].T / scale[:, np.newaxis]
    return Plane(
        centre=centre,
        directions=directions,
        names=("first principal axis, in sd", "second principal axis, in sd"),
    )
