"""Expectation maximisation: the E-step and M-step of a model in one compiled loop.

References:
    Dempster, Laird & Rubin 1977 (EM); Wei & Tanner 1990 (the Monte Carlo E-step); Neal & Hinton
    1998 (variational E-steps, bounds); Cappe & Moulines 2009 (steps on minibatches).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from ... import random
from ...data.batches import permutation
from ...errors import ModelError
from ...protocols import ExpectationMaximization, Params, Statistics
from . import sums

COMPILED_BYTES = 16 * 2**20  # of an E-step: below, compiling it takes longer than it saves
CHUNK = 128  # steps of the compiled loop between two looks at it
WINDOW = 10  # values of a noisy trace whose mean is compared with that of as many before
ROUNDING = {tf.float64: 1e-9, tf.float32: 1e-5}
"""By how much rounding may let a trace fall: of its size and of the number of rows."""

EStep = Literal["exact", "monte_carlo", "variational"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a climb proceeds.

    Attributes:
        tolerance: A step that gains less, in nats per row, is the last; None: never. Where steps
            are random, means of ten values of the trace are compared in place of two values.
        e_step: Which E-step.
        samples: Draws of the latents in a Monte Carlo E-step.
        batch_size: Rows of a minibatch; None: each step takes all rows.
        forgetting: Exponent of the weights ``(t + 2) ** -forgetting`` of minibatches, in (0.5, 1].
    """

    tolerance: float | None = None
    e_step: EStep = "exact"
    samples: int = 10
    batch_size: int | None = None
    forgetting: float = 0.7

    @property
    def climbs(self) -> bool:
        """Whether no step may fall."""
        return self.e_step != "monte_carlo" and self.batch_size is None


class EMState(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        step: M-steps done (of minibatches: passes over the data).
        params: Name -> array.
        statistics: Expected under ``params``; of minibatches their weighted mean so far.
        value: The objective of ``params`` on all rows, in nats.
        recent: The last values of a noisy trace, the latest at the end: ``[2 WINDOW]``.
        converged: Whether the last step gained less than the tolerance.
    """

    step: tf.Tensor
    params: Any
    statistics: Any
    value: tf.Tensor
    recent: tf.Tensor
    converged: tf.Tensor


class Climb:
    """The compiled loop over one model and its rows.

    Args:
        model: What is fitted.
        rows: What ``model.rows`` gave.
        schedule: How.
        seed: Of the draws of a Monte Carlo E-step and of the order of minibatches.

    Raises:
        ModelError: If the model has no such E-step.
    """

    def __init__(
        self, model: ExpectationMaximization, rows: Any, schedule: Schedule, seed: int
    ) -> None:
        self.model, self.schedule, self.seed = model, schedule, seed
        self.rows = tf.nest.map_structure(tf.convert_to_tensor, rows)
        self.num_rows = int(tf.nest.flatten(self.rows)[0].shape[0])
        self.key = random.key(seed, "em")
        self._one = _e_step_of(model, schedule)
        self._traced: dict[Any, Any] = {}
        compiled = getattr(model, "jit_compile", None)
        if compiled is None:
            large = self.num_rows * self._row_bytes() > COMPILED_BYTES
            compiled = "e_step" if large else False
        self._whole = compiled is True  # a function inside would be compiled apart
        whole = self._whole
        self._begin = tf.function(self._first, jit_compile=whole, autograph=False)
        self._step = self._full_step if schedule.batch_size is None else self._pass
        self._advance = tf.function(self._steps, jit_compile=whole, autograph=False)
        e_step = compiled == "e_step"
        self._sums = tf.function(self._sum_of_parts, jit_compile=e_step, autograph=False)

    def begin(self, params: Params) -> EMState:
        """The state before the first M-step."""
        return self._run(self._begin, dict(params), self.rows)

    def advance(self, state: EMState, steps: int) -> tuple[EMState, list[float]]:
        """Up to ``steps`` more steps, at most ``CHUNK``; and the objective after each."""
        before = int(state.step)
        count = tf.constant(min(steps, CHUNK))
        state, values = self._run(self._advance, state, self.rows, count)
        return state, values[: int(state.step) - before].numpy().tolist()

    def _run(self, function: Any, *arguments: Any) -> Any:
        """Call a function that is traced once, past TensorFlow's count of retracings.

        Each climb has functions of its own; the count would take them for one traced anew.
        """
        if function not in self._traced:
            self._traced[function] = function.get_concrete_function(*arguments)
        return self._traced[function](*arguments)

    def slack(self, state: EMState) -> float:
        """How far rounding may let the objective fall: as the model says, else by its precision."""
        dtypes = {part.dtype for part in tf.nest.flatten(state.params) if part.dtype.is_floating}
        least = tf.float32 if tf.float32 in dtypes else tf.float64
        total = ROUNDING[least] * (abs(float(state.value)) + self.num_rows)
        own = getattr(self.model, "rounding", None)
        if own is not None:
            params = {name: np.asarray(value) for name, value in state.params.items()}
            total += self.num_rows * float(own(params))
        return total

    def _first(self, params: Params, rows: Any) -> EMState:
        step = tf.constant(0)
        statistics = self._expected(params, rows, step)
        value = self.model.log_likelihood(params, statistics)
        recent = tf.fill((2 * WINDOW,), tf.cast(-np.inf, value.dtype))
        return EMState(step, params, statistics, value, recent, tf.constant(False))

    def _steps(self, state: EMState, rows: Any, count: tf.Tensor) -> tuple[EMState, tf.Tensor]:
        last = state.step + count
        values = tf.zeros((CHUNK,), state.value.dtype)
        first = state.step

        def unfinished(state: EMState, values: tf.Tensor) -> tf.Tensor:
            return (state.step < last) & ~state.converged

        def body(state: EMState, values: tf.Tensor) -> tuple[EMState, tf.Tensor]:
            after = self._step(state, rows)
            place = tf.one_hot(state.step - first, CHUNK, on_value=True, off_value=False)
            return after, tf.where(place, after.value, values)

        return tf.while_loop(unfinished, body, (state, values))

    def _full_step(self, state: EMState, rows: Any) -> EMState:
        params = self._maximised(state.params, state.statistics)
        statistics = self._expected(params, rows, state.step + 1)
        value = self.model.log_likelihood(params, statistics)
        return self._after(state, params, statistics, value)

    def _pass(self, state: EMState, rows: Any) -> EMState:
        """One pass over minibatches in an order of its own: Cappe & Moulines 2009, eq. 9."""
        size = min(self.schedule.batch_size or 1, self.num_rows)
        batches = self.num_rows // size
        order = permutation(self.num_rows, self.seed, state.step)[: batches * size]
        order = tf.reshape(order, (batches, size))

        def body(b: tf.Tensor, params: Any, statistics: Any) -> tuple[tf.Tensor, Any, Any]:
            batch = tf.nest.map_structure(lambda part: tf.gather(part, order[b]), rows)
            count = state.step * batches + b
            key = random.fold_in(self.key, tf.cast(count, tf.int64))
            fresh = self._one(params, batch, key)

            def blend(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
                share = tf.cast(tf.cast(count, tf.float64) + 2.0, tf.float64)
                weight = tf.cast(share**-self.schedule.forgetting, old.dtype)
                return (1.0 - weight) * old + weight * new * (self.num_rows / size)

            statistics = tf.nest.map_structure(blend, statistics, dict(fresh))
            return b + 1, self._maximised(params, statistics), statistics

        loop = (tf.constant(0), state.params, state.statistics)
        _, params, statistics = tf.while_loop(lambda b, *_: b < batches, body, loop)
        whole = self._expected(params, rows, state.step + 1)
        value = self.model.log_likelihood(params, whole)
        return self._after(state, params, statistics, value)

    def _after(self, before: EMState, params: Any, statistics: Any, value: tf.Tensor) -> EMState:
        """The state after a step, with the verdict whether it was the last."""
        recent = tf.concat([before.recent[1:], value[tf.newaxis]], axis=0)
        converged = self._converged(before, value, recent)
        return EMState(before.step + 1, params, statistics, value, recent, converged)

    def _converged(self, before: EMState, value: tf.Tensor, recent: tf.Tensor) -> tf.Tensor:
        if self.schedule.tolerance is None:
            return tf.zeros_like(before.converged)
        unit = getattr(self.model, "objective_unit", 1.0)
        least = tf.cast(self.schedule.tolerance * self.num_rows * unit, value.dtype)
        if self.schedule.climbs:
            return value - before.value < least
        gain = tf.reduce_mean(recent[WINDOW:]) - tf.reduce_mean(recent[:WINDOW])
        return (before.step + 1 >= 2 * WINDOW) & (gain < least)

    def _maximised(self, before: Params, statistics: Statistics) -> dict[str, tf.Tensor]:
        """The M-step's parameters, checked as the program is traced."""
        after = dict(self.model.m_step(statistics))
        for name in dict.fromkeys([*before, *after]):
            if name not in after or name not in before:
                raise ModelError(
                    f"m_step must give the parameters {', '.join(before)}. "
                    f"Received: {', '.join(after)}."
                )
            after[name] = tf.ensure_shape(after[name], before[name].shape)
        return {name: after[name] for name in before}

    def _expected(self, params: Params, rows: Any, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """The statistics of all rows; traced once for the begin and for all steps."""
        if self._whole:
            return self._sum_of_parts(params, rows, step)
        return self._run(self._sums, params, rows, step)

    def _sum_of_parts(self, params: Params, rows: Any, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """The statistics of all rows, part by part in bounded memory."""
        key = random.fold_in(self.key, tf.cast(step, tf.int64))

        def of(part: Any, number: tf.Tensor) -> dict[str, tf.Tensor]:
            return dict(self._one(params, part, random.fold_in(key, number)))

        return sums.over_rows(of, rows, self._row_bytes())

    def _row_bytes(self) -> int:
        own = getattr(self.model, "row_bytes", None)
        leaves = tf.nest.flatten(self.rows)
        plain = sum(leaf.dtype.size * math.prod(leaf.shape[1:]) for leaf in leaves)
        return int(own or 16 * plain)


def _e_step_of(model: Any, schedule: Schedule) -> Callable[[Params, Any, tf.Tensor], Statistics]:
    """The E-step that was asked for, as a function of parameters, rows and a key."""
    name = {"monte_carlo": "sampled_e_step", "variational": "variational_e_step"}.get(
        schedule.e_step
    )
    if name is None:
        return lambda params, rows, key: model.e_step(params, rows)
    step = getattr(model, name, None)
    if step is None:
        raise ModelError(
            f"A {type(model).__name__} has no {schedule.e_step.replace('_', ' ')} E-step "
            f"({name}). Use e_step='exact'."
        )
    if name == "variational_e_step":
        return lambda params, rows, key: step(params, rows)

    def averaged(params: Params, rows: Any, key: tf.Tensor) -> Statistics:
        def body(i: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
            more = dict(step(params, rows, random.fold_in(key, tf.cast(i, tf.int64))))
            return i + 1, tf.nest.map_structure(tf.add, total, more)

        loop = (tf.constant(1), dict(step(params, rows, random.fold_in(key, 0))))
        total = tf.while_loop(lambda i, _: i < schedule.samples, body, loop)[1]
        return tf.nest.map_structure(lambda value: value / schedule.samples, total)

    return averaged
