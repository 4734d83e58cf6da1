"""The models ``ekf``, ``ukf`` and ``particle``: nonlinear filters of systems that have a name."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tfbdl import Posterior
from tfbdl.data import Dataset
from tfbdl.errors import DataError
from tfbdl.parametric import ParametricModel

from .dynamics import SYSTEMS, Dynamics
from .extended import ExtendedKalmanFilter
from .nonlinear_config import ExtendedOptions, ParticleOptions, UnscentedOptions
from .particle import ParticleFilter
from .sequences import arrange
from .states import FilteredStates, Forecast, ParticleStates, SmoothedStates
from .unscented import UnscentedKalmanFilter

_MOST_SEEN = {"lorenz": 3, "pendulum": 1}
_SEEN = {"lorenz": 3, "pendulum": 1, "track": 2}


class NonlinearFilter(ParametricModel):
    """A system of known motion, of whose states the data tell.

    Methods take one sequence (``[T]`` or ``[T, m]``) or several (``[n, T, m]``, or a list of
    unequal lengths) and answer in kind; NaN stands for an element that was not observed.

    Args:
        options: See NonlinearOptions.
        info: The description of the training data, or None without data.
        prior: None; the options hold it.
        seed: Of the run.

    Attributes:
        means_, covariances_: Of the states given all observations, ``[T, d]`` and ``[T, d, d]``; of
            several sequences ``[n, T, ...]``.
        filtered_means_, filtered_covariances_: Given the observations up to each step.
        observations_: What the states were conditioned on.
        log_likelihood_: ``log p(y)`` in nats, of each sequence.

    Example:
        ```python
        fit = tfbdl.fit("ekf", "lorenz", model_options={"dynamics": "lorenz"})
        fit.model.means_, fit.model.forecast(y, 10), fit.posterior.draws["states"]
        ```
    """

    capabilities = frozenset({"exact"})
    default_engine = "exact"
    missing_values: ClassVar[bool] = True

    def filter_of(self, system: Dynamics) -> Any:
        """The filter of a system."""
        raise NotImplementedError

    def system(self, observation_dim: int | None = None) -> Dynamics:
        """Functions and noise of the system that the options name.

        Args:
            observation_dim: m; None: as the data had it, else the system's own.

        Raises:
            DataError: If the system has not so many numbers to see.
        """
        chosen = self.options
        size = observation_dim or self._width() or _SEEN[chosen.dynamics]
        if size > _MOST_SEEN.get(chosen.dynamics, size):
            raise DataError(
                f"Of the system {chosen.dynamics!r} at most {_MOST_SEEN[chosen.dynamics]} "
                f"numbers are observed at a step. Received: {size}."
            )
        given = {name: getattr(chosen, name) for name in ("q2", "r2", "dt")}
        settings: dict[str, Any] = {n: v for n, v in given.items() if v is not None}
        if chosen.dynamics == "lorenz":
            settings |= {"J": chosen.order, "observed": range(size)}
        if chosen.dynamics == "track":
            settings["coordinates"] = size
        made = SYSTEMS[chosen.dynamics](**settings)
        starts = {name: getattr(chosen, name) for name in ("m0", "P0")}
        changed: dict[str, Any] = {n: np.asarray(v) for n, v in starts.items() if v is not None}
        return made._replace(**changed)

    def condition(self, data: Dataset) -> Posterior | None:
        """Find the states given these observations and those taken in before.

        One sequence ``[T, m]`` goes on where it stopped; sequences ``[n, T, m]`` add to those that
        there were.

        Returns:
            Draws of whole paths of states, ``states [1, draw, (n,) T, d]``; None where the options
            ask for none.

        Raises:
            DataError: If the observations do not fit the system, or the filter loses the state.
        """
        y = np.asarray(data.in_memory().x, np.float64)
        if self.params:
            before = self.params["observations"]
            if before.shape[1:] != y.shape[1:]:
                raise DataError(
                    "Further observations must be as those before. Expected: shape "
                    f"[any, {', '.join(map(str, before.shape[1:]))}]. Received: {list(y.shape)}."
                )
            y = np.concatenate([before, y])
        size = 1 if y.ndim == 1 else y.shape[-1]
        estimator = self.filter_of(self.system(size))
        filtered = estimator.filter(y, **self._draws)
        smoothed = estimator.smooth(y, **self._draws)
        self.assign(
            {
                "means": smoothed.means,
                "covariances": smoothed.covariances,
                "filtered_means": filtered.means,
                "filtered_covariances": filtered.covariances,
                "observations": y,
                "log_likelihood": np.asarray(filtered.log_likelihood),
            }
        )
        if not self.options.paths:
            return None
        drawn = estimator.sample_states(y, self.options.paths, self.seed)
        return Posterior({"states": drawn[np.newaxis]}, independent=True)

    def filter(self, y: Any) -> FilteredStates | ParticleStates:
        """States given what was observed up to them."""
        found: FilteredStates | ParticleStates = self._for(y).filter(y, **self._draws)
        return found

    def smooth(self, y: Any) -> SmoothedStates:
        """States given all observations."""
        found: SmoothedStates = self._for(y).smooth(y, **self._draws)
        return found

    def log_prob(self, y: Any) -> Any:
        """The filter's ``log p(y)`` in nats: a number, or ``[n]``."""
        return self._for(y).log_prob(y, **self._draws)

    def forecast(self, y: Any, steps: int) -> Forecast:
        """States and observations after the last step of ``y``."""
        found: Forecast = self._for(y).forecast(y, steps, **self._draws)
        return found

    def sample(self, T: int, n: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw states ``[n, T, d]`` and observations ``[n, T, m]`` of the system."""
        drawn: tuple[np.ndarray, np.ndarray] = self.filter_of(self.system()).sample(T, n, seed)
        return drawn

    def sample_states(self, y: Any, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draw paths of states given y: ``[n, T, d]``, or ``[n, sequence, T, d]``."""
        drawn: np.ndarray = self._for(y).sample_states(y, n, seed)
        return drawn

    def figures(self) -> dict[str, float]:
        """``log_likelihood``: of all observations, in nats."""
        if not self.params:
            return {}
        return {"log_likelihood": float(np.sum(self.params["log_likelihood"]))}

    @property
    def _draws(self) -> dict[str, int]:
        """What a filter that draws is asked with."""
        return {}

    def _for(self, y: Any) -> Any:
        values, _ = arrange(y, None)
        return self.filter_of(self.system(values.shape[-1]))

    def _width(self) -> int | None:
        """The size of an observation in the training data."""
        shape = None if self.info is None else self.info.x_shape
        if not isinstance(shape, tuple):
            return None
        return shape[-1] if shape else 1


class ExtendedModel(NonlinearFilter):
    """The model ``ekf``; see NonlinearFilter and ExtendedKalmanFilter."""

    options: ExtendedOptions

    def filter_of(self, system: Dynamics) -> ExtendedKalmanFilter:
        """The filter of a system."""
        return ExtendedKalmanFilter(*system, iterations=self.options.iterations)


class UnscentedModel(NonlinearFilter):
    """The model ``ukf``; see NonlinearFilter and UnscentedKalmanFilter."""

    options: UnscentedOptions

    def filter_of(self, system: Dynamics) -> UnscentedKalmanFilter:
        """The filter of a system."""
        chosen = self.options
        return UnscentedKalmanFilter(
            *system, alpha=chosen.alpha, beta=chosen.beta, kappa=chosen.kappa
        )


class ParticleModel(NonlinearFilter):
    """The model ``particle``; see NonlinearFilter and ParticleFilter.

    The draws of its particles are those of the run's seed.
    """

    options: ParticleOptions

    def filter_of(self, system: Dynamics) -> ParticleFilter:
        """The filter of a system."""
        chosen = self.options
        return ParticleFilter(
            *system,
            num_particles=chosen.num_particles,
            method=chosen.method,
            threshold=chosen.threshold,
            resampling=chosen.resampling,
        )

    @property
    def _draws(self) -> dict[str, int]:
        return {"seed": self.seed}
