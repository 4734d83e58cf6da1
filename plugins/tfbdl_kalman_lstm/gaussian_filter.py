"""GaussianFilter: what the extended and the unscented filter answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.errors import DataError

from . import gaussian_recursion
from .compiled import call
from .gaussian_recursion import Linearised, Noises, Rule
from .nonlinear_model import NonlinearModel
from .nonlinear_paths import simulate
from .sequences import arrange, observed
from .states import FilteredStates, Forecast, SmoothedStates


class GaussianFilter:
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
        self._rule, self._iterations = rule, iterations

    @property
    def state_dim(self) -> int:
        """Size d of a state."""
        return self.model.state_dim

    @property
    def observation_dim(self) -> int:
        """Size m of an observation."""
        return self.model.observation_dim

    def filter(self, y: Any, u: Any = None) -> FilteredStates:
        """States given what was observed up to them.

        Args:
            y: Observations ``[T, m]``, ``[n, T, m]`` or a list of ``[T_i, m]``; NaN where an
                element is missing.
            u: Control inputs, ``[T, u]``, or ``[n, T, u]`` for each sequence its own.

        Raises:
            DataError: If shapes do not fit, or a belief is lost: the functions lead to numbers
                that are not finite, or an observation without noise meets a state without spread.
        """
        values, single = arrange(y, self.observation_dim)
        found = self._run(values, u).filtered
        return FilteredStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances),
            predicted_means=by_sequence(found.predicted_means),
            predicted_covariances=by_sequence(found.predicted_covariances),
            gains=by_sequence(found.gains),
            log_likelihood=found.increments.numpy().sum(axis=0),
            increments=by_sequence(found.increments),
        ).of(single)

    def smooth(self, y: Any, u: Any = None) -> SmoothedStates:
        """States given all observations, with the covariances of neighbours.

        Args:
            y, u: As ``filter``.
        """
        values, single = arrange(y, self.observation_dim)
        run = self._run(values, u)
        found = call(gaussian_recursion.smooth, (), run)
        return SmoothedStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances),
            lag_covariances=by_sequence(found.lag_covariances),
            log_likelihood=run.filtered.increments.numpy().sum(axis=0),
        ).of(single)

    def log_prob(self, y: Any, u: Any = None) -> Any:
        """The filter's ``log p(y)`` in nats, as good as its Gaussians: a number, or ``[n]``.

        Args:
            y, u: As ``filter``.
        """
        values, single = arrange(y, self.observation_dim)
        total = self._run(values, u).filtered.increments.numpy().sum(axis=0)
        return float(total[0]) if single else total

    def forecast(self, y: Any, steps: int, u: Any = None) -> Forecast:
        """States and observations after the last step of ``y``.

        Args:
            y: Observations; may end in NaN.
            steps: How many steps ahead.
            u: Control inputs of the steps of y and of those ahead, ``[T + steps, u]``.

        Raises:
            OptionsError: If ``steps`` is no positive integer.
        """
        check_whole("steps", steps)
        values, single = arrange(y, self.observation_dim)
        ahead = np.full((len(values), steps, values.shape[-1]), np.nan)
        longer = np.concatenate([values, ahead], axis=1)
        control, noises = self._arranged(len(values), longer.shape[1], u)
        found = self._run(longer, u).filtered
        states = [found.means[-steps:], found.covariances[-steps:]]
        means, covariances = (tf.reshape(part, [-1, *part.shape[2:]]) for part in states)
        if control is not None:
            control = tf.reshape(control[-steps:], [-1, control.shape[-1]])
        R = noises.R[-steps:] if len(noises.R) > 1 else noises.R
        if len(R) > 1:
            R = tf.repeat(R, len(values), axis=0)
        settings = (self._rule, self.model.h)
        seen = call(gaussian_recursion.expect, settings, means, covariances, control, R)
        return Forecast(
            means=by_sequence(states[0]),
            covariances=by_sequence(states[1]),
            observation_means=by_sequence(tf.reshape(seen[0], [steps, len(values), -1])),
            observation_covariances=by_sequence(
                tf.reshape(seen[1], [steps, len(values), *seen[1].shape[1:]])
            ),
        ).of(single)

    def sample(self, T: int, n: int = 1, seed: int = 0, u: Any = None) -> tuple[Any, Any]:
        """Draw states ``[n, T, d]`` and observations ``[n, T, m]`` of the nonlinear model itself.

        Args:
            T: Steps.
            n: Sequences.
            seed: Of the draws.
            u: Control inputs, ``[T, u]`` or ``[n, T, u]``.

        Raises:
            OptionsError: If T or n is no positive integer.
        """
        check_whole("T", T)
        check_whole("n", n)
        control, noises = self._arranged(n, T, u)
        key = random.key(seed, "nonlinear sample")
        settings = (self.model.f, self.model.h, int(T), int(n))
        states, values = call(simulate, settings, control, noises, key)
        return by_sequence(states), by_sequence(values)

    def sample_states(self, y: Any, n: int = 1, seed: int = 0, u: Any = None) -> np.ndarray:
        """Draw ``n`` paths given y from the filter's Gaussians: ``[n, T, d]``.

        Of several sequences ``[n, sequence, T, d]``. Their moments are those of ``smooth``.

        Args:
            y, u: As ``filter``.
            n: Paths of each sequence.
            seed: Of the draws.

        Raises:
            OptionsError: If n is no positive integer.
        """
        check_whole("n", n)
        values, single = arrange(y, self.observation_dim)
        key = random.key(seed, "nonlinear states")
        drawn = call(gaussian_recursion.draw_paths, (int(n),), self._run(values, u), key)
        paths = np.moveaxis(drawn.numpy(), 0, 2)
        return paths[:, 0] if single else paths

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


def by_sequence(values: tf.Tensor) -> np.ndarray:
    """Time first to sequences first."""
    return np.moveaxis(values.numpy(), 0, 1)
