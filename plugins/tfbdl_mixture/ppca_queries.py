"""PPCAQueries: what a fitted probabilistic PCA answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfbdl import random

from . import ppca_steps
from .ppca_steps import Rows
from .table import check_count, in_blocks, query_table


class PPCAQueries:
    """Density, latents, gaps and draws; NaN in rows stands for a missing value throughout."""

    if TYPE_CHECKING:
        dtype: str

        def fitted(self) -> dict[str, np.ndarray]:
            """The fitted arrays."""

    def log_prob(self, x: Any) -> np.ndarray:
        """``log p`` of the observed values of each row of ``x [n, d]``: ``[n]``, in nats.

        A row of which nothing was observed has log probability 0.

        Raises:
            DataError: If x has other columns than in training, or infinite values.
        """
        return self._log_prob(self._observed(x))

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``[n, k]`` and covariance ``[n, k, k]`` of ``p(z | x)`` for rows ``[n, d]``.

        Raises:
            DataError: As ``log_prob``.
        """
        params = self._params()

        def of(rows: Rows) -> tuple[tf.Tensor, tf.Tensor]:
            found = ppca_steps.latents(params, rows)
            covariance = ppca_steps.posterior_covariance(params, found)
            shape = tf.concat([tf.shape(found.mean), tf.shape(found.mean)[1:]], axis=0)
            return found.mean, tf.broadcast_to(covariance, shape)

        mean, covariance = self._blocks(of, self._observed(x))
        return mean, covariance

    def transform(self, x: Any) -> np.ndarray:
        """Posterior means of the latents of rows ``[n, d]``: ``[n, k]``.

        Raises:
            DataError: As ``log_prob``.
        """
        params = self._params()
        found = self._blocks(lambda r: ppca_steps.latents(params, r).mean, self._observed(x))
        return np.asarray(found)

    def impute(self, x: Any) -> np.ndarray:
        """Rows ``[n, d]`` with each gap filled by its mean given the row's observed values.

        Raises:
            DataError: As ``log_prob``.
        """
        table = self._table(x)
        fitted = self.fitted()
        expected = self.transform(table) @ fitted["W"].T + fitted["mean"]
        return np.where(np.isnan(table), expected, table)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw ``n`` rows: ``[n, d]``.

        Raises:
            OptionsError: If n is no whole number of at least 1.
        """
        n = check_count(n)
        fitted = self.fitted()
        d, k = fitted["W"].shape
        z = random.normal((n, k), random.key(seed, "ppca latents"), self.dtype).numpy()
        noise = random.normal((n, d), random.key(seed, "ppca noise"), self.dtype).numpy()
        spread = np.sqrt(fitted["noise_variance"])
        return np.asarray(z @ fitted["W"].T + fitted["mean"] + spread * noise)

    def covariance(self) -> np.ndarray:
        """``C = W W' + noise_variance I``, ``[d, d]`` (Bishop 12.36)."""
        fitted = self.fitted()
        W = fitted["W"]
        return np.asarray(W @ W.T + fitted["noise_variance"] * np.eye(len(W), dtype=W.dtype))

    def _params(self) -> Mapping[str, tf.Tensor]:
        return {name: tf.constant(value) for name, value in self.fitted().items()}

    def _table(self, x: Any) -> np.ndarray:
        return query_table(x, len(self.fitted()["mean"]), self.dtype, allow_nan=True)

    def _observed(self, x: Any) -> Rows:
        table = self._table(x)
        observed = ~np.isnan(table)
        if observed.all():
            return tf.constant(table)
        filled = np.where(observed, table, self.fitted()["mean"])
        return tf.constant(filled), tf.constant(observed.astype(self.dtype))

    def _log_prob(self, rows: Rows) -> np.ndarray:
        params = self._params()
        return np.asarray(self._blocks(lambda r: ppca_steps.latents(params, r).log_prob, rows))

    def _blocks(self, fn: Any, rows: Rows) -> Any:
        d, k = self.fitted()["W"].shape
        size = np.dtype(self.dtype).itemsize
        numbers = 4 * d + (4 * k * k if isinstance(rows, tuple) else 4 * k)
        return in_blocks(fn, rows, size * numbers)
