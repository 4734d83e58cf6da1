"""A normal of independent blocks, whose precisions are Kronecker products plus a prior's.

References:
    Ritter, Botev and Barber 2018, "A Scalable Laplace Approximation for Neural Networks", which
    damps the two factors; here the sum with the prior is kept whole by an eigendecomposition, as
    in Immer et al. 2021, "Scalable Marginal Likelihood Estimation", appendix A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
import tensorflow as tf
from scipy import linalg

from ... import random
from ...errors import ModelError
from .base import Arrays, LikelihoodCurvature, LogDet, Normal


class Block(NamedTuple):
    """The weights of a layer ``W [in, out]`` (a bias its last row), about their mean.

    ``W = left Z right' / sqrt(spectrum)``, elementwise, with standard normal ``Z [in, out]``.

    Attributes:
        left: ``[in, in]``.
        right: ``[out, out]``, orthogonal.
        spectrum: ``[in, out]``.
    """

    left: np.ndarray
    right: np.ndarray
    spectrum: np.ndarray


class KroneckerNormal(Normal):
    """A normal of blocks that follow one another.

    Args:
        mean: ``[D]``.
        blocks: Of ``in * out`` elements each, row after row.
    """

    kind: ClassVar[str] = "kronecker"

    def __init__(self, mean: np.ndarray, blocks: Sequence[Block]) -> None:
        self.mean, self.blocks = mean, tuple(blocks)

    def sample(self, keys: tf.Tensor) -> tf.Tensor:
        """See Normal."""
        parts = []
        for i, block in enumerate(self.blocks):
            noise = random.normal(block.spectrum.shape, random.fold_in(keys, i))
            Z = block.spectrum**-0.5 * tf.cast(noise, tf.float64)
            W = tf.constant(block.left) @ Z @ tf.constant(block.right.T)
            parts.append(tf.reshape(W, (-1, block.spectrum.size)))
        return self.mean + tf.concat(parts, axis=1)

    def stddev(self) -> np.ndarray:
        """See Normal."""
        variances = [(b.left**2 @ (1.0 / b.spectrum) @ b.right.T**2).ravel() for b in self.blocks]
        return np.asarray(np.sqrt(np.concatenate(variances)))

    def covariance(self, start: int, stop: int) -> np.ndarray:
        """See Normal.

        Raises:
            ModelError: If the elements are of several blocks.
        """
        first = 0
        for block in self.blocks:
            size = block.spectrum.size
            if first <= start and stop <= first + size:
                row, column = np.divmod(np.arange(start, stop) - first, block.spectrum.shape[1])
                root = block.left[row][:, :, np.newaxis] * block.right[column][:, np.newaxis]
                root = (root * block.spectrum**-0.5).reshape(stop - start, size)
                return np.asarray(root @ root.T)
            first += size
        raise ModelError("The elements of a covariance must be of one layer.")

    def quadratic(self, J: np.ndarray) -> np.ndarray:
        """See Normal."""
        n, K, _ = J.shape
        total = np.zeros((n, K, K))
        first = 0
        for block in self.blocks:
            rows, columns = block.spectrum.shape
            part = J[:, :, first : first + rows * columns].reshape(n, K, rows, columns)
            across = (block.left.T @ part @ block.right * block.spectrum**-0.5).reshape(n, K, -1)
            total += across @ across.transpose(0, 2, 1)
            first += rows * columns
        return total

    def arrays(self) -> Arrays:
        """See Normal."""
        own = {
            f"{name}.{i}": value
            for i, block in enumerate(self.blocks)
            for name, value in block._asdict().items()
        }
        return {"mean": self.mean, **own}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """See Normal."""
        count = (len(arrays) - 1) // len(Block._fields)
        blocks = [Block(*(arrays[f"{n}.{i}"] for n in Block._fields)) for i in range(count)]
        return cls(arrays["mean"], blocks)


class Factors(NamedTuple):
    """The curvature of a layer: ``inputs (x) outputs``, row-major over ``W [in, out]``.

    Attributes:
        inputs: ``[in, in]``, the mean of ``a a'`` over rows.
        outputs: ``[out, out]``, the sum of ``g g'`` over rows.
    """

    inputs: np.ndarray
    outputs: np.ndarray


Whitened = tuple[np.ndarray, np.ndarray, float]
"""Eigenvectors, eigenvalues, and the prior precision of the first row."""


class KroneckerCurvature(LikelihoodCurvature):
    """Blocks of Kronecker products, one of each layer.

    Args:
        factors: Of each layer.
    """

    def __init__(self, factors: Sequence[Factors]) -> None:
        self.factors = tuple(factors)
        self._right = [linalg.eigh(part.outputs) for part in self.factors]
        self._left: tuple[list[np.ndarray], list[Whitened]] | None = None

    def log_det(self, precision: np.ndarray, scale: float, groups: Sequence[np.ndarray]) -> LogDet:
        """See LikelihoodCurvature."""
        value, own = 0.0, np.empty_like(precision)
        first = 0
        for block, rows in zip(*self._blocks(precision, scale), strict=True):
            size = block.spectrum.size
            value += float(np.log(block.spectrum).sum())
            value += block.spectrum.shape[1] * float(np.log(rows).sum())
            variance = block.left**2 @ (1.0 / block.spectrum) @ block.right.T**2
            own[first : first + size] = (rows[:, np.newaxis] * variance).ravel()
            first += size
        return LogDet(value, np.array([own[group].sum() for group in groups]))

    def normal(
        self, mean: np.ndarray, precision: np.ndarray, scale: float = 1.0
    ) -> KroneckerNormal:
        """See LikelihoodCurvature.

        Raises:
            ModelError: If the prior differs among the weights of one input.
        """
        return KroneckerNormal(mean, self._blocks(precision, scale)[0])

    def _blocks(self, precision: np.ndarray, scale: float) -> tuple[list[Block], list[np.ndarray]]:
        """The blocks of the posterior, and the prior precision of each one's rows."""
        shapes = [(len(part.inputs), len(part.outputs)) for part in self.factors]
        rows, first = [], 0
        for shape in shapes:
            own = precision[first : first + shape[0] * shape[1]].reshape(shape)
            if not np.allclose(own, own[:, :1], rtol=1e-6):
                raise ModelError(
                    "curvature='kronecker' needs one prior scale for all weights of an input of "
                    "a layer. Use curvature='diagonal', or 'full'."
                )
            rows.append(own[:, 0])
            first += own.size
        blocks = []
        for row, (left, values, level), (right_values, right) in zip(
            rows, self._whitened(rows), self._right, strict=True
        ):
            # A (x) B + diag(p) (x) I = (S (x) I) (S^-1 A S^-1 (x) B + I) (S (x) I), S = sqrt(p)
            relative = values * (level / row[0])
            spectrum = 1.0 + scale * np.outer(
                np.maximum(relative, 0.0), np.maximum(right_values, 0.0)
            )
            blocks.append(Block(left / np.sqrt(row)[:, np.newaxis], right, spectrum))
        return blocks, rows

    def _whitened(self, rows: Sequence[np.ndarray]) -> list[Whitened]:
        """Eigenvectors and -values of ``S^-1 A S^-1`` of each layer, and the prior's first row.

        Kept for all priors of the same proportions.
        """
        shapes = [row / row[0] for row in rows]
        if self._left is None or not all(
            np.allclose(one, other, rtol=1e-12)
            for one, other in zip(self._left[0], shapes, strict=True)
        ):
            found = []
            for part, row in zip(self.factors, rows, strict=True):
                unit = np.sqrt(row)
                values, vectors = linalg.eigh(part.inputs / np.outer(unit, unit))
                found.append((vectors, values, float(row[0])))
            self._left = (shapes, found)
        return self._left[1]
