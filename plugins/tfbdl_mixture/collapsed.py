"""The collapsed Gibbs sampler of a Dirichlet process mixture: Neal 2000, Algorithm 3.

Means, precisions and weights are integrated out; what is drawn is the slot of each row:

    p(z_i = k | rest) ~ n_k  p(x_i | rows of slot k)        for a slot in use
    p(z_i = new | rest) ~ alpha  p(x_i)                     for an empty one

where both densities are Student t. Rows enter and leave the statistics of a slot by updates of
rank one (Sherman and Morrison for W, the matrix determinant lemma for its determinant).

References:
    Neal 2000, "Markov chain sampling methods for Dirichlet process mixture models", JCGS 9.
    Escobar & West 1995, "Bayesian density estimation and inference using mixtures", section 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.inference.reparameterizations import gumbel_of_uniform

from . import wishart
from .wishart import GaussWishart

tfd = tfp.distributions


class Slots(NamedTuple):
    """The Gauss-Wishart posterior of each of ``T`` slots.

    Attributes:
        count: Rows of the slot, ``[T]``, int32.
        m: ``[T, d]``.
        W: ``[T, d, d]``.
        log_det: ``ln |W|``, ``[T]``.
    """

    count: tf.Tensor
    m: tf.Tensor
    W: tf.Tensor
    log_det: tf.Tensor


def slots_of(x: tf.Tensor, z: tf.Tensor, base: GaussWishart, num_slots: int) -> Slots:
    """The slots that labels ``z [n]`` give rows ``[n, d]``, computed afresh."""
    members = tf.one_hot(z, num_slots, dtype=x.dtype)
    q = wishart.posterior(base, wishart.moments(x, members, base.m))
    count = tf.cast(tf.round(tf.reduce_sum(members, axis=0)), tf.int32)
    return Slots(count, q.m, q.W, wishart.log_det(q.W))


def sweep(
    x: tf.Tensor,
    z: tf.Tensor,
    base: GaussWishart,
    concentration: tf.Tensor,
    key: tf.Tensor,
    num_slots: int,
) -> tf.Tensor:
    """Draw the label of each row in turn, given all others.

    Where no slot is empty, a row can open none: the draws are those of a process with at most
    ``num_slots`` clusters then.

    Args:
        x: Rows ``[n, d]``.
        z: Their labels ``[n]``, from 0 to ``num_slots - 1``, int32.
        base: Gauss-Wishart prior of one component.
        concentration: Alpha, a scalar.
        key: ``[2]``.
        num_slots: Clusters at the most.

    Returns:
        New labels ``[n]``.
    """
    n, d = x.shape
    log_count, constant = _tables(n, d, base, concentration)
    u = random.uniform((n, num_slots), key, x.dtype)
    gumbel = gumbel_of_uniform(u)  # its arg max is a draw from the categorical
    places = tf.range(num_slots)
    never = tf.constant(-math.inf, x.dtype)

    def body(i: tf.Tensor, z: tf.Tensor, slots: Slots) -> tuple[tf.Tensor, tf.Tensor, Slots]:
        row = x[i]
        slots = updated(slots, places == z[i], row, base, -1)
        count = slots.count
        empty = count == 0
        first = places == tf.argmax(empty, output_type=tf.int32)  # empty slots are all alike
        prior = tf.where(empty & ~first, never, tf.gather(log_count, count))
        y = row - slots.m
        squares = tf.reduce_sum(y * tf.linalg.matvec(slots.W, y), axis=-1)
        size = tf.cast(count, x.dtype)
        beta, nu = base.beta + size, base.nu + size
        spread = tf.math.log1p(squares * beta / (1.0 + beta))
        density = tf.gather(constant, count) + 0.5 * slots.log_det - 0.5 * (nu + 1.0) * spread
        chosen = tf.argmax(prior + density + gumbel[i], output_type=tf.int32)
        slots = updated(slots, places == chosen, row, base, 1)
        return i + 1, tf.tensor_scatter_nd_update(z, [[i]], chosen[tf.newaxis]), slots

    loop = (tf.constant(0), z, slots_of(x, z, base, num_slots))
    return tf.while_loop(lambda i, *_: i < n, body, loop, parallel_iterations=1)[1]


def draw_concentration(
    z: tf.Tensor, before: tf.Tensor, shape: float, rate: float, key: tf.Tensor, num_slots: int
) -> tf.Tensor:
    """Draw the concentration given the number of clusters, under a Gamma(shape, rate) prior.

    Escobar & West 1995, equations 13 and 14: given ``eta ~ Beta(alpha + 1, n)`` it is a mixture
    of two gammas.
    """
    n, dtype = z.shape[0], before.dtype
    used = tf.reduce_max(tf.one_hot(z, num_slots, dtype=dtype), axis=0)
    clusters = tf.reduce_sum(used)
    keys = tf.bitcast(random.split(key, 2), tf.int32)
    one = tf.ones_like(before)
    a, b = tf.unstack(tfd.ExpGamma(tf.stack([before + 1.0, n * one]), one).sample(seed=keys[0]))
    new_rate = rate - tf.math.log_sigmoid(a - b)  # b - ln eta
    odds = (shape + clusters - 1.0) / (n * new_rate)
    u = random.uniform((), random.fold_in(key, "mixture"), dtype)
    more = tf.cast(u * (1.0 + odds) < odds, dtype)
    return tfd.Gamma(shape + clusters - 1.0 + more, new_rate).sample(seed=keys[1])


@tf.function(autograph=False, reduce_retracing=True)
def urn(
    rows: tf.Tensor, z: tf.Tensor, base: GaussWishart, concentration: tf.Tensor, num_slots: int
) -> tuple[tf.Tensor, GaussWishart]:
    """Where a further row comes from, given how labels ``z [n]`` divide ``rows [n, d]``.

    Returns:
        The log probability of each slot and, at the end, of a new cluster, ``[T + 1]``; and the
        Gauss-Wishart of each, so that their Student t densities, so weighted, are its density.
    """
    members = tf.one_hot(z, num_slots, dtype=rows.dtype)
    about_m = wishart.moments(rows, members, base.m)
    q = wishart.posterior(base, about_m)
    weights = tf.concat([about_m.count, concentration[tf.newaxis]], axis=0)
    each = [
        tf.concat([known, tf.cast(new, rows.dtype)[tf.newaxis]], axis=0)
        for known, new in zip(q, base, strict=True)
    ]
    return tf.math.log(weights / tf.reduce_sum(weights)), GaussWishart(*each)


def _tables(
    n: int, d: int, base: GaussWishart, concentration: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """By the rows of a slot, 0 to n: the log of its prior weight, and its density's constant."""
    size = tf.range(n + 1, dtype=base.m.dtype)
    log_count = tf.math.log(tf.where(size > 0.0, size, tf.cast(concentration, size.dtype)))
    return log_count, wishart.student_t_constant(base.beta + size, base.nu + size, d)


def updated(slots: Slots, here: tf.Tensor, row: tf.Tensor, base: GaussWishart, sign: int) -> Slots:
    """The slots after a row has entered (``sign`` 1) the slot ``here [T]``, or left it (-1).

    With ``u = row - m``, ``m`` and ``beta`` those of before, ``W^-1`` changes by
    ``sign beta / (beta + sign) u u'`` and ``m`` by ``sign u / (beta + sign)``.
    """
    mask = tf.cast(here, row.dtype)
    size = tf.reduce_sum(tf.where(here, slots.count, 0))
    before = base.beta + tf.cast(size, row.dtype)
    after = before + sign
    m = tf.linalg.matvec(slots.m, mask, transpose_a=True)
    W = tf.tensordot(mask, slots.W, 1)
    u = row - m
    Wu = tf.linalg.matvec(W, u)
    weight = sign * before / after
    scale = 1.0 + weight * tf.reduce_sum(u * Wu)
    shift = mask[:, tf.newaxis] * (sign / after * u)
    change = mask[:, tf.newaxis, tf.newaxis] * (weight / scale * Wu[:, tf.newaxis] * Wu)
    return Slots(
        slots.count + sign * tf.cast(here, tf.int32),
        slots.m + shift,
        slots.W - change,
        slots.log_det - mask * tf.math.log(scale),
    )
