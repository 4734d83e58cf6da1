"""Filter and smoother as prefix sums of an associative operation: depth log T instead of T.

References:
    Sarkka & Garcia-Fernandez 2021, "Temporal parallelization of Bayesian smoothers"; equations
    are its own, for the linear Gaussian case.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from .sequential import Filtered
from .smoothing import Smoothed, backward, lag_one
from .system import (
    Observed,
    System,
    apply,
    congruence,
    gain_of,
    log_density,
    offset_over_time,
    over_time,
    seen_part,
    symmetric,
    updated,
)


class _Element(NamedTuple):
    """``p(x_t | y_t, x_t-1) = N(A x_t-1 + b, C)`` and ``p(y_t | x_t-1)`` as information."""

    A: tf.Tensor
    b: tf.Tensor
    C: tf.Tensor
    eta: tf.Tensor
    J: tf.Tensor


def filter_in_parallel(system: System, observed: Observed) -> Filtered:
    """As ``filter_sequentially``, to rounding."""
    found = tfp.math.scan_associative(_combine, _elements(system, observed), axis=0)
    means, covariances = found.b, symmetric(found.C)
    return _with_predictions(system, observed, means, covariances)


def smooth_in_parallel(system: System, filtered: Filtered) -> Smoothed:
    """As ``smoothing.smooth``, to rounding."""
    steps = backward(system, filtered, in_parallel=True)
    last = filtered.covariances[-1:]
    E = tf.concat([steps.gains, tf.zeros_like(last)], 0)
    g = tf.concat([steps.offsets, filtered.means[-1:]], 0)
    L = tf.concat([steps.covariances, last], 0)

    def combine(
        later: tuple[tf.Tensor, ...], earlier: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, ...]:
        (Ej, gj, Lj), (Ei, gi, Li) = later, earlier
        return Ei @ Ej, apply(Ei, gj) + gi, congruence(Ei, Lj) + Li  # (19)

    reverse = tuple(tf.reverse(part, [0]) for part in (E, g, L))
    _, means, covariances = tfp.math.scan_associative(combine, reverse, axis=0)
    means, covariances = tf.reverse(means, [0]), symmetric(tf.reverse(covariances, [0]))
    return Smoothed(means, covariances, lag_one(steps.gains, covariances))


def _elements(system: System, observed: Observed) -> _Element:
    """One for each step (10 to 12); the first takes the prior in place of a transition."""
    A, offset, H, Q, R, start, spread = _over_all_steps(system, observed)
    before = _shifted(A, tf.zeros_like(spread))
    noise, moved = _shifted(Q, spread), _shifted(offset, start)
    H, R = seen_part(H, R, observed.seen)
    found = gain_of(H, R, noise)
    residual = observed.seen * (observed.values - apply(H, moved))
    # A' H' W', so that its product with itself is A' H' S^-1 H A
    back = tf.matmul(
        tf.matmul(before, H, transpose_a=True, transpose_b=True), found.whitening, transpose_b=True
    )
    return _Element(
        A=before - tf.matmul(found.gain, tf.matmul(H, before)),
        b=moved + apply(found.gain, residual),
        C=updated(H, R, found.gain, noise),
        eta=apply(back, apply(found.whitening, residual)),
        J=tf.matmul(back, back, transpose_b=True),
    )


def _combine(i: _Element, j: _Element) -> _Element:
    """First ``i``, then ``j`` (lemma 8)."""
    identity = tf.eye(i.A.shape[-1], dtype=i.A.dtype)
    forward = tf.matmul(j.A, tf.linalg.inv(identity + tf.matmul(i.C, j.J)))
    back = tf.matmul(i.A, tf.linalg.inv(identity + tf.matmul(j.J, i.C)), transpose_a=True)
    return _Element(
        A=tf.matmul(forward, i.A),
        b=apply(forward, i.b + apply(i.C, j.eta)) + j.b,
        C=symmetric(tf.matmul(tf.matmul(forward, i.C), j.A, transpose_b=True)) + j.C,
        eta=apply(back, j.eta - apply(j.J, i.b)) + i.eta,
        J=symmetric(tf.matmul(tf.matmul(back, j.J), i.A)) + i.J,
    )


def _with_predictions(
    system: System, observed: Observed, means: tf.Tensor, covariances: tf.Tensor
) -> Filtered:
    """Predictions, gains and the likelihood follow at all steps at once."""
    A, offset, H, Q, R, start, spread = _over_all_steps(system, observed)
    predicted = _shifted(apply(A, means) + offset, start)
    ahead = _shifted(symmetric(congruence(A, covariances)) + Q, spread)
    residual = observed.seen * (observed.values - apply(H, predicted))
    found = gain_of(*seen_part(H, R, observed.seen), ahead)
    increments = log_density(residual, found, observed.seen)
    return Filtered(means, covariances, predicted, ahead, increments, found.gain)


def _over_all_steps(system: System, observed: Observed) -> tuple[tf.Tensor, ...]:
    """A, offset, H, Q and R with time first and as long as the data; m0 and P0 by sequence."""
    steps = observed.values.shape[0]
    start = system.m0[..., tf.newaxis, :] + tf.zeros_like(observed.values[0, ..., :1])
    zeros = tf.zeros_like(observed.seen[0, ..., :1, tf.newaxis])
    spread = system.P0[..., tf.newaxis, :, :] + zeros
    longest = tf.zeros_like(observed.seen[..., :1, tf.newaxis])  # [T, ..., s, 1, 1]
    A, H, Q, R = (over_time(p, steps) + longest for p in (system.A, system.H, system.Q, system.R))
    offset = offset_over_time(system.offset, steps) + tf.zeros_like(observed.values[..., :1])
    return A, offset, H, Q, R, start, spread


def _shifted(values: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """One step later along the first axis, beginning with ``first``."""
    first = tf.broadcast_to(first, tf.shape(values)[1:])
    return tf.concat([first[tf.newaxis], values[:-1]], 0)
