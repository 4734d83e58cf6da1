"""GradientFlow: an infinitely wide network after training by gradient descent, for any time."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from tfbdl.errors import ModelError, OptionsError
from tfbdl.likelihoods import Gaussian

from .cholesky import factorize
from .kernel import Kernel
from .predictive import ProcessPredictive
from .regression import targets_of


class GradientFlow:
    """The law of ``f_t`` over random first weights, all of them trained on squared error.

    Of a network whose weights are ``sqrt(variance / width)`` times standard normals, trained by
    ``d theta / dt = -gradient of sum (f - y)^2 / 2``, so that t is the learning rate times the
    number of steps. With ``T`` the tangent kernel, K the NNGP and ``A(t) = T^-1 (I - exp(-T t))``

    - mean: ``T(x, X) A y``,
    - covariance: ``K(x, x) + B K B' - B K(X, x) - K(x, X) B'`` with ``B = T(x, X) A``.

    It is the law of a finite ensemble of ever wider nets. It is no posterior: see ``GPRegressor``.

    Args:
        kernel: A Kernel.

    Example:
        ```python
        flow = GradientFlow(Kernel.mlp(2, "erf")).fit(x, y)
        flow.predict(x_test).mean, flow.predict(x_test, time=10.0).variance
        ```

    References:
        Jacot et al. 2018; Lee et al. 2019, "Wide neural networks of any depth evolve as linear
        models under gradient descent", (14) to (16).
    """

    likelihood = Gaussian(scale=None)

    def __init__(self, kernel: Kernel) -> None:
        if not isinstance(kernel, Kernel):
            raise OptionsError(
                "Gradient flow is of a tfbdl_nngp.Kernel, which has a tangent kernel. "
                f"Received: a {type(kernel).__name__}."
            )
        self.kernel = kernel
        self._tangent: np.ndarray | None = None

    def fit(self, x: Any, y: Any) -> Self:
        """Take in training rows.

        Args:
            x: ``[n, ...]``.
            y: ``[n]`` or ``[n, outputs]``.

        Raises:
            DataError: If there is a NaN, or shapes do not fit.
        """
        rows = self.kernel.check_inputs(x)
        self.x, self.y = rows, targets_of(y, len(rows))
        self._tangent = self.kernel.ntk(self.x)
        self._nngp = self.kernel.nngp(self.x)
        self._spectrum: tuple[np.ndarray, np.ndarray] | None = None
        return self

    def predict(self, x: Any, time: float = math.inf, full_cov: bool = False) -> ProcessPredictive:
        """The law of the outputs at ``x``; there is no noise in it.

        Args:
            x: ``[m, ...]``.
            time: Learning rate times steps, at least 0; infinite: at the end, where the training
                rows are met exactly.
            full_cov: Compute ``.covariance [m, m]`` too; samples are joint then.

        Raises:
            ModelError: Before ``fit``; or if the tangent kernel cannot be inverted.
            OptionsError: If ``time`` is negative or NaN.
        """
        if self._tangent is None:
            raise ModelError("This GradientFlow has no rows yet. Call fit(x, y) first.")
        if not time >= 0.0:
            raise OptionsError(f"time must be at least 0. Received: {time!r}.")
        x = self.kernel.check_inputs(x)
        B = self._propagated(self.kernel.ntk(x, self.x), time)
        cross = self.kernel.nngp(x, self.x)
        inner = B @ self._nngp - 2.0 * cross  # the diagonal needs no two halves
        variance = self.kernel.diagonal(x) + np.einsum("ij,ij->i", inner, B)
        covariance = None
        if full_cov:
            both = B @ cross.T
            covariance = self.kernel.nngp(x) + B @ self._nngp @ B.T - both - both.T
        wide = np.repeat(np.maximum(variance, 0.0)[:, np.newaxis], self.y.shape[1], axis=1)
        return ProcessPredictive(self, B @ self.y, wide, 0.0, covariance)

    def _propagated(self, cross: np.ndarray, time: float) -> np.ndarray:
        """``T(x, X) T^-1 (I - exp(-T t))``: ``[m, n]``."""
        assert self._tangent is not None
        if math.isinf(time):
            return factorize(self._tangent.copy()).solve(cross.T).T
        if self._spectrum is None:
            values, vectors = np.linalg.eigh(self._tangent)
            self._spectrum = np.maximum(values, 0.0), vectors
        values, vectors = self._spectrum
        # (1 - exp(-v t)) / v, which is t at v = 0
        weights = np.where(
            values > 0.0, -np.expm1(-values * time) / np.where(values > 0.0, values, 1.0), time
        )
        return np.asarray(((cross @ vectors) * weights) @ vectors.T)
