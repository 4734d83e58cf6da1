"""The partition function: by enumeration, and by annealed importance sampling."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import ModelError

from .energy import Weights, field_of, hidden_logits
from .units import BinaryUnits, Units, bernoulli

MOST_UNITS = 20
_CHUNK = 4_096  # states at a time


class LogPartition(NamedTuple):
    """An estimate of log Z.

    Attributes:
        estimate: In nats.
        standard_error: Of the estimate, from the spread of the importance weights.
    """

    estimate: float
    standard_error: float


def enumerable(units: Units, weights: Weights) -> bool:
    """Whether log Z can be had by enumeration: a binary layer of at most 20 units."""
    return min(_layers(units, weights)) <= MOST_UNITS


def log_partition_exact(units: Units, weights: Weights) -> float:
    """``log Z`` over the states of the smaller binary layer, the other one summed in closed form.

    Args:
        units: The visible units.
        weights: In float64.

    Raises:
        ModelError: If that layer has more than 20 units.
    """
    visible, hidden = _layers(units, weights)
    count = int(min(visible, hidden))
    if count > MOST_UNITS:
        raise ModelError(
            f"log Z by enumeration takes a binary layer of at most {MOST_UNITS} units. Received: "
            f"{weights.W.shape[0]} visible and {weights.W.shape[1]} hidden ones. Use "
            "log_partition() or log_prob(v, log_z=...)."
        )
    if hidden <= visible:
        summed = partial(_given_hidden, units)
    else:  # an upside-down machine: its hidden units are the visible ones
        summed = partial(_given_hidden, BinaryUnits(None, hidden))
        weights = Weights(tf.transpose(weights.W), weights.c, weights.b)
    chunk = min(_CHUNK, 2**count)
    parts = [summed(weights, _states(i, chunk, weights)) for i in range(0, 2**count, chunk)]
    return float(tf.reduce_logsumexp(tf.concat(parts, 0))) + units.log_volume


def log_partition_ais(
    units: Units, weights: Weights, runs: int, temperatures: int, seed: int
) -> LogPartition:
    """``log Z`` by annealed importance sampling from the base-rate model.

    Inverse temperatures are evenly spaced. At ``beta`` the unnormalised density is ``exp(-(1 -
    beta) base energy - beta visible energy) prod_j (1 + exp(beta (c + W'v)_j))``.

    Args:
        units: The visible units.
        weights: Of the machine.
        runs: Number of annealing runs.
        temperatures: Number of steps from the base-rate model to the machine.
        seed: Of the runs.

    References:
        Salakhutdinov & Murray 2008, equations (10) to (18); Neal 2001.
    """
    key = random.key(seed, "annealed importance sampling")
    log_w = _anneal(units, runs, weights, key, tf.constant(temperatures)).numpy()
    top = log_w.max()
    ratios = np.exp(log_w - top)
    log_base = units.log_base + weights.W.shape[1] * math.log(2.0)  # hidden units at beta = 0
    spread = float(ratios.std(ddof=1) / ratios.mean() / math.sqrt(runs))  # the delta method
    estimate = log_base + top + math.log(ratios.mean()) + units.log_volume
    return LogPartition(float(estimate), spread)


def _anneal(
    units: Units, runs: int, weights: Weights, key: tf.Tensor, temperatures: tf.Tensor
) -> tf.Tensor:
    """Log importance weights of all runs, ``[runs]`` in float64."""

    @tf.function(jit_compile=True, autograph=False)
    def annealed(weights: Weights, key: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        dtype = weights.W.dtype
        width = 1.0 / tf.cast(steps, tf.float64)

        def step(i: tf.Tensor, u: tf.Tensor, log_w: tf.Tensor) -> tuple[tf.Tensor, ...]:
            before = tf.cast(i, tf.float64) * width
            logits = hidden_logits(units, weights, u)
            # sums in float64: thousands of small differences of large numbers are added up
            wide = tf.cast(logits, tf.float64)
            gain = units.base_energy(u) - units.energy(u, weights.b)
            log_w += width * tf.cast(gain, tf.float64) + tf.reduce_sum(
                tf.nn.softplus((before + width) * wide) - tf.nn.softplus(before * wide), axis=-1
            )
            beta = tf.cast(before + width, dtype)
            keys = random.split(random.fold_in(key, i), 2)
            h = bernoulli(tf.sigmoid(beta * logits), keys[0])
            u = units.tempered_draw(beta, weights.b, field_of(weights, h), keys[1])
            return i + 1, u, log_w

        u = units.base_draw(runs, random.fold_in(key, "base"), dtype)
        state = (tf.constant(0), u, tf.zeros([runs], tf.float64))
        return tf.while_loop(lambda i, *_: i < steps, step, state)[2]

    return annealed(weights, key, temperatures)


def _layers(units: Units, weights: Weights) -> tuple[float, int]:
    """Number of visible and hidden units to enumerate; infinite where they are no binary ones."""
    visible, hidden = weights.W.shape
    return (visible if isinstance(units, BinaryUnits) else math.inf), hidden


def _given_hidden(units: Units, weights: Weights, h: tf.Tensor) -> tf.Tensor:
    """``log sum_v exp(-E(v, h))`` of each row of ``h``."""
    return tf.linalg.matvec(h, weights.c) + units.log_integral(weights.b, field_of(weights, h))


def _states(start: int, count: int, weights: Weights) -> tf.Tensor:
    """States of the enumerated layer, by their binary digits: ``[count, units]``."""
    bits = tf.range(weights.c.shape[0], dtype=tf.int32)
    index = tf.range(start, start + count)[:, tf.newaxis]
    digits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(index, bits), 1)
    return tf.cast(digits, weights.W.dtype)
