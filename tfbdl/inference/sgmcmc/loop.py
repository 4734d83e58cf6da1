"""Many steps of a stochastic-gradient sampler in one compiled program, its whole state in and out.

References:
    Ma, Chen & Fox 2015, "A Complete Recipe for Stochastic Gradient MCMC", of which all rules here
    are instances.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from ... import random
from .density import Estimate, States, StochasticDensity
from .kernels import noise_like
from .rules import SgldRule, Slots
from .schedules import Constant

BUFFER_BYTES = 2**24
MOST_ROWS = 4096


class State(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        step: Steps made.
        kept: Draws kept.
        cycle: ``[2]``, the steps of a schedule's cycle and those of them that sample.
        params: Site name -> unconstrained ``[chain, ...]``.
        slots: What the rule keeps.
        anchor: (params, full gradient) of the control variate, or an empty tuple.
        log_joint: ``[chain]``, estimated in the last step.
        step_size: Of the last step.
    """

    step: tf.Tensor
    kept: tf.Tensor
    cycle: tf.Tensor
    params: States
    slots: Slots
    anchor: tuple[States, ...]
    log_joint: tf.Tensor
    step_size: tf.Tensor


class Kept(NamedTuple):
    """Draws of one call, of which the first few rows are filled.

    Attributes:
        params: Site name -> unconstrained ``[row, chain, ...]``.
        log_joint: ``[row, chain]``.
        step_size: ``[row]``.
    """

    params: States
    log_joint: tf.Tensor
    step_size: tf.Tensor


class Loop:
    """The compiled sampler.

    Args:
        density: What to sample.
        rule: A step.
        schedule: Step sizes.
        key: ``[2]``; all of the loop's random numbers are functions of it.
        warmup: Steps that are not kept; the schedule begins after them.
        thin: Sampling steps for each draw.
        temperature: T.
    """

    def __init__(
        self,
        density: StochasticDensity,
        rule: SgldRule,
        schedule: Constant,
        key: tf.Tensor,
        *,
        chains: int,
        warmup: int = 0,
        thin: int = 1,
        temperature: float = 1.0,
    ) -> None:
        self.density, self.rule, self.schedule = density, rule, schedule
        self.chains, self.warmup, self.thin = chains, warmup, thin
        self.temperature = temperature
        keys = random.split(key, chains)
        self.streams = {n: random.fold_in(keys, n) for n in ("noise", "rows", "probes")}
        numbers = chains * density.num_parameters
        self.capacity = max(1, min(MOST_ROWS, BUFFER_BYTES // (4 * numbers)))
        self.advance = tf.function(self._advance, jit_compile=density.jit_compile, autograph=False)

    def start(self, params: States, sampling_steps: int) -> State:
        """The state before the first step.

        Args:
            params: Site name -> unconstrained ``[chain, ...]``.
            sampling_steps: Those of one cycle, where the schedule has cycles.
        """
        log_joint = self.density.log_density(
            {name: value[0] for name, value in params.items()}, self._peek()
        )
        return State(
            step=tf.constant(0),
            kept=tf.constant(0),
            cycle=tf.constant(self.schedule.cycle(sampling_steps), tf.int32),
            params=params,
            slots=self.rule.start(params),
            anchor=(),
            log_joint=tf.zeros((self.chains,), log_joint.dtype),
            step_size=tf.zeros((), "float64"),
        )

    def _peek(self) -> Any:
        """One row of the data."""
        if self.density.data is None:
            return None
        return tf.nest.map_structure(lambda part: part[:1], self.density.data)

    def _advance(self, state: State, steps: tf.Tensor, draws: tf.Tensor) -> tuple[State, Kept]:
        """Make up to ``steps`` steps, or fewer where the buffer is full or ``draws`` are kept."""
        first = state.kept
        last = state.step + steps

        def room(values: Any) -> Any:
            return tf.nest.map_structure(
                lambda v: tf.zeros((self.capacity + 1, *v.shape), v.dtype), values
            )

        def unfinished(state: State, kept: Kept) -> tf.Tensor:
            free = state.kept - first < self.capacity
            return (state.step < last) & free & (state.kept < draws)

        def next_draw(state: State, kept: Kept) -> tuple[State, Kept]:
            before = state.kept
            state = tf.while_loop(
                lambda now: (now.step < last) & (now.kept == before), self._step, (state,)
            )[0]
            row = tf.where(state.kept > before, before - first, self.capacity)
            values = Kept(state.params, state.log_joint, state.step_size)
            in_place = self.density.jit_compile
            written = [
                _write(buffer, value, row, in_place)
                for buffer, value in zip(
                    tf.nest.flatten(kept), tf.nest.flatten(values), strict=True
                )
            ]
            return state, tf.nest.pack_sequence_as(kept, written)

        kept = room(Kept(state.params, state.log_joint, state.step_size))
        state, kept = tf.while_loop(unfinished, next_draw, (state, kept))
        return state, kept

    def _step(self, state: State) -> tuple[State]:
        step = tf.cast(state.step, tf.int64)
        since = tf.maximum(state.step - self.warmup, 0)
        step_size, samples = self.schedule(since, state.cycle)
        temperature = tf.where(samples, tf.constant(self.temperature, "float64"), 0.0)
        estimate = self._estimate(state, step)
        params, slots = self.rule.move(
            state.params,
            state.slots,
            estimate,
            noise_like(state.params, self.streams["noise"], step),
            step=state.step,
            step_size=step_size,
            temperature=temperature,
        )
        turn = (self.schedule.position(since, state.cycle) + 1) % self.thin == 0
        keep = samples & turn & (state.step >= self.warmup)
        return (
            state._replace(
                step=state.step + 1,
                kept=state.kept + tf.cast(keep, tf.int32),
                params=params,
                slots=slots,
                log_joint=estimate.log_joint,
                step_size=step_size,
            ),
        )

    def _estimate(self, state: State, step: tf.Tensor) -> Estimate:
        rows = self.density.rows(self.streams["rows"], step)
        probes = None
        if self.rule.needs_curvature:
            keys = random.fold_in(self.streams["probes"], step)
            probes = {
                name: random.rademacher(v.shape[1:], random.fold_in(keys, name), v.dtype)
                for name, v in state.params.items()
            }
        if state.anchor:
            anchor, gradient = state.anchor
            return self.density.controlled(state.params, rows, anchor, gradient, probes)
        return self.density.estimate(state.params, rows, probes)


def _write(buffer: tf.Tensor, value: tf.Tensor, row: tf.Tensor, in_place: bool) -> tf.Tensor:
    if in_place:  # under XLA, where a scatter copies the buffer
        where = tf.stack([row, *[0] * value.shape.rank])
        return xla.dynamic_update_slice(buffer, value[tf.newaxis], where)
    return tf.tensor_scatter_nd_update(buffer, [[row]], value[tf.newaxis])
