"""What a posterior in closed form gives: exact moments, draws where asked, exact predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from . import calibration, quantiles, random
from .errors import DataError, ModelError, OptionsError
from .posterior import Arrays, Posterior
from .predictive import Predictive

tfd = tfp.distributions

NUM_DRAWS = 1_000
KEPT_DRAWS = 4_000
MOMENTS = "posterior_moments"
Sampler = Callable[[int, tf.Tensor], Mapping[str, Any]]
"""From a number of draws and a key ``[2]`` (a seed of TFP) to site name -> ``[n, ...]``."""


class ClosedFormPosterior(Posterior):
    """A posterior whose distribution is known.

    Args:
        sample: Draws ``n`` states from a key.
        mean: Site name -> exact mean.
        covariance: Site name -> exact covariance ``[size, size]`` of the flattened site.
        stddev: Site name -> exact standard deviation; by default from the covariance.
        predictive: From inputs to the exact predictive distribution, where there is one.
    """

    is_finite = False

    def __init__(
        self,
        sample: Sampler,
        mean: Mapping[str, Any],
        covariance: Mapping[str, Any] | None = None,
        stddev: Mapping[str, Any] | None = None,
        predictive: Callable[[Any], Any] | None = None,
    ) -> None:
        self.independent = True
        self.sample_stats: Arrays = {}
        self.predictive = predictive
        self._sample = sample
        self._mean = {name: np.asarray(value) for name, value in mean.items()}
        self._covariance = {n: np.asarray(value) for n, value in (covariance or {}).items()}
        given = stddev or {}
        self._stddev = {
            name: np.asarray(given[name])
            if name in given
            else np.sqrt(np.diagonal(self._covariance[name])).reshape(value.shape)
            for name, value in self._mean.items()
        }
        self._last: tuple[tuple[int, int], dict[str, tf.Tensor]] | None = None

    @classmethod
    def of(
        cls, distributions: Mapping[str, Any], predictive: Callable[[Any], Any] | None = None
    ) -> ClosedFormPosterior:
        """Sites that are independent of one another, each a tfd distribution of the whole site."""

        def sample(n: int, key: tf.Tensor) -> Mapping[str, Any]:
            keys = random.split(tf.bitcast(key, tf.uint32), len(distributions))
            pairs = zip(distributions.items(), tf.unstack(tf.bitcast(keys, tf.int32)), strict=True)
            return {name: part.sample(n, seed=pair) for (name, part), pair in pairs}

        return cls(
            sample,
            mean={name: d.mean() for name, d in distributions.items()},
            covariance={name: _covariance_of(d) for name, d in distributions.items()},
            predictive=predictive,
        )

    @property
    def num_draws(self) -> int:
        """How many draws ``.draws`` holds."""
        return NUM_DRAWS

    @cached_property
    def _drawn(self) -> Arrays:
        return {name: value[np.newaxis] for name, value in self.sample(NUM_DRAWS).items()}

    @property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Site name -> ``[1, draw, ...]``, drawn on first use at seed 0."""
        return self._drawn

    def states(self, start: int, stop: int, seed: int, total: int) -> dict[str, tf.Tensor]:
        """Draws ``start`` to ``stop`` of a sample of ``total``; the same in any partition."""
        if self._last is None or self._last[0] != (seed, total):
            key = tf.bitcast(random.key(seed, "posterior"), tf.int32)
            drawn = {n: tf.convert_to_tensor(v) for n, v in self._sample(total, key).items()}
            self._last = ((seed, total), drawn)
        return {name: value[start:stop] for name, value in self._last[1].items()}

    def kept(self) -> DrawsWithMoments:
        """The same as draws that can be stored, for a posterior that is not its model's own."""
        draws = {name: value[np.newaxis] for name, value in self.sample(KEPT_DRAWS).items()}
        return DrawsWithMoments(draws, self._mean, self._covariance)

    def mean(self) -> Arrays:
        """Site name -> exact mean."""
        return dict(self._mean)

    def stddev(self) -> Arrays:
        """Site name -> exact standard deviation."""
        return dict(self._stddev)

    def covariance(self) -> Arrays:
        """Site name -> exact covariance ``[size, size]`` of the flattened site."""
        return dict(self._covariance)


class DrawsWithMoments(Posterior):
    """Independent draws of a distribution whose moments are known exactly.

    Args:
        draws: Site name -> ``[chain, draw, ...]``.
        mean: Site name -> exact mean.
        covariance: Site name -> exact covariance ``[size, size]`` of the flattened site.
    """

    stored_as = "draws_with_moments"

    def __init__(
        self, draws: Mapping[str, Any], mean: Mapping[str, Any], covariance: Mapping[str, Any]
    ) -> None:
        super().__init__(draws, independent=True)
        self._mean = {name: np.asarray(value) for name, value in mean.items()}
        self._covariance = {name: np.asarray(value) for name, value in covariance.items()}

    def mean(self) -> Arrays:
        """Site name -> exact mean."""
        return dict(self._mean)

    def stddev(self) -> Arrays:
        """Site name -> exact standard deviation."""
        return {
            name: np.sqrt(np.diagonal(self._covariance[name])).reshape(mean.shape)
            for name, mean in self._mean.items()
        }

    def covariance(self) -> Arrays:
        """Site name -> exact covariance ``[size, size]`` of the flattened site."""
        return dict(self._covariance)

    def to_netcdf(self, path: str | Path) -> None:
        """Write a file that ArviZ reads, and ``read_with_moments`` with its moments."""
        import xarray as xr

        super().to_netcdf(path)
        parts = {f"mean.{n}": v for n, v in self._mean.items()}
        parts |= {f"covariance.{n}": v for n, v in self._covariance.items()}
        variables = {n: ([f"{n}_dim_{i}" for i in range(v.ndim)], v) for n, v in parts.items()}
        xr.Dataset(variables).to_netcdf(path, mode="a", group=MOMENTS, engine="h5netcdf")


def read_with_moments(path: str | Path) -> DrawsWithMoments:
    """Read what ``DrawsWithMoments.to_netcdf`` wrote."""
    import xarray as xr

    draws = Posterior.from_netcdf(path, independent=True).draws
    with xr.open_dataset(path, group=MOMENTS, engine="h5netcdf") as stored:
        mean, covariance = (
            {name: stored[f"{part}.{name}"].values for name in draws}
            for part in ("mean", "covariance")
        )
    return DrawsWithMoments(draws, mean, covariance)


class ClosedFormPredictive(Predictive):
    """A predictive distribution that is known exactly; every quantity is a formula.

    Args:
        model: What predicts; it has ``likelihood``.
        distribution: ``p(y | x, data)`` as a tfd distribution with batch shape ``[n, outputs]``
            and scalar events; or probabilities of the classes as a NumPy array ``[n, classes]``
            (of a one ``[n, 1]``, for Bernoulli).
        aleatoric: The part of its variance that more data does not take away, ``[n, outputs]``;
            for classes the expected entropy in nats, of the shape of ``entropy``. What is left of
            the variance (of the entropy) is epistemic.
    """

    def __init__(self, model: Any, distribution: Any, aleatoric: Any) -> None:
        self.model, self.distribution = model, distribution
        self.draws, self.seed, self.keep = 1, 0, True
        self._aleatoric = np.asarray(aleatoric, np.float64)
        shape = np.shape(distribution) if self._is_classes else distribution.batch_shape
        self.num_rows = int(shape[0])

    @property
    def _is_classes(self) -> bool:
        return bool(self.model.likelihood.is_classification)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._is_classes:
            probs = np.asarray(self.distribution, np.float64)
            return probs, probs * (1.0 - probs), np.zeros_like(probs)
        variance = np.asarray(self.distribution.variance(), np.float64)
        noise = np.broadcast_to(self._aleatoric, variance.shape)
        if isinstance(self.distribution, tfd.StudentT):
            # its centre, also where one degree of freedom or less leaves it without a mean
            df = np.asarray(self.distribution.df, np.float64)
            mean = np.broadcast_to(np.asarray(self.distribution.loc, np.float64), variance.shape)
            variance = np.where(df > 2.0, variance, np.inf)
        else:
            mean = np.asarray(self.distribution.mean(), np.float64)
        known = np.isfinite(variance)
        rest = np.subtract(variance, noise, out=np.full(variance.shape, np.inf), where=known)
        return mean, noise, np.maximum(rest, 0.0)

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        probs = np.asarray(self.distribution, np.float64)
        entropy = self._entropy_of(probs)
        return probs, entropy, self._aleatoric.reshape(entropy.shape)

    def log_prob(self, y: Any) -> np.ndarray:
        """``log p(y | x, data)`` of each row, in nats, summed over outputs: ``[n]``."""
        y = self._targets(y)
        if self._is_classes:
            probs, labels = self.class_pairs(y)
            with np.errstate(divide="ignore"):
                return np.log(probs[np.arange(len(labels)), labels])
        shape = tuple(self.distribution.batch_shape)
        if y.size != int(np.prod(shape)):
            raise DataError(f"Expected targets {list(shape)}. Received: shape {list(y.shape)}.")
        target = tf.constant(y.reshape(shape), self.distribution.dtype)
        return np.asarray(self.distribution.log_prob(target), np.float64).sum(axis=-1)

    def expected_log_prob(self, y: Any) -> np.ndarray:
        """Refused: the average over draws has no closed form here.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            "A predictive distribution in closed form has no draws to average over. Use "
            "log_prob(y), or fit the model with an engine that gives draws."
        )

    def sample(self, k: int = 1, seed: int = 0) -> np.ndarray:
        """Draw ``k`` targets for each row: ``[k, n, outputs]``; of classes labels ``[k, n]``."""
        key = tf.bitcast(random.key(seed, "predictive"), tf.int32)
        if self._is_classes:
            return np.asarray(tfd.Categorical(probs=self.class_probs).sample(k, seed=key))
        return np.asarray(self.distribution.sample(k, seed=key))

    def outputs(self) -> np.ndarray:
        """Refused: there are no draws.

        Raises:
            ModelError: Always.
        """
        raise ModelError("A predictive distribution in closed form has no outputs of draws.")

    def quantile(self, q: Any) -> np.ndarray:
        """The quantile of each output: of the shape of the mean; ``[len(q), ...]`` for a list.

        Args:
            q: A probability strictly between 0 and 1, or a list of such.
        """
        levels = np.atleast_1d(np.asarray(q, np.float64))
        if not ((levels > 0) & (levels < 1)).all():
            raise OptionsError(f"q must be strictly between 0 and 1. Received: {q!r}.")
        if self._is_classes:
            return super().quantile(q)  # which says that classes have none
        if isinstance(self.distribution, tfd.StudentT):
            df, loc, scale = self._student()
            found = np.stack([loc + scale * special.stdtrit(df, level) for level in levels])
            return found if np.ndim(q) else found[0]
        try:
            found = np.stack([np.asarray(self.distribution.quantile(level)) for level in levels])
        except NotImplementedError:
            found = quantiles.bisect(self._cdf, levels, self.mean, self._width())
        return found if np.ndim(q) else found[0]

    def crps(self, y: Any) -> np.ndarray:
        """Continuous ranked probability score of each output, of the shape of the mean.

        By a formula for a normal and a Student t, from 200 draws for other distributions; infinite
        where the distribution has no mean.
        """
        target = self._targets(y).reshape(self.mean.shape).astype(np.float64)
        if isinstance(self.distribution, tfd.Normal):
            return calibration.crps_gaussian(self.mean, np.sqrt(self._variance), target)
        if isinstance(self.distribution, tfd.StudentT):
            return calibration.crps_student_t(*self._student(), target)
        return calibration.crps_samples(self.sample(200), target)

    @property
    def _variance(self) -> np.ndarray:
        variance = np.asarray(self.distribution.variance(), np.float64)
        return np.broadcast_to(variance, self.mean.shape)

    def _student(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Degrees of freedom, centre and scale, of the shape of the mean."""
        own = self.distribution
        df, loc, scale = (np.asarray(v, np.float64) for v in (own.df, own.loc, own.scale))
        shape = self.mean.shape
        return (
            np.broadcast_to(df, shape),
            np.broadcast_to(loc, shape),
            np.broadcast_to(scale, shape),
        )

    def _cdf(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(self.distribution.cdf(tf.constant(values, self.distribution.dtype)))


def _covariance_of(distribution: Any) -> np.ndarray:
    """``[size, size]`` of a flattened draw: elements of scalar events are independent."""
    if distribution.event_shape.rank == 1:
        covariance = np.asarray(distribution.covariance())
        if covariance.ndim == 2:
            return covariance
    return np.diag(np.asarray(distribution.variance()).reshape(-1))
