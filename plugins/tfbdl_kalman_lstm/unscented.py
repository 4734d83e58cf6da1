"""UnscentedKalmanFilter: a Gaussian pushed through functions by sigma points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfbdl.errors import OptionsError

from .gaussian_filter import GaussianFilter
from .gaussian_recursion import Affine
from .nonlinear_model import StateFunction


@dataclass(frozen=True)
class SigmaPoints:
    """Points ``m`` and ``m +- c u_i``, with ``U U' = P`` and ``c^2 = alpha^2 (d + kappa)``.

    U is the symmetric root of P: one alone, also where P is singular.

    Attributes:
        alpha, beta, kappa: As UnscentedKalmanFilter takes them.
    """

    alpha: float
    beta: float
    kappa: float

    def affine(
        self, g: StateFunction, mean: tf.Tensor, covariance: tf.Tensor, control: tf.Tensor | None
    ) -> Affine:
        """Regression on the points.

        With ``g_i+- = g(m +- c u_i) - g(m)``, odd parts ``o_i = (g_i+ - g_i-) / 2c`` and even
        parts ``e_i = (g_i+ + g_i-) / 2c^2``, the weighted sums over the points (Sarkka 2013, 5.84)
        are ``E g = g(m) + s`` with ``s = sum e_i``, ``Cov[x, g] = U O'`` and ``Cov g = O O' +
        Omega`` with ``Omega = c^2 sum e_i e_i' + (beta - alpha^2) s s'``. Nothing large is
        subtracted, so no digits are lost where alpha is small.
        """
        size = mean.shape[-1]
        c = self.alpha * (size + self.kappa) ** 0.5
        values, vectors = tf.linalg.eigh(covariance)
        roots = tf.sqrt(tf.maximum(values, 0.0))
        least = roots[..., -1:] * roots.dtype.as_numpy_dtype(1e-8)
        inverse = tf.where(roots > least, tf.math.reciprocal_no_nan(roots), tf.zeros_like(roots))
        U = tf.matmul(vectors * roots[..., tf.newaxis, :], vectors, transpose_b=True)
        turned = tf.matmul(vectors * inverse[..., tf.newaxis, :], vectors, transpose_b=True)
        away = c * tf.transpose(U, [2, 0, 1])  # [point, n, d]
        points = tf.concat([mean[tf.newaxis], mean + away, mean - away], 0)
        centre, above, below = tf.split(g(points, control), [1, size, size], 0)
        odd = tf.transpose((above - below) / (2.0 * c), [1, 2, 0])  # [n, e, point]
        even = tf.transpose((above + below - 2.0 * centre) / (2.0 * c**2), [1, 2, 0])
        shift = tf.reduce_sum(even, -1)
        noise = (
            c**2 * tf.matmul(even, even, transpose_b=True)
            + (self.beta - self.alpha**2) * shift[..., tf.newaxis] * shift[..., tf.newaxis, :]
        )
        A = tf.matmul(odd, turned)
        left = odd - tf.matmul(A, U)  # 0 but where P is singular and g is bent
        return Affine(A, centre[0] + shift, noise + tf.matmul(left, left, transpose_b=True))


class UnscentedKalmanFilter(GaussianFilter):
    """``x_t+1 = f(x_t) + w_t``, ``y_t = h(x_t) + v_t`` with Gaussian noise, by sigma points.

    No derivative is taken: f and h are called at 2 d + 1 states about the mean. They, and what
    queries take and give, are as ExtendedKalmanFilter's.

    Args:
        f, h, Q, R, m0, P0: As ExtendedKalmanFilter.
        alpha: How far out the points lie, above 0: ``alpha sqrt(d + kappa)`` standard deviations.
        beta: What is known of the distribution's shape, at least 0; 2 is best for a Gaussian.
        kappa: A second measure of how far out, above ``-d``; 0 or ``3 - d``. With alpha 1 and
            beta 0 the filter is the cubature filter at kappa 0.

    Raises:
        OptionsError: If alpha, beta or kappa is out of its range, shapes do not fit together, a
            covariance is none, or a function gives no state or observation.

    References:
        Julier & Uhlmann 1997; Wan & van der Merwe 2000, "The unscented Kalman filter for nonlinear
        estimation"; Sarkka 2013, section 5.5.
    """

    def __init__(
        self,
        f: Any,
        h: Any,
        Q: Any,
        R: Any,
        m0: Any,
        P0: Any,
        *,
        alpha: float = 1.0,
        beta: float = 2.0,
        kappa: float = 0.0,
    ) -> None:
        size = len(m0) if hasattr(m0, "__len__") else 1
        for name, value, bound, fits in (
            ("alpha", alpha, "above 0", alpha > 0),
            ("beta", beta, "at least 0", beta >= 0),
            ("kappa", kappa, f"above {-size}, the size of a state with its sign", kappa > -size),
        ):
            if not fits:
                raise OptionsError(f"{name} must be {bound}. Received: {value!r}.")
        self.alpha, self.beta, self.kappa = float(alpha), float(beta), float(kappa)
        rule = SigmaPoints(self.alpha, self.beta, self.kappa)
        super().__init__(f, h, Q, R, m0, P0, rule, 1)
