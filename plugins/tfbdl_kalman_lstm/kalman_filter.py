"""KalmanFilter: exact inference in a linear Gaussian state-space model of known parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.errors import DataError

from . import parallel, sequential, smoothing
from .parameters import Parameters
from .path_draws import draw_paths, simulate
from .sequences import arrange, observed
from .sequential import Filtered
from .smoothing import Smoothed
from .states import FilteredStates, Forecast, SmoothedStates
from .system import Observed, System, congruence


class KalmanFilter:
    """``x_t+1 = A x_t + B u_t + w_t``, ``y_t = H x_t + v_t``, all Gaussian.

    Queries take one sequence ``[T, m]`` (``[T]`` where m is 1), several ``[n, T, m]``, or a list of
    sequences of unequal length, and answer in kind; NaN stands for an element that was not
    observed. All is computed in float64.

    Args:
        A: Transition, ``[d, d]``. A, H, Q, R and B may vary: a time axis ``[T, ...]`` comes first
            then, and the one at t leads from the state at t to the next.
        H: Observation, ``[m, d]``.
        Q: Covariance of the process noise, ``[d, d]``; it may be singular.
        R: Covariance of the observation noise, ``[m, m]``.
        m0: Mean of the first state before its observation, ``[d]``.
        P0: Its covariance, ``[d, d]``.
        B: A constant offset ``[d]``, or the effect of a control input, ``[d, u]``.
        square_root: Carry square roots of the covariances: slower, and right where the noise of the
            observations is tiny beside the uncertainty of the state.
        parallel: Compute all steps by prefix sums (Sarkka & Garcia-Fernandez 2021): for devices
            with many cores.

    Raises:
        OptionsError: If shapes do not fit together, or a covariance is none.

    Example:
        ```python
        track = KalmanFilter([[1, 1], [0, 1]], [[1, 0]], 0.1 * np.eye(2), 1.0, [0, 0], np.eye(2))
        track.filter(y).means, track.smooth(y).covariances, track.forecast(y, 5).observation_means
        ```

    References:
        Kalman 1960; Rauch, Tung & Striebel 1965; Sarkka 2013, "Bayesian Filtering and Smoothing".
    """

    def __init__(
        self,
        A: Any,
        H: Any,
        Q: Any,
        R: Any,
        m0: Any,
        P0: Any,
        B: Any = None,
        *,
        square_root: bool = False,
        parallel: bool = False,
    ) -> None:
        self.parameters = Parameters(A, H, Q, R, m0, P0, B)
        self.square_root, self.parallel = square_root, parallel

    @property
    def state_dim(self) -> int:
        """Size d of a state."""
        return self.parameters.state_dim

    @property
    def observation_dim(self) -> int:
        """Size m of an observation."""
        return self.parameters.observation_dim

    def filter(self, y: Any, u: Any = None) -> FilteredStates:
        """States given what was observed up to them.

        Args:
            y: Observations.
            u: Control inputs, ``[T, u]``, or ``[n, T, u]`` for each sequence its own.

        Raises:
            DataError: If shapes do not fit, or the model is singular: an observation without noise
                of something that is known exactly.
        """
        values, single = arrange(y, self.observation_dim)
        found = _checked(self._filtered(values, u))
        return FilteredStates(
            means=_by_sequence(found.means),
            covariances=_by_sequence(found.covariances, len(values)),
            predicted_means=_by_sequence(found.predicted_means),
            predicted_covariances=_by_sequence(found.predicted_covariances, len(values)),
            gains=_by_sequence(found.gains, len(values)),
            log_likelihood=found.increments.numpy().sum(axis=0),
            increments=_by_sequence(found.increments),
        ).of(single)

    def smooth(self, y: Any, u: Any = None) -> SmoothedStates:
        """States given all observations, with the covariances of neighbours.

        Args:
            y, u: As ``filter``.
        """
        values, single = arrange(y, self.observation_dim)
        system, seen = self._arranged(values, u)
        filtered = _checked(_run(system, seen, self.square_root, self.parallel))
        found = _smooth(system, filtered, self.parallel)
        return SmoothedStates(
            means=_by_sequence(found.means),
            covariances=_by_sequence(found.covariances, len(values)),
            lag_covariances=_by_sequence(found.lag_covariances, len(values)),
            log_likelihood=filtered.increments.numpy().sum(axis=0),
        ).of(single)

    def log_prob(self, y: Any, u: Any = None) -> Any:
        """``log p(y)`` in nats, the states integrated out: a number, or ``[n]``.

        Args:
            y, u: As ``filter``.
        """
        values, single = arrange(y, self.observation_dim)
        total = _checked(self._filtered(values, u)).increments.numpy().sum(axis=0)
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
        system, seen = self._arranged(np.concatenate([values, ahead], axis=1), u)
        found = _checked(_run(system, seen, self.square_root, self.parallel))
        means = _by_sequence(found.means)[:, -steps:]
        covariances = _by_sequence(found.covariances, len(values))[:, -steps:]
        H, R = system.H.numpy()[-steps:], system.R.numpy()[-steps:]
        spread = congruence(tf.constant(H), tf.constant(covariances)).numpy()
        return Forecast(
            means=means,
            covariances=covariances,
            observation_means=np.squeeze(H @ means[..., np.newaxis], -1),
            observation_covariances=spread + R,
        ).of(single)

    def sample(self, T: int, n: int = 1, seed: int = 0, u: Any = None) -> tuple[Any, Any]:
        """Draw states ``[n, T, d]`` and observations ``[n, T, m]``.

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
        system = self._system(T, n, u)
        states, values = simulate(system, T, n, random.key(seed, "kalman sample"))
        return _by_sequence(states), _by_sequence(values)

    def sample_states(self, y: Any, n: int = 1, seed: int = 0, u: Any = None) -> np.ndarray:
        """Draw ``n`` paths from ``p(x_1..T | y)``: ``[n, T, d]``, or ``[n, sequence, T, d]``.

        Args:
            y, u: As ``filter``.
            n: Paths of each sequence.
            seed: Of the draws.

        References:
            Fruhwirth-Schnatter 1994; forward filtering, backward sampling.
        """
        check_whole("n", n)
        values, single = arrange(y, self.observation_dim)
        system, seen = self._arranged(values, u)
        filtered = _checked(_run(system, seen, self.square_root, self.parallel))
        key = random.key(seed, "kalman states")
        paths = np.moveaxis(draw_paths(system, filtered, n, key).numpy(), 0, 2)
        return paths[:, 0] if single else paths

    def _filtered(self, values: np.ndarray, u: Any) -> Filtered:
        return _run(*self._arranged(values, u), self.square_root, self.parallel)

    def _arranged(self, values: np.ndarray, u: Any) -> tuple[System, Observed]:
        return self._system(values.shape[1], len(values), u), observed(values)

    def _system(self, steps: int, count: int, u: Any) -> System:
        size = self.parameters.control_dim
        if (u is None) != (size is None):
            wanted = "a control input" if u is None else "no control input, for B is no matrix"
            raise DataError(f"The model takes {wanted}. Received: {'none' if u is None else 'u'}.")
        if u is None:
            return self.parameters.system(steps, None)
        control, _ = arrange(u, size, "Control inputs")
        if len(control) not in (1, count) or control.shape[1] < steps or np.isnan(control).any():
            raise DataError(
                f"Control inputs must be [{steps}, {size}] or [{count}, {steps}, {size}], without "
                f"NaN. Received: shape {list(np.shape(u))}."
            )
        return self.parameters.system(steps, control[:, :steps])


@tf.function
def _run(system: System, seen: Observed, square_root: bool, in_parallel: bool) -> Filtered:
    if in_parallel:
        return parallel.filter_in_parallel(system, seen)
    return sequential.filter_sequentially(system, seen, square_root=square_root)


@tf.function
def _smooth(system: System, filtered: Filtered, in_parallel: bool) -> Smoothed:
    run = parallel.smooth_in_parallel if in_parallel else smoothing.smooth
    return run(system, filtered)


def _checked(found: Filtered) -> Filtered:
    if not np.isfinite(found.increments.numpy()).all():
        step = int(np.argwhere(~np.isfinite(found.increments.numpy()))[0][0])
        raise DataError(
            "The covariance of what is predicted to be observed must be positive definite: give R "
            f"noise, or P0 and Q some spread. Received: a singular one at step {step}."
        )
    return found


def _by_sequence(values: tf.Tensor, count: int | None = None) -> np.ndarray:
    """Time first to sequences first; what sequences share is given to each."""
    array = np.moveaxis(values.numpy(), 0, 1)
    if count is not None and len(array) != count:
        array = np.broadcast_to(array, (count, *array.shape[1:])).copy()
    return array
