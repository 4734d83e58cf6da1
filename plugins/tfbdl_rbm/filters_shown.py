"""What the panel of Boltzmann machines shows: what hidden units look for, and what it dreams of.

References:
    Hinton 2010, A Practical Guide to Training Restricted Boltzmann Machines, section 15.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.pictures import image_shape
from tfbdl.remembered import remember

from . import energy
from .panel import MOST_STEPS, FilterControls
from .units import Units

MOST_ROWS = 500
FANTASIES = 20
MOST_UNITS = 40
HISTOGRAM = np.linspace(0.0, 1.0, 21)

Arrays = dict[str, np.ndarray]


def filters(fit: Any, controls: FilterControls) -> Arrays:
    """The weights of the busiest hidden units, and fantasies after so many Gibbs steps.

    Returns:
        ``filter [m, ...]`` of at most 40 units with the largest weights, ``unit [m]``; ``fantasy
        [20, ...]``: mean of the visible units given the hidden ones, after ``steps`` from noise;
        ``free_energy [201]``: a mean over the chains after each step, and ``of_rows`` that of data
        rows (NaN without data); ``bin [20]`` and ``activation [20]``: density of ``p(h = 1 | v)``
        over rows and units, ``mean_active`` its mean.
    """
    model = fit.model
    W = np.asarray(model.kernel).T
    order = np.argsort(-np.linalg.norm(W, axis=1), kind="stable")[:MOST_UNITS]
    known = fit.info is not None
    shape = image_shape(
        fit.info.x_shape if known else (W.shape[1],), fit.info.feature_names if known else None
    )
    shape = (W.shape[1],) if shape is None or len(shape) == 3 else shape
    chains, energies = remember(
        model, ("chains", controls.seed), lambda: _chains(model, controls.seed)
    )
    rows = remember(model, "rows", lambda: _rows_of(fit))
    said = {
        "filter": W[order].reshape(-1, *shape),
        "unit": order,
        "fantasy": model.reconstruct(chains[controls.steps]).reshape(-1, *shape),
        "free_energy": energies,
        "of_rows": np.array(np.nan if rows is None else model.free_energy(rows).mean()),
        "steps": np.array(controls.steps),
        "is_image": np.array(len(shape) == 2),
        "hidden": np.array(W.shape[0]),
    }
    if rows is not None:
        active = remember(model, "active", lambda: model.hidden_probs(rows))
        said["bin"] = 0.5 * (HISTOGRAM[1:] + HISTOGRAM[:-1])
        said["activation"] = np.histogram(active, HISTOGRAM, density=True)[0]
        said["mean_active"] = np.array(active.mean())
    return said


def _chains(model: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Visible states ``[step, chain, d]`` from noise on, and their mean free energy ``[step]``."""
    key = random.key(seed, "fantasies")
    weights = model.weights_now()
    start = model.units.base_draw(FANTASIES, random.fold_in(key, "base"), weights.W.dtype)
    run = remember(model, "run", lambda: _compiled(model.units))
    states, free = run(start, weights, key)
    return states.numpy(), free.numpy()


def _compiled(units: Units) -> Any:
    """All steps of all chains, traced once for all seeds."""

    @tf.function(autograph=False)
    def run(
        start: tf.Tensor, weights: energy.Weights, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def step(u: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
            return energy.gibbs_step(units, weights, u, random.fold_in(key, i))

        later = tf.scan(step, tf.range(MOST_STEPS), initializer=start)
        states = tf.concat([start[tf.newaxis], later], axis=0)
        flat = tf.reshape(states, [-1, start.shape[1]])
        free = tf.reshape(energy.free_energy(units, weights, flat), [-1, FANTASIES])
        decoded = tf.reshape(units.decode(flat), [-1, FANTASIES, start.shape[1]])
        return decoded, tf.reduce_mean(free, axis=1)

    return run


def _rows_of(fit: Any) -> np.ndarray | None:
    """At most 500 rows, evenly spaced: of the test where there are any."""
    data = fit.dataset()
    if data is None or (data.x is None and data.x_test is None):
        return None
    x = np.asarray(data.x if data.x_test is None else data.x_test)
    return x[:: -(-len(x) // MOST_ROWS)]
