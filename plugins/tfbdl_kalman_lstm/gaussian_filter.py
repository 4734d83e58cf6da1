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
from .sequences import at_steps, by_sequence, observed
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

    def _forecast(self, longer: np.ndarray, ahead: np.ndarray, u: Any) -> Forecast:
        count, steps = ahead.shape
        control, noises = self._arranged(count, longer.shape[1], u)
        found = self._run(longer, u).filtered
        means, covariances = (
            at_steps(by_sequence(part), ahead) for part in (found.means, found.covariances)
        )
        R = at_steps(noises.R.numpy()[np.newaxis], ahead)
        parts = [means, covariances, R]
        if control is not None:
            parts.append(at_steps(by_sequence(control), ahead))
        each = [tf.constant(part.reshape(-1, *part.shape[2:])) for part in parts]  # [n steps, ...]
        inputs = each[3] if control is not None else None
        settings = (self._rule, self.model.h)
        seen = call(gaussian_recursion.expect, settings, *each[:2], inputs, each[2])
        return Forecast(
            means=means,
            covariances=covariances,
            observation_means=seen[0].numpy().reshape(count, steps, -1),
            observation_covariances=seen[1].numpy().reshape(R.shape),
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
