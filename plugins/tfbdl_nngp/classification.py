"""GPClassifier: two classes by a Gaussian process and Laplace's approximation."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import linalg, special

from tfbdl import logistic_normal
from tfbdl.closed_form import ClosedFormPredictive
from tfbdl.errors import DataError, ModelError
from tfbdl.likelihoods import Bernoulli

from .covariance_function import covariance_of

STEPS, TOLERANCE = 100, 1e-10


class GPClassifier:
    """``P(y = 1 | x) = sigmoid(f(x))``, ``f ~ GP(0, kernel)``; f at the rows is normal at its mode.

    Args:
        kernel: As of GPRegressor.

    Raises:
        OptionsError: If the kernel is no kernel.

    Example:
        ```python
        gp = GPClassifier(Kernel.mlp(3)).fit(x, labels)
        gp.predict(x_test).probs, gp.log_marginal_likelihood()
        ```

    References:
        Rasmussen & Williams 2006, algorithms 3.1 and 3.2.
    """

    likelihood = Bernoulli()

    def __init__(self, kernel: Any) -> None:
        self.covariance = covariance_of(kernel)
        self._mode: np.ndarray | None = None

    def fit(self, x: Any, y: Any) -> Self:
        """Climb to the mode of ``log p(y | f) - f' K^-1 f / 2`` by Newton steps.

        Args:
            x: ``[n, ...]``.
            y: ``[n]``, 0 and 1 (or booleans).

        Raises:
            DataError: If there are other labels, or shapes do not fit.
            ModelError: If no mode is found.
        """
        rows = self.covariance.check(x)
        labels = _labels(y, len(rows))
        K = self.covariance.matrix(rows).astype(np.float64)
        f, a, before = np.zeros(len(labels)), np.zeros(len(labels)), -np.inf
        for _ in range(STEPS):
            probs = special.expit(f)
            root = np.sqrt(probs * (1.0 - probs))  # W^(1/2)
            lower = _factor(K, root)
            b = root**2 * f + labels - probs
            # algorithm 3.1, lines 5 to 7
            step = b - root * linalg.cho_solve((lower, True), root * (K @ b)) - a
            size = 1.0
            while True:
                trial = a + size * step
                value = _objective(K @ trial, trial, labels)
                if value >= before - TOLERANCE or size < 1e-6:
                    break
                size *= 0.5
            a, f = trial, K @ trial
            if abs(value - before) < TOLERANCE:
                break
            before = value
        else:
            raise ModelError(f"No mode was found in {STEPS} Newton steps. Is the kernel too large?")
        probs = special.expit(f)
        self.x = rows
        self._weights, self._mode = np.sqrt(probs * (1.0 - probs)), f
        self._slope = labels - probs
        self._lower = _factor(K, self._weights)
        # (3.32)
        self._evidence = value - float(np.log(np.diagonal(self._lower)).sum())
        return self

    def log_marginal_likelihood(self) -> float:
        """Laplace's approximation of ``log p(y | x)``, in nats.

        Raises:
            ModelError: Before ``fit``.
        """
        self._fitted()
        return self._evidence

    def latent(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of f at ``x``: ``[m]`` and ``[m]``.

        Raises:
            ModelError: Before ``fit``.
        """
        self._fitted()
        rows = self.covariance.check(x)
        cross = self.covariance.matrix(self.x, rows)
        whitened = linalg.solve_triangular(
            self._lower, self._weights[:, np.newaxis] * cross, lower=True
        )
        variance = self.covariance.diagonal(rows) - (whitened**2).sum(axis=0)  # algorithm 3.2
        return cross.T @ self._slope, np.maximum(variance, 0.0)

    def predict(self, x: Any) -> ClosedFormPredictive:
        """The probability of label 1, averaged over f: ``.probs [m, 1]``.

        Raises:
            ModelError: Before ``fit``.
        """
        mean, variance = self.latent(x)
        stddev = np.sqrt(variance)
        probs = logistic_normal.mean_probability(mean, stddev)
        entropy = logistic_normal.mean_entropy(mean, stddev)
        return ClosedFormPredictive(self, probs[:, np.newaxis], entropy[:, np.newaxis])

    def _fitted(self) -> None:
        if self._mode is None:
            raise ModelError("This GPClassifier has no rows yet. Call fit(x, y) first.")


def _objective(f: np.ndarray, a: np.ndarray, labels: np.ndarray) -> float:
    """``log p(y | f) - f' a / 2`` with ``a = K^-1 f``."""
    signs = 2.0 * labels - 1.0
    return float(special.log_expit(signs * f).sum() - 0.5 * a @ f)


def _factor(K: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Of ``B = I + W^(1/2) K W^(1/2)``, whose eigenvalues are at least 1."""
    B = root[:, np.newaxis] * K * root
    B[np.diag_indices_from(B)] += 1.0
    return np.asarray(linalg.cholesky(B, lower=True, overwrite_a=True))


def _labels(y: Any, count: int) -> np.ndarray:
    labels = np.asarray(y)
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "biuf":
        raise DataError(
            f"Expected {count} labels, one for each row. Received: dtype {labels.dtype}, shape "
            f"{list(labels.shape)}."
        )
    labels = labels.reshape(-1).astype(np.float64)
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError(
            "GPClassifier is for two classes, 0 and 1; nngp and gp take several, by regression on "
            f"labels. Received: {np.unique(labels)[:5].tolist()}."
        )
    return labels
