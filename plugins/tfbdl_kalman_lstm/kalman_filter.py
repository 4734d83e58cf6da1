"""KalmanFilter: exact inference in a linear Gaussian state-space model of known parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError

from . import parallel, sequential, smoothing
from .controls import control_inputs
from .gaussian_belief import GaussianBelief
from .parameters import Parameters
from .path_draws import draw_paths, simulate
from .sequences import at_steps, by_sequence, observed
from .sequential import Filtered
from .smoothing import Smoothed
from .states import Forecast
from .system import Observed, System, congruence


class KalmanFilter(GaussianBelief):
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
        Kalman 1960; Rauch, Tung & Striebel 1965; Fruhwirth-Schnatter 1994 for ``sample_states``
        (forward filtering, backward sampling); Sarkka 2013, "Bayesian Filtering and Smoothing".
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
        self.state_dim = self.parameters.state_dim
        self.observation_dim = self.parameters.observation_dim
        self.square_root, self.parallel = square_root, parallel

    def _filtered(self, values: np.ndarray, u: Any) -> Filtered:
        return self._run(*self._arranged(values, u))

    def _smoothed(self, values: np.ndarray, u: Any) -> tuple[Filtered, Smoothed]:
        system, seen = self._arranged(values, u)
        filtered = self._run(system, seen)
        return filtered, _smooth(system, filtered, self.parallel)

    def _forecast(self, longer: np.ndarray, ahead: np.ndarray, u: Any) -> Forecast:
        system, seen = self._arranged(longer, u)
        found = self._run(system, seen)
        means = at_steps(by_sequence(found.means), ahead)
        covariances = at_steps(by_sequence(found.covariances), ahead)
        H, R = (at_steps(part.numpy()[np.newaxis], ahead) for part in (system.H, system.R))
        spread = congruence(tf.constant(H), tf.constant(covariances)).numpy()
        return Forecast(
            means=means,
            covariances=covariances,
            observation_means=np.squeeze(H @ means[..., np.newaxis], -1),
            observation_covariances=spread + R,
        )

    def _simulate(self, T: int, n: int, seed: int, u: Any) -> tuple[tf.Tensor, tf.Tensor]:
        drawn: tuple[tf.Tensor, tf.Tensor] = simulate(
            self._system(T, n, u), T, n, random.key(seed, "kalman sample")
        )
        return drawn

    def _draw_paths(self, values: np.ndarray, n: int, seed: int, u: Any) -> np.ndarray:
        system, seen = self._arranged(values, u)
        key = random.key(seed, "kalman states")
        return np.moveaxis(draw_paths(system, self._run(system, seen), n, key).numpy(), 0, 2)

    def _run(self, system: System, seen: Observed) -> Filtered:
        try:
            found = _filter(system, seen, self.square_root, self.parallel)
        except tf.errors.InvalidArgumentError as error:  # the parallel form inverts matrices
            if "not invertible" not in str(error):
                raise
            raise _singular("a singular one") from None
        increments = found.increments.numpy()
        if not np.isfinite(increments).all():
            step = int(np.argwhere(~np.isfinite(increments))[0][0])
            raise _singular(f"a singular one at step {step}")
        return found

    def _arranged(self, values: np.ndarray, u: Any) -> tuple[System, Observed]:
        return self._system(values.shape[1], len(values), u), observed(values)

    def _system(self, steps: int, count: int, u: Any) -> System:
        size = self.parameters.control_dim
        control = control_inputs(
            u,
            taken=size is not None,
            size=size,
            count=count,
            steps=steps,
            why="B is no matrix",
        )
        return self.parameters.system(steps, control)


@tf.function
def _filter(system: System, seen: Observed, square_root: bool, in_parallel: bool) -> Filtered:
    if in_parallel:
        return parallel.filter_in_parallel(system, seen)
    return sequential.filter_sequentially(system, seen, square_root=square_root)


@tf.function
def _smooth(system: System, filtered: Filtered, in_parallel: bool) -> Smoothed:
    run = parallel.smooth_in_parallel if in_parallel else smoothing.smooth
    return run(system, filtered)


def _singular(received: str) -> DataError:
    return DataError(
        "The covariance of what is predicted to be observed must be positive definite: give R "
        f"noise, or P0 and Q some spread. Received: {received}."
    )
