"""What every structured normal over a flat vector can do, and every curvature that leads to one."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
import tensorflow as tf

Arrays = dict[str, np.ndarray]


class Normal(abc.ABC):
    """A normal distribution of a vector ``[D]`` whose covariance has a structure.

    Attributes:
        kind: The word under which it is stored.
        mean: ``[D]``, float64.
    """

    kind: ClassVar[str]
    mean: np.ndarray

    @abc.abstractmethod
    def sample(self, keys: tf.Tensor) -> tf.Tensor:
        """Draws ``[S, D]``, each a function of its key: ``keys [S, 2]``."""

    @abc.abstractmethod
    def stddev(self) -> np.ndarray:
        """The standard deviation of each element: ``[D]``."""

    @abc.abstractmethod
    def covariance(self, start: int, stop: int) -> np.ndarray:
        """Of the elements from ``start`` to ``stop``: ``[stop - start, stop - start]``."""

    @abc.abstractmethod
    def quadratic(self, J: np.ndarray) -> np.ndarray:
        """``J Sigma J'`` of matrices ``J [n, K, D]``: ``[n, K, K]``."""

    @abc.abstractmethod
    def arrays(self) -> Arrays:
        """All that it consists of, for ``from_arrays``."""

    @classmethod
    @abc.abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The normal of which ``arrays`` were taken."""


class LogDet(NamedTuple):
    """Of a posterior precision ``P = scale H + diag(p)``.

    Attributes:
        value: ``log det P``.
        shares: ``[G]``: of each group of parameters ``sum_i p_i (P^-1)_ii``, how many of them the
            prior alone decides (MacKay 1992: the group's size minus gamma).
    """

    value: float
    shares: np.ndarray


class LikelihoodCurvature(abc.ABC):
    """Minus the Hessian of a log likelihood, or what stands for it: ``H [D, D]``, without prior."""

    @abc.abstractmethod
    def log_det(self, precision: np.ndarray, scale: float, groups: Sequence[np.ndarray]) -> LogDet:
        """Of ``scale H + diag(precision)``.

        Args:
            precision: Of the prior, ``[D]``.
            scale: Of the curvature.
            groups: The elements of each group, as indices.
        """

    @abc.abstractmethod
    def normal(self, mean: np.ndarray, precision: np.ndarray, scale: float = 1.0) -> Normal:
        """The normal of this mean ``[D]`` and the precision ``scale H + diag(precision)``."""
