"""A normal with any covariance, by the Cholesky factor of its precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf
from scipy import linalg

from ... import random
from .base import Arrays, LikelihoodCurvature, LogDet, Normal


class DenseNormal(Normal):
    """A normal whose precision is ``factor factor'``.

    Args:
        mean: ``[D]``.
        factor: ``[D, D]``, lower triangular.
    """

    kind: ClassVar[str] = "dense"

    def __init__(self, mean: np.ndarray, factor: np.ndarray) -> None:
        self.mean, self.factor = mean, factor
        self._inverse: np.ndarray | None = None

    @property
    def _root(self) -> np.ndarray:
        """``factor^-1``: the covariance is its transpose times itself."""
        if self._inverse is None:
            self._inverse = linalg.solve_triangular(self.factor, np.eye(len(self.mean)), lower=True)
        return self._inverse

    def sample(self, keys: tf.Tensor) -> tf.Tensor:
        """See Normal."""
        noise = random.normal((len(self.mean),), keys, "float64")
        step = tf.linalg.triangular_solve(
            tf.constant(self.factor), tf.transpose(noise), adjoint=True
        )
        return self.mean + tf.transpose(step)

    def stddev(self) -> np.ndarray:
        """See Normal."""
        return np.asarray(np.sqrt(np.einsum("ij,ij->j", self._root, self._root)))

    def covariance(self, start: int, stop: int) -> np.ndarray:
        """See Normal."""
        part = self._root[:, start:stop]
        return np.asarray(part.T @ part)

    def quadratic(self, J: np.ndarray) -> np.ndarray:
        """See Normal."""
        n, K, D = J.shape
        solved = linalg.solve_triangular(self.factor, J.reshape(n * K, D).T, lower=True)
        across = solved.T.reshape(n, K, D)
        return np.asarray(across @ across.transpose(0, 2, 1))

    def arrays(self) -> Arrays:
        """See Normal."""
        return {"mean": self.mean, "factor": self.factor}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """See Normal."""
        return cls(arrays["mean"], arrays["factor"])


class DenseCurvature(LikelihoodCurvature):
    """Every element of the curvature.

    Args:
        H: ``[D, D]``, symmetric, positive semidefinite up to rounding.
    """

    def __init__(self, H: np.ndarray) -> None:
        self.H = H
        self._spectrum: tuple[np.ndarray, np.ndarray] | None = None

    def log_det(self, precision: np.ndarray, scale: float, groups: Sequence[np.ndarray]) -> LogDet:
        """See LikelihoodCurvature; of one group for all a spectrum serves every scale."""
        if len(groups) == 1:
            level = float(np.exp(np.log(precision).mean()))
            values = scale * self._values(precision / level) + level
            value = len(precision) * np.log(level) + float(np.log(values / level).sum())
            return LogDet(value, np.array([level * (1.0 / values).sum()]))
        factor = linalg.cholesky(scale * self.H + np.diag(precision), lower=True)
        inverse, _ = linalg.lapack.dpotri(factor, lower=1)
        own = precision * np.diagonal(inverse)
        value = 2.0 * float(np.log(np.diagonal(factor)).sum())
        return LogDet(value, np.array([own[group].sum() for group in groups]))

    def normal(self, mean: np.ndarray, precision: np.ndarray, scale: float = 1.0) -> DenseNormal:
        """See LikelihoodCurvature."""
        factor = linalg.cholesky(scale * self.H + np.diag(precision), lower=True)
        return DenseNormal(mean, factor)

    def _values(self, shape: np.ndarray) -> np.ndarray:
        """Eigenvalues of ``H`` in units of a prior of this shape, whose product is one."""
        if self._spectrum is None or not np.allclose(self._spectrum[0], shape, rtol=1e-12):
            unit = np.sqrt(shape)
            values = linalg.eigvalsh(self.H / np.outer(unit, unit))
            self._spectrum = (shape, np.maximum(values, 0.0))
        return self._spectrum[1]
