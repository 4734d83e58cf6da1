"""GaussianBelief: what a filter answers that keeps a mean and a covariance of the state."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.config import check_whole

from .controls import matched
from .sequences import by_sequence, following, prolonged
from .sequential import Filtered
from .smoothing import Smoothed
from .state_space import StateSpaceFilter
from .states import FilteredStates, Forecast, SmoothedStates


class GaussianBelief(StateSpaceFilter):
    """Filtered and smoothed states, likelihoods and forecasts.

    A subclass has ``_filtered``, ``_smoothed`` and ``_forecast``, and StateSpaceFilter's own.
    """

    def filter(self, y: Any, u: Any = None) -> FilteredStates:
        """States given what was observed up to them.

        Args:
            y: Observations ``[T, m]``, ``[n, T, m]`` or a list of ``[T_i, m]``; NaN where an
                element is missing.
            u: Control inputs, ``[T, u]``; or for each sequence its own, ``[n, T, u]`` or a list of
                ``[T_i, u]``.

        Raises:
            DataError: If shapes do not fit, or a belief is lost: an observation without noise meets
                a state without spread, or functions lead to numbers that are not finite.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        found, count = self._filtered(values, u), len(values)
        return FilteredStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances, count),
            predicted_means=by_sequence(found.predicted_means),
            predicted_covariances=by_sequence(found.predicted_covariances, count),
            gains=by_sequence(found.gains, count),
            log_likelihood=_summed(found),
            increments=by_sequence(found.increments),
        ).of(single)

    def smooth(self, y: Any, u: Any = None) -> SmoothedStates:
        """States given all observations, with the covariances of neighbours.

        Args:
            y, u: As ``filter``.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        filtered, found = self._smoothed(values, u)
        return SmoothedStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances, len(values)),
            lag_covariances=by_sequence(found.lag_covariances, len(values)),
            log_likelihood=_summed(filtered),
        ).of(single)

    def log_prob(self, y: Any, u: Any = None) -> Any:
        """``log p(y)`` in nats, the states integrated out: a number, or ``[n]``.

        Exact in a linear model, else as good as the filter's Gaussians.

        Args:
            y, u: As ``filter``.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        total = _summed(self._filtered(values, u))
        return float(total[0]) if single else total

    def forecast(self, y: Any, steps: int, u: Any = None) -> Forecast:
        """States and observations after the last step of ``y``.

        Args:
            y: Observations, each sequence from its own end; an array may end in NaN.
            steps: How many steps ahead.
            u: Control inputs of the steps of y and of those ahead, ``[T + steps, u]``.

        Raises:
            OptionsError: If ``steps`` is no positive integer.
        """
        check_whole("steps", steps)
        values, single, ends, u = matched(y, u, self.observation_dim, steps)
        return self._forecast(prolonged(values, steps), following(ends, steps), u).of(single)

    def _filtered(self, values: np.ndarray, u: Any) -> Filtered:
        """The filter over ``values [n, T, m]``, checked."""
        raise NotImplementedError

    def _smoothed(self, values: np.ndarray, u: Any) -> tuple[Filtered, Smoothed]:
        """The same, and the smoother after it."""
        raise NotImplementedError

    def _forecast(self, longer: np.ndarray, ahead: np.ndarray, u: Any) -> Forecast:
        """At the steps ``ahead [n, steps]`` of ``longer [n, T, m]``, where nothing was seen."""
        raise NotImplementedError


def _summed(found: Filtered) -> np.ndarray:
    """``log p(y)`` of each sequence."""
    total: np.ndarray = found.increments.numpy().sum(axis=0)
    return total
