"""GPRegressor: exact regression by a Gaussian process of any kernel."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.likelihoods import Gaussian

from . import blocks
from .cholesky import Factor, factorize
from .covariance_function import covariance_of
from .predictive import ProcessPredictive

ROWS = 2_048
"""Test rows held at once."""


class GPRegressor:
    """``y = f(x) + e``, ``f ~ GP(0, kernel)``, ``e ~ N(0, noise)``, given rows in closed form.

    - ``predict(x)``: ``p(y* | y)`` with the noise in its variance; ``.epistemic`` is that of f;
    - ``predict(x).f``: ``p(f* | y)``;
    - ``noise=0.0``: the function passes through the targets.

    Args:
        kernel: A ``Kernel`` (its NNGP), or a kernel of ``tfp.math.psd_kernels``.
        noise: Its variance, at least 0; or one for each training row ``[n]``.

    Raises:
        OptionsError: If the noise is none, or the kernel is no kernel.

    Attributes:
        jitter: What was added to the diagonal of the training covariance for its factor's sake.

    Example:
        ```python
        gp = GPRegressor(Kernel.mlp(depth=3), noise=0.01).fit(x, y)
        p = gp.predict(x_test)
        p.mean, p.epistemic, p.log_prob(y_test), gp.log_marginal_likelihood()
        gp.predict(x_test, full_cov=True).f.sample(5)  # functions
        ```

    References:
        Rasmussen & Williams 2006, (2.23), (2.24) and (2.30).
    """

    likelihood = Gaussian(scale=None)

    def __init__(self, kernel: Any, noise: Any = 0.01) -> None:
        self.kernel, self.covariance = kernel, covariance_of(kernel)
        try:
            self.noise = np.asarray(noise, np.float64)
        except (TypeError, ValueError):
            self.noise = np.asarray(np.nan)
        if self.noise.ndim > 1 or not np.isfinite(self.noise).all() or (self.noise < 0).any():
            raise OptionsError(
                "noise is a variance: a number of at least 0, or one for each row. "
                f"Received: {noise!r}."
            )
        self._factor: Factor | None = None

    def fit(self, x: Any, y: Any) -> Self:
        """Condition on rows.

        Args:
            x: ``[n, ...]``, as the kernel takes them.
            y: ``[n]`` or ``[n, outputs]``; outputs share kernel and noise.

        Raises:
            DataError: If there is a NaN, or shapes do not fit.
            ModelError: If the covariance is not positive definite.
        """
        rows = self.covariance.check(x)
        targets = targets_of(y, len(rows))
        if self.noise.ndim and len(self.noise) != len(rows):
            raise DataError(
                f"noise has {len(self.noise)} values. Expected: one, or one for each of "
                f"{len(rows)} rows."
            )
        self._factor = factorize(self.covariance.matrix(rows), self.noise)
        self.x, self.y = rows, targets
        self.weights = self._factor.solve(targets)  # (K + noise I)^-1 y
        return self

    @property
    def factor(self) -> Factor:
        """The factor of the training covariance.

        Raises:
            ModelError: Before ``fit``.
        """
        if self._factor is None:
            raise ModelError("This GPRegressor has no rows yet. Call fit(x, y) first.")
        return self._factor

    @property
    def jitter(self) -> float:
        """What was added to the diagonal for the factor's sake."""
        return self.factor.jitter

    def predict(self, x: Any, full_cov: bool = False) -> ProcessPredictive:
        """The predictive distribution of y; its ``.f`` is that of the function.

        Args:
            x: ``[m, ...]``.
            full_cov: Compute ``.covariance [m, m]`` too; samples are joint over inputs then.

        Raises:
            ModelError: Before ``fit``.
            DataError: If x does not look like the training rows.
            OptionsError: If each training row has a noise of its own, so that new ones have none.
        """
        if self.noise.ndim:
            raise OptionsError(
                "With a noise for each training row the noise of new rows is not known. "
                "Expected: predict_f(x), which needs none."
            )
        mean, variance, covariance = self._moments(x, full_cov)
        return ProcessPredictive(self, mean, variance, float(self.noise), covariance)

    def predict_f(self, x: Any, full_cov: bool = False) -> ProcessPredictive:
        """The posterior of f, without noise; also where training rows have noises of their own."""
        mean, variance, covariance = self._moments(x, full_cov)
        return ProcessPredictive(self, mean, variance, 0.0, covariance)

    def mean(self, x: Any) -> np.ndarray:
        """The mean of f, ``[m, outputs]``, without the cost of variances."""
        self.factor  # noqa: B018 - refused before a fit
        rows = self.covariance.check(x)
        parts = [
            self.covariance.matrix(rows[part], self.x) @ self.weights
            for part in blocks.slices(len(rows), ROWS)
        ]
        return np.concatenate(parts).astype(np.float64)

    def sample(self, x: Any, n: int = 1, seed: int = 0) -> np.ndarray:
        """Functions drawn from the posterior, jointly at ``x``: ``[n, m, outputs]``."""
        return self.predict_f(x, full_cov=True).sample(n, seed)

    def log_marginal_likelihood(self) -> float:
        """``log p(y | x)`` in nats, summed over outputs (Rasmussen & Williams 2006, 2.30).

        Raises:
            ModelError: Before ``fit``.
        """
        count, outputs = self.factor.lower.shape[0], self.y.shape[1]
        fit = float(np.sum(self.y * self.weights, dtype=np.float64))
        return -0.5 * (fit + outputs * (self.factor.log_det() + count * math.log(2.0 * math.pi)))

    def _moments(self, x: Any, full_cov: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Mean ``[m, k]`` and variance ``[m, k]`` of f, and its covariance ``[m, m]``."""
        factor, rows = self.factor, self.covariance.check(x)
        if full_cov:
            cross = self.covariance.matrix(self.x, rows)
            whitened = factor.whiten(cross)
            covariance = self.covariance.matrix(rows).astype(np.float64)
            covariance -= whitened.T @ whitened  # (2.24)
            mean, variance = cross.T @ self.weights, np.diagonal(covariance)
            return mean.astype(np.float64), self._wide(variance), covariance
        means, variances = [], []
        for part in blocks.slices(len(rows), ROWS):
            cross = self.covariance.matrix(self.x, rows[part])
            means.append(cross.T @ self.weights)  # (2.23)
            whitened = factor.whiten(cross)
            own = self.covariance.diagonal(rows[part])
            variances.append(own - np.einsum("ij,ij->j", whitened, whitened))
        return (
            np.concatenate(means).astype(np.float64),
            self._wide(np.concatenate(variances).astype(np.float64)),
            None,
        )

    def _wide(self, variance: np.ndarray) -> np.ndarray:
        return np.repeat(np.maximum(variance, 0.0)[:, np.newaxis], self.y.shape[1], axis=1)


def targets_of(y: Any, count: int) -> np.ndarray:
    """``[n, outputs]``, float64.

    Raises:
        DataError: If they are none.
    """
    try:
        array = np.asarray(y, np.float64)
    except (TypeError, ValueError):
        array = np.empty(())
    if array.ndim not in (1, 2) or len(array) != count or 0 in array.shape:
        raise DataError(
            f"Expected targets [{count}] or [{count}, outputs], one row for each input. "
            f"Received: shape {list(array.shape)}."
        )
    if not np.isfinite(array).all():
        where = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(f"Targets must be finite. Received: {array[where]} in row {where}.")
    return array.reshape(count, -1)
