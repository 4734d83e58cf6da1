"""The machine as pure functions: free energy, Gibbs steps, pseudo-likelihood."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfbdl import random

from .units import Units, bernoulli

UNROLLED = 8  # Gibbs steps up to which a chain is written out


class Weights(NamedTuple):
    """The parameters of ``E(v, h) = visible energy - c'h - v'W h``.

    Attributes:
        W: ``[d, hidden]``.
        b: Biases of the visible units, ``[d]``.
        c: Biases of the hidden units, ``[hidden]``.
    """

    W: tf.Tensor
    b: tf.Tensor
    c: tf.Tensor


def hidden_logits(units: Units, weights: Weights, u: tf.Tensor) -> tf.Tensor:
    """``c + W'v``, whose sigmoid is ``p(h = 1 | v)``: ``[n, hidden]``."""
    return weights.c + tf.matmul(units.to_hidden(u), weights.W)


def field_of(weights: Weights, h: tf.Tensor) -> tf.Tensor:
    """``W h`` for rows of hidden units: ``[n, d]``."""
    return tf.matmul(h, weights.W, transpose_b=True)


def free_energy(units: Units, weights: Weights, u: tf.Tensor) -> tf.Tensor:
    """``F(v) = visible energy - sum_j log(1 + exp(c + W'v)_j)``: ``[n]``.

    ``p(v) = exp(-F(v)) / Z``, with the hidden units summed out.
    """
    logits = hidden_logits(units, weights, u)
    return units.energy(u, weights.b) - tf.reduce_sum(tf.nn.softplus(logits), axis=-1)


def gibbs_step(units: Units, weights: Weights, u: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Draw ``h ~ p(h | v)``, then ``v ~ p(v | h)``: states, never probabilities."""
    keys = random.split(key, 2)
    h = bernoulli(tf.sigmoid(hidden_logits(units, weights, u)), keys[0])
    return units.draw(weights.b, field_of(weights, h), keys[1])


def gibbs(units: Units, weights: Weights, u: tf.Tensor, steps: int, key: tf.Tensor) -> tf.Tensor:
    """The end of a chain of ``steps`` Gibbs steps from ``u [n, d]``; no gradient passes."""
    if steps <= UNROLLED:
        for i in range(steps):
            u = gibbs_step(units, weights, u, random.fold_in(key, i))
        return tf.stop_gradient(u)

    def step(i: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return i + 1, gibbs_step(units, weights, state, random.fold_in(key, i))

    _, u = tf.while_loop(lambda i, _: i < steps, step, (tf.constant(0), u))
    return tf.stop_gradient(u)


def pseudo_log_likelihood(weights: Weights, v: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """An unbiased estimate of ``sum_i log p(v_i | all other v)`` of binary units: ``[n]``.

    One unit is drawn for each row, and its term multiplied by the number of units. For a value
    between 0 and 1 the term is the expectation over a draw of 0 or 1.

    References:
        Besag 1975, "Statistical Analysis of Non-Lattice Data".
    """
    size = v.shape[-1]
    picked = tf.cast(random.uniform(tf.shape(v)[:1], key, v.dtype) * size, tf.int32)
    picked = tf.minimum(picked, size - 1)
    return size * _conditional(weights, v, hidden_inputs(weights, v), picked)


def exact_pseudo_log_likelihood(weights: Weights, v: tf.Tensor) -> tf.Tensor:
    """``sum_i log p(v_i | all other v)`` of binary units: ``[n]``."""
    logits = hidden_inputs(weights, v)

    def add(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        picked = tf.fill(tf.shape(v)[:1], i)
        return i + 1, total + _conditional(weights, v, logits, picked)

    zero = tf.zeros_like(v[:, 0])
    return tf.while_loop(lambda i, _: i < v.shape[-1], add, (tf.constant(0), zero))[1]


def hidden_inputs(weights: Weights, v: tf.Tensor) -> tf.Tensor:
    """``c + W'v`` of binary units: ``[n, hidden]``."""
    return weights.c + tf.matmul(v, weights.W)


def _conditional(weights: Weights, v: tf.Tensor, logits: tf.Tensor, picked: tf.Tensor) -> tf.Tensor:
    """``log p(v_i | all other v)`` for one unit ``picked[row]`` of each row."""
    row = tf.gather(weights.W, picked)  # [n, hidden]
    value = tf.gather(v, picked, batch_dims=1)
    off = logits - value[:, tf.newaxis] * row
    # log p(v_i = 1 | rest) - log p(v_i = 0 | rest) = F(v_i = 0) - F(v_i = 1)
    odds = tf.gather(weights.b, picked) + tf.reduce_sum(
        tf.nn.softplus(off + row) - tf.nn.softplus(off), axis=-1
    )
    return value * tf.math.log_sigmoid(odds) + (1.0 - value) * tf.math.log_sigmoid(-odds)
