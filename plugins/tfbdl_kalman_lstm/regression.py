"""Linear regressions on states that are known in distribution: the M-step's closed forms.

A target ``y = M x + b + noise`` is fitted from expected second moments of y and of ``z = (x, 1)``,
taken about an origin near the data so that they keep their digits.

References:
    Shumway & Stoffer 1982; Ghahramani & Hinton 1996, "Parameter estimation for linear dynamical
    systems", section 3 (with an offset in place of centred data).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from .smoothing import pseudo_inverse
from .system import symmetric


class Moments(NamedTuple):
    """Expected sums over steps and sequences, of targets and states less their origins.

    Attributes:
        yy: ``sum E[y y']``, ``[a, a]``.
        yz: ``sum E[y z']``, ``[a, d + 1]``.
        zz: ``sum E[z z']``, ``[d + 1, d + 1]``; its last element is the number of terms.
    """

    yy: tf.Tensor
    yz: tf.Tensor
    zz: tf.Tensor


class Line(NamedTuple):
    """A fitted line.

    Attributes:
        matrix: M, ``[a, d]``.
        offset: b, ``[a]``.
        residuals: ``sum E[r r']`` of ``r = y - M x - b``, ``[a, a]``.
        count: The number of terms.
    """

    matrix: tf.Tensor
    offset: tf.Tensor
    residuals: tf.Tensor
    count: tf.Tensor


def fit_line(
    moments: Moments,
    matrix: tf.Tensor,
    offset: tf.Tensor,
    x_origin: tf.Tensor,
    y_origin: tf.Tensor,
    *,
    learn_matrix: bool,
    learn_offset: bool,
) -> Line:
    """The line of least expected squares; what is not learned keeps its value.

    Args:
        moments: About the origins.
        matrix: M, ``[a, d]``, where it is not learned.
        offset: b, ``[a]``, where it is not learned.
        x_origin, y_origin: ``[d]`` and ``[a]``.
        learn_matrix, learn_offset: What is learned.
    """
    yy, yz, zz = moments
    count = zz[-1, -1]
    if learn_matrix and learn_offset:
        both = tf.matmul(yz, pseudo_inverse(zz))
        matrix, shifted = both[:, :-1], both[:, -1]
    elif learn_matrix:
        # About zero: sum E[(y - b) x'] and sum E[x x'].
        lead = y_origin - offset
        x_sum, y_sum = zz[:-1, -1], yz[:, -1]
        cross = yz[:, :-1] + _outer(y_sum, x_origin) + _outer(lead, x_sum + count * x_origin)
        square = zz[:-1, :-1] + _outer(x_sum, x_origin) + _outer(x_origin, x_sum)
        square += count * _outer(x_origin, x_origin)
        matrix = tf.matmul(cross, pseudo_inverse(square))
        shifted = offset + tf.linalg.matvec(matrix, x_origin) - y_origin
    elif learn_offset:
        shifted = (yz[:, -1] - tf.linalg.matvec(matrix, zz[:-1, -1])) / count
    else:
        shifted = offset + tf.linalg.matvec(matrix, x_origin) - y_origin
    if learn_offset:
        offset = shifted - tf.linalg.matvec(matrix, x_origin) + y_origin
    both = tf.concat([matrix, shifted[:, tf.newaxis]], -1)
    fitted = tf.matmul(both, yz, transpose_b=True)
    square = tf.matmul(tf.matmul(both, zz), both, transpose_b=True)
    residuals = symmetric(yy - fitted - tf.linalg.matrix_transpose(fitted) + square)
    return Line(matrix, offset, residuals, count)


def covariance_of(sums: tf.Tensor, count: tf.Tensor, structure: str, floor: float) -> tf.Tensor:
    """The covariance of largest likelihood, of a structure and without an eigenvalue below.

    Args:
        sums: ``sum E[r r']``, ``[a, a]``.
        count: Number of terms.
        structure: ``full``, ``diagonal`` or ``scalar``.
        floor: Smallest eigenvalue.
    """
    found = sums / count
    if structure == "full":
        values, vectors = tf.linalg.eigh(found)
        values = tf.maximum(values, floor)
        return symmetric(tf.matmul(vectors * values, vectors, transpose_b=True))
    diagonal = tf.linalg.diag_part(found)
    if structure == "scalar":
        diagonal = tf.reduce_mean(diagonal) * tf.ones_like(diagonal)
    return tf.linalg.diag(tf.maximum(diagonal, floor))


def _outer(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return a[:, tf.newaxis] * b[tf.newaxis, :]
