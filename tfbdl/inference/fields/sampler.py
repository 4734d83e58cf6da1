"""Chains of sweeps over a discrete field: driven, reported and stored as any chain."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from ... import random
from ...protocols import Context, EngineResult
from ..driver import CHUNK_SECONDS
from ..mcmc.sampler import Length, sample
from .draws import START, Streams
from .field import Field


class Sweep(Protocol):
    """What moves the labels of all chains."""

    def sweep(self, z: np.ndarray, streams: Streams, number: int) -> np.ndarray:
        """New labels ``[chain, site]``, a function of its arguments alone."""


class FieldState(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        iteration: Sweeps done, warm-up included, ``[chain]``; the same for all.
        z: ``[chain, site]``.
        draws: ``{"z": [draws + 1, chain, site]}``; the last row is not used.
        stats: ``[draws + 1, chain, figure]``.
    """

    iteration: tf.Tensor
    z: tf.Tensor
    draws: Mapping[str, tf.Tensor]
    stats: tf.Tensor


class FieldChains:
    """Sweeps in chunks; ``start`` and ``advance`` are as in Nuts.

    Args:
        field: Whose figures are kept beside the labels.
        moves: A sweep.
        warmup: Sweeps that are not kept.
        thin: Every so many sweeps after warm-up is kept.
    """

    def __init__(self, field: Field, moves: Sweep, *, warmup: int, thin: int = 1) -> None:
        self.field, self.moves = field, moves
        self.warmup, self.thin = warmup, thin

    def start(self, z: Any, keys: tf.Tensor) -> FieldState:
        """The state before the first sweep, from labels ``[chain, site]``."""
        labels = tf.constant(z, tf.int32)
        return FieldState(
            iteration=tf.zeros(len(labels), tf.int32),
            z=labels,
            draws={"z": tf.zeros((1, *labels.shape), tf.int32)},
            stats=tf.zeros((1, len(labels), len(self.field.stat_names)), tf.float64),
        )

    def advance(
        self, state: FieldState, keys: tf.Tensor, last_iteration: tf.Tensor, steps: tf.Tensor
    ) -> FieldState:
        """Make up to ``steps`` sweeps, until ``last_iteration`` is reached or time is up."""
        streams = Streams(keys[0])
        z, done = state.z.numpy(), int(state.iteration[0])
        draws, stats = np.array(state.draws["z"]), np.array(state.stats)
        end = min(done + int(steps), int(last_iteration))
        began = time.perf_counter()
        while done < end and time.perf_counter() - began < CHUNK_SECONDS:
            z = self.moves.sweep(z, streams, done)
            done += 1
            row, beside = divmod(done - self.warmup, self.thin)
            if row > 0 and beside == 0:
                figures = self.field.statistics(z)
                draws[row - 1] = z
                stats[row - 1] = np.stack([figures[n] for n in self.field.stat_names], axis=-1)
        return FieldState(
            iteration=tf.fill(state.iteration.shape, done),
            z=tf.constant(z, tf.int32),
            draws={"z": tf.constant(draws)},
            stats=tf.constant(stats),
        )

    def constrain(self, z: Any) -> dict[str, tf.Tensor]:
        """The labels themselves."""
        return dict(z)


def sample_field(
    field: Field,
    moves: Sweep,
    length: Length,
    context: Context,
    *,
    checkpoint_seconds: float = 30.0,
) -> EngineResult:
    """Run sweeps from labels that the field begins with, or from the run's last checkpoint.

    Args:
        field: What is sampled.
        moves: A sweep over it.
        length: How much to sample.
        context: Seed, reports and checkpoints of the run.
        checkpoint_seconds: Minimum time between two checkpoints.

    Raises:
        CheckpointError: If the checkpoint is of another sampler or model.
    """
    beginning = Streams(random.key(context.seed, "field")).generator(0, START)
    kernel = FieldChains(field, moves, warmup=length.warmup, thin=length.thin)
    return sample(
        kernel,
        kernel,
        field.stat_names,
        length,
        context,
        start=field.initial(length.chains, beginning),
        checkpoint_seconds=checkpoint_seconds,
    )
