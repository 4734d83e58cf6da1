"""KMeans: clusters by the nearest of k centres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfbdl import Capability
from tfbdl.data import Dataset
from tfbdl.parametric import ParametricModel

from .kmeans_plus_plus import (
    check_rows,
    cluster_sums,
    moved_centers,
    nearest_centers,
    start_centers,
)
from .latent_config import KMeansOptions
from .table import in_blocks, query_table, training_table


class KMeans(ParametricModel):
    """K-means by Lloyd's iterations: EM with a hard assignment of rows to centres.

    It lowers the inertia, ``sum_n min_k |x_n - c_k|^2``; its negative is the history ``score``.
    An empty cluster keeps its centre, so that no iteration can raise the inertia.

    After a fit: ``centers_`` ``[k, d]``, ``counts_`` ``[k]`` and ``inertia_``.

    References:
        Lloyd 1982, "Least squares quantization in PCM"; Bishop 2006, section 9.1, eq. 9.1 to 9.4.
    """

    options_class: ClassVar[Any] = KMeansOptions
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EM})
    default_engine: ClassVar[str] = "em"
    objective: ClassVar[str] = "score"
    jit_compile: ClassVar[bool] = False  # two products of matrices, which XLA makes no faster

    objective_unit: float = 1.0  # of the tolerance; from the spread of the rows

    _rows: tf.Tensor | None = None

    def rows(self, data: Dataset) -> tf.Tensor:
        """The inputs, ``[n, d]``.

        Raises:
            DataError: If they are no table, have weights, or are fewer than the clusters.
        """
        table = training_table(data, self.dtype)
        check_rows(len(table), self.options.num_clusters)
        self._rows = tf.constant(table)
        # In squares of the data's own unit, and so small that the iterations go to their end.
        self.objective_unit = 1e-3 * float(table.var(axis=0, dtype=np.float64).sum()) or 1.0
        return self._rows

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes in the E-step."""
        known = self._rows if self._rows is not None else self.fitted()["centers"]
        numbers = 3 * self.options.num_clusters + 4 * known.shape[1]
        return int(np.dtype(self.dtype).itemsize * numbers)

    def start(self, rows: tf.Tensor, method: str, seed: int) -> dict[str, tf.Tensor]:
        """Centres to begin with: ``kmeans++`` (and ``auto``), or rows drawn at ``random``.

        Raises:
            OptionsError: If the method is another.
        """
        k = self.options.num_clusters
        return {"centers": tf.constant(start_centers(rows, k, method, seed, "k-means"))}

    def e_step(self, params: Mapping[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Each row goes to its nearest centre (eq. 9.2); counts, sums and the inertia."""
        places = params["centers"]
        labels, distances = nearest_centers(rows, places)
        counts, sums = cluster_sums(rows, labels, self.options.num_clusters)
        number = tf.cast(tf.shape(rows)[0], rows.dtype)
        return {
            "counts": counts,
            "sums": sums,
            "inertia": tf.reduce_sum(tf.cast(distances, tf.float64)),
            # A sum over rows of what is the same for each: an empty cluster stays where it is.
            "rows": number,
            "before": number * places,
        }

    def m_step(self, statistics: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Each centre moves to the mean of its rows (eq. 9.4)."""
        before = statistics["before"] / statistics["rows"]
        return {"centers": moved_centers(statistics["counts"], statistics["sums"], before)}

    def log_likelihood(
        self, params: Mapping[str, tf.Tensor], statistics: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Minus the inertia (eq. 9.1)."""
        del params
        return -statistics["inertia"]

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these centres, and count the training rows of each if they are at hand."""
        super().assign({"centers": np.asarray(params["centers"], self.dtype)})
        if self._rows is not None:
            labels, squares = self._nearest(self._rows.numpy())
            self.counts_ = np.bincount(labels, minlength=self.options.num_clusters)
            self.inertia_ = np.sum(squares, dtype=np.float64)
            self._rows = None  # a fitted model keeps no data

    def get_state(self) -> dict[str, np.ndarray]:
        """Centres, counts and inertia."""
        found = {n: np.asarray(vars(self)[f"{n}_"]) for n in _EXTRA if f"{n}_" in vars(self)}
        return super().get_state() | found

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a stored state.

        Raises:
            CheckpointError: If it is of another kind of model.
        """
        super().set_state({n: v for n, v in state.items() if n not in _EXTRA})
        for name in _EXTRA:
            if name in state:
                setattr(self, f"{name}_", np.asarray(state[name]))

    def predict(self, x: Any) -> np.ndarray:
        """The cluster of each row of ``x [n, d]``: ``[n]``, from 0.

        Raises:
            DataError: If x has other columns than in training, or values that are not finite.
        """
        labels: np.ndarray = self._nearest(self._table(x))[0]
        return labels

    def responsibilities(self, x: Any) -> np.ndarray:
        """1 for the cluster of each row of ``x [n, d]``, 0 for the others: ``[n, k]``.

        Raises:
            DataError: As ``predict``.
        """
        return np.eye(self.options.num_clusters, dtype=self.dtype)[self.predict(x)]

    def distances(self, x: Any) -> np.ndarray:
        """Euclidean distances of rows ``[n, d]`` from all centres, ``[n, k]``.

        Raises:
            DataError: As ``predict``.
        """
        places = tf.constant(self.fitted()["centers"])

        def of(rows: tf.Tensor) -> tf.Tensor:
            return tf.norm(rows[:, tf.newaxis] - places, axis=-1)

        table = self._table(x)
        return np.asarray(in_blocks(of, table, 16 * places.shape[0] * (table.shape[1] + 1)))

    def figures(self) -> dict[str, float]:
        """The inertia."""
        return {"inertia": float(self.inertia_)}

    def notices(self) -> list[str]:
        """A sentence if clusters are empty."""
        empty = np.flatnonzero(self.counts_ == 0)
        if not len(empty):
            return []
        return [
            f"{len(empty)} of {len(self.counts_)} clusters have no rows: "
            f"{', '.join(map(str, empty))}. Ask for fewer clusters, or for more restarts."
        ]

    def _table(self, x: Any) -> np.ndarray:
        return query_table(x, self.fitted()["centers"].shape[1], self.dtype)

    def _nearest(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = tf.constant(self.fitted()["centers"])
        labels, squares = in_blocks(
            lambda rows: nearest_centers(tf.convert_to_tensor(rows), places), table, self.row_bytes
        )
        return labels, squares


_EXTRA = ("counts", "inertia")
