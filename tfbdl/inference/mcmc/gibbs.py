"""Gibbs sampling: each block of sites drawn exactly, given all the others.

References:
    Geman & Geman 1984; Gelfand & Smith 1990; Liu, Wong & Kong 1995 (blocks, orders of the scan).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from ... import random
from ...errors import ModelError, did_you_mean
from ...protocols import Conditionals, Params
from ...serial import map_serially
from .target import chain_seeds
from .trees import write_rows


class SweepState(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        iteration: Sweeps done, warm-up included, ``[chain]``; the same for all.
        params: Site name -> ``[chain, ...]``.
        draws: Site name -> ``[draws + 1, chain, ...]``; the last row takes what is not kept.
        stats: ``[draws + 1, chain, 0 or 1]``: the log joint, where the model has one.
    """

    iteration: tf.Tensor
    params: Any
    draws: Any
    stats: tf.Tensor


class Sweeps:
    """Sweeps over the blocks of a model; ``start`` and ``advance`` are as in Nuts.

    Args:
        model: What offers ``conditionals`` and ``init``; its log joint is recorded if it has one.
        batch: What the conditionals take.
        warmup: Sweeps that are not kept.
        thin: Every so many sweeps after warm-up is kept.
        random_order: Whether each sweep takes the blocks in an order of its own.

    Raises:
        ModelError: If there are no blocks.
    """

    def __init__(
        self,
        model: Conditionals,
        batch: Any = None,
        *,
        warmup: int,
        thin: int = 1,
        random_order: bool = False,
    ) -> None:
        self.model, self.batch = model, batch
        self.warmup, self.thin, self.random_order = warmup, thin, random_order
        self.blocks = dict(model.conditionals)
        if not self.blocks:
            raise ModelError("The model has no conditionals to draw from. Received: {}.")
        self.log_joint = getattr(model, "log_joint", None)
        self.stats = () if self.log_joint is None else ("lp",)
        self.advance = tf.function(self._advance, jit_compile=True, autograph=False)
        self.start = tf.function(self._start, jit_compile=True, autograph=False)

    def initial_states(self, chains: int, seed: int) -> dict[str, tf.Tensor]:
        """Site name -> ``[chain, ...]``: the model's own start, each from a seed of its chain."""
        seeds = chain_seeds(chains, seed, "initial states")
        states = [dict(self.model.init(s)) for s in seeds]
        latents = getattr(self.model, "init_latents", None)
        if latents is not None:
            states = [{**s, **latents(key)} for s, key in zip(states, seeds, strict=True)]
        return {n: tf.stack([tf.convert_to_tensor(s[n]) for s in states]) for n in states[0]}

    def constrain(self, z: Params) -> dict[str, tf.Tensor]:
        """The values themselves: conditionals draw in the constrained space."""
        return dict(z)

    def _advance(
        self, state: SweepState, keys: tf.Tensor, last_iteration: tf.Tensor, steps: tf.Tensor
    ) -> SweepState:
        """Make up to ``steps`` sweeps, until ``last_iteration`` is reached."""

        def unfinished(count: tf.Tensor, state: SweepState) -> tf.Tensor:
            return (count < steps) & (state.iteration[0] < last_iteration)

        def body(count: tf.Tensor, state: SweepState) -> tuple[tf.Tensor, SweepState]:
            return count + 1, self._step(state, keys)

        return tf.while_loop(unfinished, body, (tf.zeros_like(steps), state))[1]

    def _step(self, state: SweepState, keys: tf.Tensor) -> SweepState:
        now = random.fold_in(keys, tf.cast(state.iteration, tf.int64))
        kinds = tf.nest.map_structure(lambda v: tf.TensorSpec(v.shape[1:], v.dtype), state.params)
        figures = tf.TensorSpec((len(self.stats),), state.stats.dtype)
        params, lp = map_serially(
            lambda chain: self._sweep(*chain), (now, state.params), (kinds, figures)
        )
        iteration = state.iteration + 1
        done = iteration - self.warmup
        rows = state.stats.shape[0] - 1
        keep = (done > 0) & (done % self.thin == 0) & (done <= rows * self.thin)
        row = tf.where(keep, done // self.thin - 1, rows)
        draws = {n: write_rows(state.draws[n], params[n], row) for n in params}
        stats = write_rows(state.stats, lp, row) if self.stats else state.stats
        return SweepState(iteration, params, draws, stats)

    def _sweep(self, key: tf.Tensor, params: Params) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """All blocks of one chain, and the log joint where they lead."""
        state = dict(params)
        if self.random_order:
            chance = random.uniform((len(self.blocks),), random.fold_in(key, "order"))
            order = tf.argsort(chance)
            for place in range(len(self.blocks)):
                here = random.fold_in(key, place)
                branches = [functools.partial(self._draw, n, here, state) for n in self.blocks]
                state = tf.switch_case(order[place], branches)
        else:
            for place, name in enumerate(self.blocks):
                state = self._draw(name, random.fold_in(key, place), state)
        lp = [] if self.log_joint is None else [self.log_joint(state, self.batch)]
        return state, tf.cast(tf.reshape(lp, [-1]), _float_of(state))

    def _draw(self, name: str, key: tf.Tensor, state: Mapping[str, tf.Tensor]) -> Any:
        """The state with one block drawn anew, checked as the program is traced."""
        fresh = dict(self.blocks[name](tf.bitcast(key, tf.int32), dict(state), self.batch))
        for site, value in fresh.items():
            if site not in state:
                raise ModelError(
                    f"The conditional {name!r} draws {site!r}, which is no site."
                    f"{did_you_mean(site, state)} Known: {', '.join(state)}."
                )
            fresh[site] = value = tf.convert_to_tensor(value)
            expected = state[site]
            if value.dtype != expected.dtype or not value.shape.is_compatible_with(expected.shape):
                raise ModelError(
                    f"The conditional {name!r} must draw {site!r} as {expected.dtype.name} "
                    f"{tuple(expected.shape)}, one state without a chain axis. "
                    f"Received: {value.dtype.name} {value.shape}."
                )
            fresh[site] = tf.ensure_shape(value, expected.shape)
        return {**state, **fresh}

    def _start(self, params: Params, keys: tf.Tensor) -> SweepState:
        chains = keys.shape[0]
        values = dict(params)
        return SweepState(
            iteration=tf.zeros((chains,), tf.int32),
            params=values,
            draws={n: tf.zeros((1, *v.shape), v.dtype) for n, v in values.items()},
            stats=tf.zeros((1, chains, len(self.stats)), _float_of(values)),
        )


def _float_of(params: Mapping[str, tf.Tensor]) -> Any:
    """The widest floating dtype among the sites; float32 if all are discrete."""
    floats = [value.dtype for value in params.values() if value.dtype.is_floating]
    return max(floats, key=lambda dtype: dtype.size, default=tf.float32)
