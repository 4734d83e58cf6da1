"""Four ways to choose particles anew in proportion to their weights.

Each takes particle i ``N w_i`` times on average. The number of times varies least with
``systematic`` as a rule, and never more with ``stratified`` and ``residual`` than with
``multinomial``.

References:
    Douc, Cappe & Moulines 2005, "Comparison of resampling schemes for particle filtering", whose
    sections 2.1 to 2.4 are the four; Kitagawa 1996 (systematic, stratified); Liu & Chen 1998
    (residual).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import tensorflow as tf

from ... import random
from ...config import check_choice

Scheme = Literal["multinomial", "systematic", "stratified", "residual"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


def resample(
    log_weights: tf.Tensor, key: tf.Tensor, scheme: Scheme = "systematic", count: int | None = None
) -> tf.Tensor:
    """Indices of the particles that are taken, each in proportion to its weight.

    Args:
        log_weights: ``[N]``, or ``[n, N]`` for n populations that are resampled apart; normalised.
        key: Of the draws, ``[2]``.
        scheme: ``multinomial``: independent draws. ``stratified``: one draw from each of N equal
            parts of the unit interval. ``systematic``: the same place in each part.
            ``residual``: the whole part of ``N w_i`` for sure, the rest by multinomial draws.
        count: How many to take; N by default.

    Returns:
        ``[count]`` or ``[n, count]``, int32; in ascending order but for ``multinomial`` and
        ``residual``.

    Raises:
        OptionsError: If there is no such scheme.
    """
    check_choice("resampling", scheme, SCHEMES)
    if log_weights.shape.rank == 1:
        return resample(log_weights[tf.newaxis], key, scheme, count)[0]
    return _BY_NAME[scheme](log_weights, key, count or log_weights.shape[-1])


def systematic(log_weights: tf.Tensor, start: tf.Tensor, count: int | None = None) -> tf.Tensor:
    """Each index about in proportion: ``floor`` or ``ceil`` of N w times.

    Args:
        log_weights: Normalised, ``[n, N]``.
        start: Uniform numbers in (0, 1), one for each population.
        count: How many to take; N by default.
    """
    total = count or log_weights.shape[-1]
    places = (tf.range(total, dtype=log_weights.dtype) + start[:, tf.newaxis]) / total
    return find(log_weights, places)


def find(log_weights: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Where numbers in (0, 1) fall among cumulated weights: ``[..., K]`` from ``[..., N]``."""
    cumulated = tf.cumsum(tf.exp(log_weights), axis=-1)
    found = tf.searchsorted(cumulated / cumulated[..., -1:], uniforms, side="right")
    return tf.minimum(found, log_weights.shape[-1] - 1)


def effective_size(log_weights: tf.Tensor) -> tf.Tensor:
    """As how many equal weights some normalised ones count: ``1 / sum w^2``, ``[...]``."""
    return tf.exp(-tf.reduce_logsumexp(2.0 * log_weights, -1))


def _systematic(log_weights: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    start = random.uniform((log_weights.shape[0],), key, log_weights.dtype)
    return systematic(log_weights, start, count)


def _stratified(log_weights: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    within = random.uniform((log_weights.shape[0], count), key, log_weights.dtype)
    return find(log_weights, (tf.range(count, dtype=within.dtype) + within) / count)


def _multinomial(log_weights: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    return find(log_weights, random.uniform((log_weights.shape[0], count), key, log_weights.dtype))


def _residual(log_weights: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    expected = count * tf.exp(log_weights)
    sure = tf.floor(expected)
    rest = tf.math.log(expected - sure)
    # all weights may be whole: then nothing is left to draw
    left = tf.reduce_max(rest, -1, keepdims=True) > -float("inf")
    drawn = _multinomial(tf.where(left, rest, tf.zeros_like(rest)), key, count)
    ends = tf.cumsum(tf.cast(sure, tf.int32), axis=-1)
    places = tf.broadcast_to(tf.range(count), drawn.shape)
    certain = tf.searchsorted(ends, places, side="right")
    return tf.where(places < ends[:, -1:], certain, drawn)


_BY_NAME: dict[str, Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]] = {
    "multinomial": _multinomial,
    "systematic": _systematic,
    "stratified": _stratified,
    "residual": _residual,
}
