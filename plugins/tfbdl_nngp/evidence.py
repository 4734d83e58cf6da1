"""The log marginal likelihood as a function of hyperparameters, and where it is largest (ML-II)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize

from tfbdl.errors import ModelError

from . import blocks
from .cholesky import factorize
from .families import Family, Hyperparameter

REACH = 8.0
"""How far the logarithm of a hyperparameter may go from where it begins."""
HARMLESS = {"bias_variance": -1.0, "length_scale": 1.0, "mixture": 1.0}
"""Where these end far off on this side, a part of the kernel is without effect, and a prediction is
none the worse: no biases, an input that does not matter."""
WORSE = 1e12
"""Stands for the misfit of hyperparameters whose covariance has no factor."""


class Found(NamedTuple):
    """Hyperparameters of the largest evidence.

    Attributes:
        params: Name -> value.
        log_evidence: In nats, of the rows that were searched.
        notice: What a user should know of the search; empty if nothing.
    """

    params: dict[str, np.ndarray]
    log_evidence: float
    notice: str


class Evidence:
    """``log p(y | x, hyperparameters)`` and its gradient, block by block.

    With ``A = K + noise I`` and ``alpha = A^-1 y`` the derivative by the covariance is
    ``(alpha alpha' - k A^-1) / 2`` for k outputs (Rasmussen & Williams 2006, 5.9); it is drawn
    back through the kernel by reverse differentiation of one block after the other, so that no
    depth of the kernel is ever held for all pairs.

    Args:
        family: Of the kernel.
        noise: The hyperparameter, or a fixed variance.
        x: ``[n, d]``, float64.
        y: ``[n, k]``.
    """

    def __init__(
        self, family: Family, noise: Hyperparameter | float, x: np.ndarray, y: np.ndarray
    ) -> None:
        self.family, self.x, self.y = family, x, y
        self.noise = noise
        own = (noise,) if isinstance(noise, Hyperparameter) else ()
        self.free = (*family.free, *own)
        self._sizes = [math.prod(hyper.shape) for hyper in self.free]
        rows = tf.TensorSpec([None, x.shape[1]], tf.float64)
        theta = tf.TensorSpec([sum(self._sizes)], tf.float64)
        pairs = tf.TensorSpec([None, None], tf.float64)
        self._block = tf.function(
            self._between, input_signature=[theta, rows, rows], autograph=False
        )
        self._back = tf.function(
            self._gradient, input_signature=[theta, rows, rows, pairs], autograph=False
        )

    @property
    def start(self) -> np.ndarray:
        """Logarithms of where the search begins."""
        levels = [np.full(hyper.shape, hyper.initial).reshape(-1) for hyper in self.free]
        return np.log(np.concatenate([np.empty(0), *levels]))

    def params(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> value, of logarithms ``[D]``."""
        if not self.free:
            return {}
        parts = np.split(np.exp(theta), np.cumsum(self._sizes)[:-1])
        return {h.name: p.reshape(h.shape) for h, p in zip(self.free, parts, strict=True)}

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The log evidence in nats, and its gradient by the logarithms.

        Raises:
            ModelError: If the covariance has no factor.
        """
        log_params = tf.constant(theta, tf.float64)
        count, outputs = self.y.shape
        rows = int(blocks.ELEMENTS**0.5)
        K = blocks.fill(lambda a, b: self._block(log_params, a, b), self.x, None, rows, "float64")
        noise = self._noise(self.params(theta))
        factor = factorize(K, noise)
        alpha = factor.solve(self.y)
        value = -0.5 * (
            float((self.y * alpha).sum())
            + outputs * (factor.log_det() + count * math.log(2.0 * math.pi))
        )
        slope = 0.5 * (alpha @ alpha.T - outputs * factor.inverse())
        gradient = np.zeros(len(theta))
        parts = list(blocks.slices(count, rows))
        for i, first in enumerate(parts):
            for j in range(i, len(parts)):
                second = parts[j]
                twice = 1.0 if i == j else 2.0  # the half that was not computed
                gradient += self._back(
                    log_params, self.x[first], self.x[second], twice * slope[first, second]
                ).numpy()
        if isinstance(self.noise, Hyperparameter):
            gradient[-1] += noise * float(np.trace(slope))
        return value, gradient

    def largest(self, starts: list[np.ndarray]) -> Found:
        """Climb from each start by L-BFGS; the best end.

        Raises:
            ModelError: If no start has a covariance with a factor.
        """
        if not self.free:
            return Found({}, self.value_and_gradient(np.empty(0))[0], "")
        self.value_and_gradient(starts[0])  # an error there is the user's to see
        bounds = [(centre - REACH, centre + REACH) for centre in self.start]
        ends = [
            optimize.minimize(self._misfit, start, jac=True, method="L-BFGS-B", bounds=bounds)
            for start in starts
        ]
        best = min(ends, key=lambda end: float(end.fun))
        return Found(self.params(best.x), -float(best.fun), self._notice(best.x))

    def _misfit(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, gradient = self.value_and_gradient(theta)
        except ModelError:
            return WORSE, np.zeros_like(theta)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return WORSE, np.zeros_like(theta)
        return -value, -gradient

    def _notice(self, theta: np.ndarray) -> str:
        far = np.abs(theta - self.start) > REACH - 1e-6
        owners = np.repeat([hyper.name for hyper in self.free], self._sizes)
        sides = np.sign(theta - self.start)
        harmless = [
            HARMLESS.get(n.rstrip("_0123456789")) == s for n, s in zip(owners, sides, strict=True)
        ]
        if not (far & ~np.array(harmless, bool)).any():
            return ""
        names = list(dict.fromkeys(owners[far].tolist()))
        values = self.params(theta)
        listed = ", ".join(f"{n} = {np.array2string(values[n], precision=3)}" for n in names)
        return (
            f"The evidence still rose where the search ended: {listed}. The data do not tell "
            f"{'it' if len(names) == 1 else 'them'}; fix the value, or give other data."
        )

    def _noise(self, params: Mapping[str, np.ndarray]) -> float:
        return float(params["noise"]) if isinstance(self.noise, Hyperparameter) else self.noise

    def _of(self, theta: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self.free:
            return {}
        parts = tf.split(tf.exp(theta), self._sizes)
        return {h.name: tf.reshape(p, h.shape) for h, p in zip(self.free, parts, strict=True)}

    def _between(self, theta: tf.Tensor, x1: tf.Tensor, x2: tf.Tensor) -> tf.Tensor:
        return self.family.between(self._of(theta), x1, x2)

    def _gradient(
        self, theta: tf.Tensor, x1: tf.Tensor, x2: tf.Tensor, upstream: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            total = tf.reduce_sum(self._between(theta, x1, x2) * upstream)
        return tape.gradient(total, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)
