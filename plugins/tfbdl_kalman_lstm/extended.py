"""ExtendedKalmanFilter: a Gaussian pushed through functions by their Taylor series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfbdl.config import check_whole

from .gaussian_filter import GaussianFilter
from .gaussian_recursion import Affine
from .nonlinear_model import StateFunction


@dataclass(frozen=True)
class Taylor:
    """The first-order Taylor series about the mean."""

    def affine(
        self, g: StateFunction, mean: tf.Tensor, covariance: tf.Tensor, control: tf.Tensor | None
    ) -> Affine:
        """``g(m)`` and its Jacobian, by automatic differentiation (Sarkka 2013, 5.24, 5.25)."""
        del covariance
        with tf.GradientTape() as tape:
            tape.watch(mean)
            value = g(mean, control)
        zero = tf.UnconnectedGradients.ZERO
        slope = tape.batch_jacobian(value, mean, unconnected_gradients=zero)
        exact = tf.zeros((*value.shape, value.shape[-1]), value.dtype)
        return Affine(slope, value, exact)


class ExtendedKalmanFilter(GaussianFilter):
    """``x_t+1 = f(x_t) + w_t``, ``y_t = h(x_t) + v_t`` with Gaussian noise, made linear stepwise.

    The functions are TensorFlow functions of one state ``[d]`` in float64; their Jacobians are
    found by automatic differentiation. A function of two arguments is given the control input of
    its step as the second, ``f(x, u)``; let u be the time where a function varies with it. Queries
    take sequences as KalmanFilter's do, with NaN for what was not observed, and answer in kind.

    Args:
        f: From a state ``[d]`` to the mean of the next.
        h: From a state ``[d]`` to the mean of what is observed of it, ``[m]``.
        Q: Covariance of the process noise, ``[d, d]``, or ``[T, d, d]`` where it varies.
        R: Covariance of the observation noise, ``[m, m]``, or ``[T, m, m]``.
        m0: Mean of the first state before its observation, ``[d]``.
        P0: Its covariance, ``[d, d]``.
        iterations: How often h is made linear for one observation; more than once, about what the
            step before has found (the iterated filter, whose mean goes to the most probable state).

    Raises:
        OptionsError: If shapes do not fit together, a covariance is none, or a function gives no
            state or observation.

    Example:
        ```python
        swing = lambda x: tf.stack([x[0] + 0.05 * x[1], x[1] - 0.49 * tf.sin(x[0])])
        side = lambda x: tf.sin(x[:1])
        pendulum = ExtendedKalmanFilter(swing, side, 0.01 * np.eye(2), 0.1, [1.0, 0.0], np.eye(2))
        pendulum.filter(y).means, pendulum.smooth(y).covariances
        ```

    References:
        Jazwinski 1970; Bell & Cathey 1993 for the iterated update; Sarkka 2013, chapter 5.
    """

    def __init__(
        self, f: Any, h: Any, Q: Any, R: Any, m0: Any, P0: Any, *, iterations: int = 1
    ) -> None:
        self.iterations = check_whole("iterations", iterations)
        super().__init__(f, h, Q, R, m0, P0, Taylor(), self.iterations)
