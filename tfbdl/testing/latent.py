"""The checks of models with latent variables, and of those with closed forms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import functional
from ..data import Dataset
from ..protocols import Alternating, ClosedForm, ExpectationMaximization, Stateful
from .expect import require, require_finite
from .steps import train_one_step, value_of

STEPS = 5
TOLERANCE = 1e-6  # relative; sums in another order


def check_em(who: str, model: Any, data: Dataset) -> None:
    """The E-step's statistics are sums over rows, and steps do not lower the objective.

    A ``keras.Model`` is checked by ``check_alternating``.

    Raises:
        AssertionError: If one of these does not hold.
    """
    if isinstance(model, keras.Model):
        check_alternating(who, model, data)
        return
    require(
        isinstance(model, ExpectationMaximization),
        f"{who} must have objective, rows, start, e_step, m_step, log_likelihood and assign.",
    )
    rows = tf.nest.map_structure(tf.convert_to_tensor, model.rows(data))
    params = {n: tf.convert_to_tensor(v) for n, v in model.start(rows, "auto", 0).items()}
    require_finite(f"{who} at its start", params)
    statistics = dict(model.e_step(params, rows))
    count = int(tf.nest.flatten(rows)[0].shape[0])
    if count > 1:
        halves = [slice(0, count // 2), slice(count // 2, count)]
        parts = [
            dict(model.e_step(params, tf.nest.map_structure(lambda part, s=s: part[s], rows)))
            for s in halves
        ]
        for name, whole in statistics.items():
            both = np.asarray(parts[0][name] + parts[1][name])
            require(
                _close(both, np.asarray(whole)),
                f"{who}: the statistic {name!r} of two halves does not add up to that of all rows.",
            )
    value = float(model.log_likelihood(params, statistics))
    for step in range(1, STEPS + 1):
        after = dict(model.m_step(statistics))
        shapes = {n: tuple(v.shape) for n, v in params.items()}
        found = {n: tuple(v.shape) for n, v in after.items()}
        require(found == shapes, f"{who}: m_step must give {shapes}. Received: {found}.")
        params = after
        statistics = dict(model.e_step(params, rows))
        before, value = value, float(model.log_likelihood(params, statistics))
        require_finite(f"{who} after step {step}", {**params, model.objective: value})
        require(
            value >= before - TOLERANCE * (1.0 + abs(before)),
            f"{who}: the {model.objective} falls from {before:.9g} to {value:.9g} at step {step}.",
        )


def check_alternating(who: str, model: keras.Model, data: Dataset) -> None:
    """Two phases part all trainable weights, and a step of either changes its own alone.

    Raises:
        AssertionError: If one of these does not hold.
    """
    require(isinstance(model, Alternating), f"{who}: a keras.Model must have phases().")
    phases = {name: list(variables) for name, variables in model.phases().items()}
    require(set(phases) == {"e", "m"}, f"{who}: the phases must be e and m, not {set(phases)}.")
    owner: dict[int, str] = {}
    for name, variables in phases.items():
        for variable in variables:
            require(id(variable) not in owner, f"{who}: {variable.path!r} is in both phases.")
            owner[id(variable)] = name
    missing = [v.path for v in model.trainable_variables if id(v) not in owner]
    require(not missing, f"{who}: {', '.join(missing)} train in neither phase.")
    for name, variables in phases.items():
        before = [value_of(variable) for variable in model.trainable_variables]
        with functional.training_only(model, variables):
            train_one_step(f"{who} in phase {name!r}", model, data)
        for variable, old in zip(model.trainable_variables, before, strict=True):
            changed = not np.array_equal(old, value_of(variable))
            require(
                changed == (owner[id(variable)] == name),
                f"{who}: {variable.path!r} {'moves' if changed else 'does not move'} in a step of "
                f"the phase {name!r}.",
            )


def check_exact(who: str, model: Any, data: Dataset) -> None:
    """Rows taken in by halves lead where all rows at once lead.

    Raises:
        AssertionError: If they do not.
    """
    require(isinstance(model, ClosedForm), f"{who} must have condition(data).")
    require(
        isinstance(model, Stateful) and hasattr(model, "clone"),
        f"{who} must have get_state, set_state and clone(seed).",
    )
    at_once, in_turn = model.clone(0), model.clone(0)
    at_once.condition(data)
    rows = data.in_memory()
    count = len(tf.nest.flatten(rows.x)[0])
    for part in (slice(0, count // 2), slice(count // 2, count)):
        in_turn.condition(rows.part(part))
    state, other = at_once.get_state(), in_turn.get_state()
    require(set(state) == set(other), f"{who}: the state has other arrays after two halves.")
    for name, value in state.items():
        require(
            _close(np.asarray(other[name]), np.asarray(value)),
            f"{who}: {name!r} is not the same after two halves as after all rows at once.",
        )


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two arrays agree up to the order of their sums."""
    if expected.dtype.kind != "f":
        return bool(np.array_equal(found, expected))
    scale = float(np.abs(expected).max(initial=1.0))
    return bool(np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale))
