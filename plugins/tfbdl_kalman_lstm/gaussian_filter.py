"""GaussianFilter: the extended and the unscented filter, up to how they make functions affine."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError

from . import gaussian_recursion
from .compiled import call
from .gaussian_belief import GaussianBelief
from .gaussian_recursion import Linearised, Noises, Rule
from .nonlinear_model import NonlinearModel
from .nonlinear_paths import simulate
from .sequences import by_sequence, observed
from .sequential import Filtered
from .smoothing import Smoothed
from .states import Forecast


class GaussianFilter(GaussianBelief):
    """A filter that keeps a mean and a covariance for a nonlinear model.

    Args:
        f, h, Q, R, m0, P0: As ExtendedKalmanFilter takes them.
        rule: How a function is made affine.
        iterations: How often for one observation.
    """

    def __init__(
        self,
        f: Any,
        h: Any,
        Q: Any,
        R: Any,
        m0: Any,
        P0: Any,
        rule: Rule,
        iterations: int,
    ) -> None:
        self.model = NonlinearModel(f, h, Q, R, m0, P0)
        self.state_dim, self.observation_dim = self.model.state_dim, self.model.observation_dim
        self._rule, self._iterations = rule, iterations

    def _filtered(self, values: np.ndarray, u: Any) -> Filtered:
        return self._run(values, u).filtered

    def _smoothed(self, values: np.ndarray, u: Any) -> tuple[Filtered, Smoothed]:
        run = self._run(values, u)
        return run.filtered, call(gaussian_recursion.smooth, (), run)

    def _forecast(self, longer: np.ndarray, steps: int, u: Any) -> Forecast:
        count = len(longer)
        control, noises = self._arranged(count, longer.shape[1], u)
        found = self._run(longer, u).filtered
        states = [found.means[-steps:], found.covariances[-steps:]]
        means, covariances = (tf.reshape(part, [-1, *part.shape[2:]]) for part in states)
        if control is not None:
            control = tf.reshape(control[-steps:], [-1, control.shape[-1]])
        R = noises.R[-steps:] if len(noises.R) > 1 else noises.R
        if len(R) > 1:
            R = tf.repeat(R, count, axis=0)
        settings = (self._rule, self.model.h)
        seen = call(gaussian_recursion.expect, settings, means, covariances, control, R)
        return Forecast(
            means=by_sequence(states[0]),
            covariances=by_sequence(states[1]),
            observation_means=by_sequence(tf.reshape(seen[0], [steps, count, -1])),
            observation_covariances=by_sequence(
                tf.reshape(seen[1], [steps, count, *seen[1].shape[1:]])
            ),
        )

    def _simulate(self, T: int, n: int, seed: int, u: Any) -> tuple[tf.Tensor, tf.Tensor]:
        control, noises = self._arranged(n, T, u)
        settings, key = (self.model.f, self.model.h, T, n), random.key(seed, "nonlinear sample")
        drawn: tuple[tf.Tensor, tf.Tensor] = call(simulate, settings, control, noises, key)
        return drawn

    def _draw_paths(self, values: np.ndarray, n: int, seed: int, u: Any) -> np.ndarray:
        run, key = self._run(values, u), random.key(seed, "nonlinear states")
        return np.moveaxis(call(gaussian_recursion.draw_paths, (n,), run, key).numpy(), 0, 2)

    def _arranged(self, count: int, steps: int, u: Any) -> tuple[tf.Tensor | None, Noises]:
        return self.model.control(u, count, steps), Noises(*self.model.parameters(steps))

    def _run(self, values: np.ndarray, u: Any) -> Linearised:
        control, noises = self._arranged(len(values), values.shape[1], u)
        settings = (self._rule, self.model.f, self.model.h, self._iterations)
        found = call(gaussian_recursion.run, settings, observed(values), control, noises)
        check_finite(found.filtered.increments.numpy())
        return found


def check_finite(increments: np.ndarray) -> None:
    """Refuse a run that lost its belief.

    Args:
        increments: ``[T, n]``.

    Raises:
        DataError: If one is not finite.
    """
    lost = np.argwhere(~np.isfinite(increments))
    if len(lost):
        step, sequence = lost[0]
        raise DataError(
            "The filter lost the state: what it predicts to be observed must be finite, with a "
            "covariance that is positive definite. Expected: functions that are finite near the "
            "states, and noise in R. Received: an observation of density 0 or NaN at step "
            f"{step} of sequence {sequence}."
        )
