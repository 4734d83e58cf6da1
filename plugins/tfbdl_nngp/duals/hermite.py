"""The dual of any activation, by Gauss-Hermite quadrature of its Hermite coefficients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .base import Dual

NODES = 192
TERMS = 96


class HermiteSeries(Dual):
    """``E = sum_j c_j(q1) c_j(q2) rho^j`` (Mehler's formula), ``rho = k / sqrt(q1 q2)``.

    ``c_j(q) = E[phi(sqrt(q) x) h_j(x)]``, x standard normal and h_j the normalised Hermite
    polynomials, is a sum over the nodes of a quadrature: one for each row, where a quadrature in
    two dimensions would be one for each pair. A sum of products of such terms is positive
    semi-definite however early it ends. Smooth activations such as tanh keep eight digits and
    more; one with a kink has coefficients that fall slowly, and loses some digits near rho = 1.

    Args:
        function: The activation, on tensors, elementwise.
        nodes: Of the quadrature.
        terms: Of the series.

    References:
        Daniely, Frostig & Singer 2016, "Toward deeper understanding of neural networks", 4.2.
    """

    def __init__(
        self,
        function: Callable[[tf.Tensor], tf.Tensor],
        nodes: int = NODES,
        terms: int = TERMS,
    ) -> None:
        self.function, self.nodes, self.terms = function, nodes, terms

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        first, second = self.coefficients(q1), self.coefficients(q2)
        scale = tf.sqrt(q1 * q2)
        rho = tf.clip_by_value(tf.math.divide_no_nan(k, scale), -1.0, 1.0)
        value = first[-1] * second[-1] + tf.zeros_like(rho)
        slope = (self.terms - 1.0) * value
        for j in range(self.terms - 2, -1, -1):  # Horner's scheme, of both series
            term = first[j] * second[j]
            value = value * rho + term
            if j:
                slope = slope * rho + j * term
        return value, tf.math.divide_no_nan(slope, scale)

    def coefficients(self, q: tf.Tensor) -> list[tf.Tensor]:
        """``c_j(q)`` for j = 0 to ``terms - 1``, each of the shape of ``q``."""
        nodes, weighted = _rule(self.nodes, self.terms)
        values = self.function(tf.sqrt(q)[..., tf.newaxis] * tf.constant(nodes, q.dtype))
        return tf.unstack(tf.tensordot(values, tf.constant(weighted, q.dtype), 1), axis=-1)


@functools.cache
def _rule(nodes: int, terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``[n]`` and weights times polynomials ``[n, terms]``, for a standard normal."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    columns = [np.ones_like(x), x]
    for j in range(2, terms):  # sqrt(j) h_j = x h_j-1 - sqrt(j - 1) h_j-2
        columns.append((x * columns[-1] - math.sqrt(j - 1) * columns[-2]) / math.sqrt(j))
    return x, w[:, np.newaxis] * np.stack(columns[:terms], axis=1)
