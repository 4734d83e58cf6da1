"""SparseGPRegressor: variational inducing points, for more rows than a Cholesky factor takes."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from scipy import linalg

from tfbdl.config import check_whole
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.likelihoods import Gaussian

from . import blocks, inducing
from .cholesky import factorize
from .covariance_function import covariance_of
from .predictive import ProcessPredictive
from .regression import targets_of

ROWS = 4_096
"""Training rows held at once."""


class SparseGPRegressor:
    """The best ``q(u)`` over the function at m inducing points, in closed form.

    Time is that of ``n m^2``, memory that of ``m^2`` and a block of rows. ``elbo()`` is at most the
    log marginal likelihood, and equal to it where the inducing points are the rows.

    Args:
        kernel: As of GPRegressor.
        noise: Its variance, above 0.
        num_inducing: m: so many training rows, chosen one after the other where the conditional
            variance is largest; all of them where there are no more.
        inducing: The points themselves ``[m, ...]``, in place of a choice.

    Raises:
        OptionsError: If an argument is not admitted.

    Example:
        ```python
        gp = SparseGPRegressor(Kernel.mlp(3), noise=0.1, num_inducing=500).fit(x, y)
        gp.predict(x_test).mean, gp.elbo()
        ```

    References:
        Titsias 2009, "Variational learning of inducing variables in sparse Gaussian processes",
        (6) and (9).
    """

    likelihood = Gaussian(scale=None)

    def __init__(
        self, kernel: Any, noise: float = 0.01, num_inducing: int = 200, inducing: Any = None
    ) -> None:
        self.covariance = covariance_of(kernel)
        if not (isinstance(noise, (int, float, np.number)) and 0.0 < noise < math.inf):
            raise OptionsError(f"noise is a variance above 0. Received: {noise!r}.")
        self.noise = float(noise)
        self.num_inducing = check_whole("num_inducing", num_inducing)
        self._given = None if inducing is None else self.covariance.check(inducing)
        self.inducing: np.ndarray | None = self._given
        self._root: np.ndarray | None = None

    def fit(self, x: Any, y: Any) -> Self:
        """Take in rows, a block at a time.

        Args:
            x: ``[n, ...]``.
            y: ``[n]`` or ``[n, outputs]``.

        Raises:
            DataError: If there is a NaN, or shapes do not fit.
        """
        rows = self.covariance.check(x)
        targets = targets_of(y, len(rows))
        points = self._given
        if points is not None and points.shape[1:] != rows.shape[1:]:
            raise DataError(
                f"Inducing points must be like rows, {list(rows.shape[1:])}. "
                f"Received: {list(points.shape[1:])}."
            )
        if points is None:
            points = rows[inducing.chosen(self.covariance, rows, self.num_inducing)]
        self.inducing = points
        self._prior = factorize(self.covariance.matrix(self.inducing))
        m = len(self.inducing)
        precision, linear = np.eye(m), np.zeros((m, targets.shape[1]))
        left, squares = 0.0, float((targets**2).sum())
        for part in blocks.slices(len(rows), ROWS):
            A = self._prior.whiten(self.covariance.matrix(self.inducing, rows[part]))
            precision += A @ A.T / self.noise
            linear += A @ targets[part] / self.noise
            left += float(self.covariance.diagonal(rows[part]).sum() - (A**2).sum())
        self._root = linalg.cholesky(precision, lower=True)
        self._centre = linalg.solve_triangular(self._root, linear, lower=True)
        self._bound = self._elbo(len(rows), targets.shape[1], squares, left)
        return self

    def elbo(self) -> float:
        """The lower bound of the log marginal likelihood, in nats, summed over outputs.

        Raises:
            ModelError: Before ``fit``.
        """
        self._fitted()
        return self._bound

    def predict(self, x: Any, full_cov: bool = False) -> ProcessPredictive:
        """The predictive distribution of y; its ``.f`` is that of the function.

        Args:
            x: ``[m, ...]``.
            full_cov: Compute ``.covariance`` too.

        Raises:
            ModelError: Before ``fit``.
        """
        root, points = self._fitted()
        rows = self.covariance.check(x)
        A = self._prior.whiten(self.covariance.matrix(points, rows))
        B = linalg.solve_triangular(root, A, lower=True)
        mean, covariance = B.T @ self._centre, None
        if full_cov:
            covariance = self.covariance.matrix(rows) - A.T @ A + B.T @ B
            variance = np.diagonal(covariance)
        else:
            variance = self.covariance.diagonal(rows) - (A**2).sum(axis=0) + (B**2).sum(axis=0)
        wide = np.repeat(np.maximum(variance, 0.0)[:, np.newaxis], mean.shape[1], axis=1)
        return ProcessPredictive(self, mean, wide, self.noise, covariance)

    def _elbo(self, n: int, outputs: int, squares: float, left: float) -> float:
        assert self._root is not None  # of fit
        log_det = 2.0 * float(np.log(np.diagonal(self._root)).sum()) + n * math.log(self.noise)
        misfit = squares / self.noise - float((self._centre**2).sum())
        bound = -0.5 * (misfit + outputs * (log_det + n * math.log(2.0 * math.pi)))
        return bound - 0.5 * outputs * left / self.noise  # (9): the trace that Titsias adds

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self._root is None or self.inducing is None:
            raise ModelError("This SparseGPRegressor has no rows yet. Call fit(x, y) first.")
        return self._root, self.inducing
