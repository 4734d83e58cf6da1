"""ParticleFilter: sequential Monte Carlo for any state-space model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, get_args

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.monte_carlo.resampling import SCHEMES, Scheme

from . import fixed_lag, particle_recursion
from .compiled import call
from .controls import matched
from .densities import GaussianDensities, GeneralDensities
from .gaussian_recursion import Noises
from .nonlinear_model import NonlinearModel
from .particle_recursion import Cloud, Moments, Settings
from .sequences import at_steps, by_sequence, following, observed, prolonged
from .state_space import StateSpaceFilter
from .states import Forecast, Particles, ParticleStates, SmoothedStates

Method = Literal["bootstrap", "auxiliary"]
Smoother = Literal["backward_simulation", "fixed_lag"]


class ParticleFilter(StateSpaceFilter):
    """Weighted particles for ``p(x_t | y_1..t)``, whatever its shape.

    With functions and Gaussian noise as ExtendedKalmanFilter takes them; with any distributions by
    ``ParticleFilter.of``. Queries take sequences as KalmanFilter's do, with NaN for what was not
    observed, and answer in kind; the same seed gives the same answer. The paths of one call of
    ``sample_states`` share the particles of one filter; they need a Q that is not singular.

    Args:
        f, h, Q, R, m0, P0: As ExtendedKalmanFilter. R must have noise in all directions.
        num_particles: Of each sequence.
        method: ``bootstrap``: particles move on by their weights. ``auxiliary``: by their weights
            and by how well the middle of where they move foresees the next observation; better
            where observations say much and the motion is nearly certain.
        threshold: Particles are chosen anew where the weights are worth fewer than this share of
            them, from 0 (never) to 1 (always).
        resampling: By which scheme: ``systematic``, ``stratified``, ``residual`` or
            ``multinomial``.

    Raises:
        OptionsError: If shapes do not fit together, a covariance is none, a function gives no state
            or observation, or another argument is out of its range.

    Example:
        ```python
        growth = ParticleFilter(f, h, Q, R, m0, P0, num_particles=5_000)
        growth.filter(y, seed=1).means, growth.smooth(y).covariances, growth.particles(y).states
        ```

    References:
        Gordon, Salmond & Smith 1993; Pitt & Shephard 1999; Doucet & Johansen 2011.
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
        num_particles: int = 1_000,
        method: Method = "bootstrap",
        threshold: float = 0.5,
        resampling: Scheme = "systematic",
    ) -> None:
        self._model: NonlinearModel | None = NonlinearModel(f, h, Q, R, m0, P0)
        if np.linalg.eigvalsh(self._model.R).min() <= 0.0:
            raise OptionsError(
                "R must be positive definite, since particles are weighted by its density. "
                "Received: a singular one."
            )
        self.state_dim, self.observation_dim = self._model.state_dim, self._model.observation_dim
        densities = GaussianDensities(self._model.f, self._model.h)
        self._settings = _settings(densities, num_particles, method, threshold, resampling)

    @classmethod
    def of(
        cls,
        initial: Any,
        transition: Callable[[tf.Tensor], Any],
        observation: Callable[[tf.Tensor], Any],
        *,
        num_particles: int = 1_000,
        method: Method = "bootstrap",
        threshold: float = 0.5,
        resampling: Scheme = "systematic",
    ) -> Self:
        """A filter for any distributions of TensorFlow Probability, in float64.

        An observation is there or missing as a whole.

        Args:
            initial: Of the first state before its observation; event shape ``[d]``.
            transition: From states ``[..., d]`` to the distribution of the next: batch shape
                ``[...]``, event shape ``[d]``.
            observation: From states ``[..., d]`` to the distribution of what is observed: batch
                shape ``[...]``, event shape ``[m]``.
            num_particles, method, threshold, resampling: As ParticleFilter.

        Raises:
            OptionsError: If event or batch shapes do not fit, or the precision is another.

        Example:
            ```python
            volatility = ParticleFilter.of(  # stochastic volatility
                tfd.MultivariateNormalDiag(loc=z, scale_diag=z + 1.0),
                lambda x: tfd.MultivariateNormalDiag(0.95 * x, 0.3 + z),
                lambda x: tfd.MultivariateNormalDiag(tf.zeros_like(x), tf.exp(x / 2)),
            )
            ```
        """
        made = cls.__new__(cls)
        made._model = None
        made.state_dim = _event_size("initial", initial, ())
        states = initial.sample((2, 3), seed=tf.constant([0, 1]))
        for name, function, size in (
            ("transition", transition, made.state_dim),
            ("observation", observation, None),
        ):
            made.observation_dim = _event_size(name, function(states), (2, 3), size)
        densities = GeneralDensities(initial, transition, observation)
        made._settings = _settings(densities, num_particles, method, threshold, resampling)
        return made

    def filter(self, y: Any, u: Any = None, seed: int = 0) -> ParticleStates:
        """States given what was observed up to them.

        Args:
            y: Observations ``[T, m]``, ``[n, T, m]`` or a list of ``[T_i, m]``; NaN where one is
                missing.
            u: Control inputs, ``[T, u]``; or for each sequence its own, ``[n, T, u]`` or a list of
                ``[T_i, u]``.
            seed: Of the draws.

        Raises:
            DataError: If shapes do not fit, or no particle is where an observation can be.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        found, _ = self._run(values, u, seed)
        return ParticleStates(
            means=by_sequence(found.means),
            covariances=by_sequence(found.covariances),
            predicted_means=by_sequence(found.predicted_means),
            predicted_covariances=by_sequence(found.predicted_covariances),
            log_likelihood=found.increments.numpy().sum(axis=0),
            increments=by_sequence(found.increments),
            effective_sample_size=by_sequence(found.effective),
        ).of(single)

    def particles(self, y: Any, u: Any = None, seed: int = 0) -> Particles:
        """All particles of all steps; memory for ``n T num_particles (d + 2)`` numbers.

        Args:
            y, u, seed: As ``filter``.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        return _as_arrays(self._kept(values, u, seed)[1]).of(single)

    def log_prob(self, y: Any, u: Any = None, seed: int = 0) -> Any:
        """The logarithm of an estimate of ``p(y)`` without bias, in nats: a number, or ``[n]``.

        Args:
            y, u, seed: As ``filter``.
        """
        values, single, _, u = matched(y, u, self.observation_dim)
        total = self._run(values, u, seed)[0].increments.numpy().sum(axis=0)
        return float(total[0]) if single else total

    def smooth(
        self,
        y: Any,
        u: Any = None,
        seed: int = 0,
        *,
        method: Smoother = "backward_simulation",
        paths: int = 500,
        lag: int = 10,
    ) -> SmoothedStates:
        """States given all observations, with the covariances of neighbours.

        Args:
            y, u, seed: As ``filter``.
            method: ``backward_simulation``: moments of so many ``paths`` drawn as in
                ``sample_states``. ``fixed_lag``: by the observations up to ``lag`` steps later,
                also where Q is singular or the density of a move is not known.
            paths: Of each sequence, at least 2.
            lag: In steps.

        Raises:
            OptionsError: If an argument is out of its range, or Q is singular and the method
                needs its density.
        """
        check_choice("method", method, get_args(Smoother))
        values, single, _, u = matched(y, u, self.observation_dim)
        if method == "fixed_lag":
            check_whole("lag", lag)
            moments, cloud = self._kept(values, u, seed)
            means, covariances, neighbours = fixed_lag.smooth(_as_arrays(cloud), lag)
        else:
            check_whole("paths", paths, 2)
            moments, drawn = self._paths(values, paths, u, seed)
            means = drawn.mean(axis=2)
            away = drawn - means[:, :, np.newaxis]
            covariances = np.swapaxes(away, 2, 3) @ away / (paths - 1)
            neighbours = np.swapaxes(away[:, 1:], 2, 3) @ away[:, :-1] / (paths - 1)
        return SmoothedStates(
            means=means,
            covariances=covariances,
            lag_covariances=neighbours,
            log_likelihood=moments.increments.numpy().sum(axis=0),
        ).of(single)

    def forecast(self, y: Any, steps: int, u: Any = None, seed: int = 0) -> Forecast:
        """States and observations after the last step of ``y``.

        Args:
            y, seed: As ``filter``.
            steps: How many steps ahead.
            u: Control inputs of the steps of y and of those ahead, ``[T + steps, u]``.

        Raises:
            OptionsError: If ``steps`` is no positive integer.
        """
        check_whole("steps", steps)
        values, single, ends, u = matched(y, u, self.observation_dim, steps)
        longer, start = prolonged(values, steps), int(ends.min())
        moments, cloud = self._kept(longer, u, seed)
        inputs = self._inputs(len(values), longer.shape[1], u)
        expect = particle_recursion.expect
        seen = call(expect, (self._settings.densities, start), cloud, *inputs)
        parts = (moments.means[start:], moments.covariances[start:], *seen)
        index = following(ends - start, steps)
        return Forecast(
            **{
                name: at_steps(by_sequence(part), index)
                for name, part in zip(Forecast.__dataclass_fields__, parts, strict=True)
            }
        ).of(single)

    def _simulate(self, T: int, n: int, seed: int, u: Any) -> tuple[tf.Tensor, tf.Tensor]:
        key, inputs = random.key(seed, "nonlinear sample"), self._inputs(n, T, u)
        settings = (self._settings.densities, T, n)
        drawn: tuple[tf.Tensor, tf.Tensor] = call(
            particle_recursion.simulate, settings, *inputs, key
        )
        return drawn

    def _draw_paths(self, values: np.ndarray, n: int, seed: int, u: Any) -> np.ndarray:
        return np.moveaxis(self._paths(values, n, u, seed)[1], 2, 0)

    def _inputs(self, count: int, steps: int, u: Any) -> tuple[tf.Tensor | None, Noises | None]:
        if self._model is not None:
            noises = Noises(*self._model.parameters(steps))
            return self._model.control(u, count, steps), noises
        if u is not None:
            raise DataError(
                "A model of distributions takes no control input. Received: u; let it be part of "
                "the state."
            )
        return None, None

    def _run(
        self, values: np.ndarray, u: Any, seed: int, keep: bool = False
    ) -> tuple[Moments, Cloud | None]:
        missing = np.isnan(values)
        if self._model is None and (missing.any(-1) != missing.all(-1)).any():
            raise DataError(
                "An observation of a model of distributions must be there or missing as a whole. "
                f"Received: one in part at step {_first(missing.any(-1) != missing.all(-1))}."
            )
        inputs = self._inputs(len(values), values.shape[1], u)
        key = random.key(seed, "particle filter")
        found: tuple[Moments, Cloud | None] = call(
            particle_recursion.run, (self._settings, keep), observed(values), *inputs, key
        )
        lost = ~np.isfinite(found[0].increments.numpy()).T
        if lost.any():
            raise DataError(
                "The particles lost the state. Expected: some of them where the observation has a "
                f"density above 0; give more particles, or more noise. Received: none at step "
                f"{_first(lost)}."
            )
        return found

    def _kept(self, values: np.ndarray, u: Any, seed: int) -> tuple[Moments, Cloud]:
        moments, cloud = self._run(values, u, seed, keep=True)
        assert cloud is not None
        return moments, cloud

    def _paths(
        self, values: np.ndarray, count: int, u: Any, seed: int
    ) -> tuple[Moments, np.ndarray]:
        """Paths ``[n, T, count, d]``."""
        if self._model is not None and np.linalg.eigvalsh(self._model.Q).min() <= 0.0:
            raise OptionsError(
                "Paths are drawn by the density of a move. Expected: a Q that is positive "
                'definite. Received: a singular one; use smooth(y, method="fixed_lag").'
            )
        moments, cloud = self._kept(values, u, seed)
        inputs = self._inputs(len(values), values.shape[1], u)
        settings = (self._settings.densities, int(count))
        key = random.key(seed, "particle paths")
        drawn = call(particle_recursion.draw_paths, settings, cloud, *inputs, key)
        return moments, by_sequence(drawn)


def _settings(
    densities: Any, num_particles: Any, method: Any, threshold: Any, resampling: Any
) -> Settings:
    check_whole("num_particles", num_particles)
    check_choice("method", method, get_args(Method))
    if not 0.0 <= threshold <= 1.0:
        raise OptionsError(f"threshold must be from 0 to 1. Received: {threshold!r}.")
    check_choice("resampling", resampling, SCHEMES)
    auxiliary = method == "auxiliary"
    return Settings(densities, int(num_particles), auxiliary, float(threshold), resampling)


def _event_size(name: str, distribution: Any, batch: tuple[int, ...], size: Any = None) -> int:
    """The size of a vector that a distribution is about."""
    event = getattr(distribution, "event_shape", None)
    found = None if event is None else (list(distribution.batch_shape), list(event))
    if found is None or len(found[1]) != 1 or found[0] != list(batch):
        raise OptionsError(
            f"{name} must lead to a tfd distribution with batch shape {list(batch)} for states of "
            f"that shape, and event shape [{size or 'any'}]. Received: {distribution!r}."
        )
    if size not in (None, found[1][0]):
        raise OptionsError(f"{name} must have the event shape [{size}]. Received: [{found[1][0]}].")
    if distribution.dtype != tf.float64:
        raise OptionsError(
            f"{name} must be in float64. Received: {tf.as_dtype(distribution.dtype).name}."
        )
    return int(found[1][0])


def _as_arrays(cloud: Cloud) -> Particles:
    return Particles(
        states=by_sequence(cloud.x),
        log_weights=by_sequence(cloud.log_weights),
        ancestors=by_sequence(cloud.ancestors),
    )


def _first(wrong: np.ndarray) -> str:
    """The step and sequence of the first element that is true of ``[n, T]``."""
    sequence, step = np.argwhere(wrong)[0]
    return f"{step} of sequence {sequence}"
