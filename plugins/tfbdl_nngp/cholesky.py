"""Cholesky factors of covariances, with a jitter that grows where rounding asks for it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from tfbdl.blas import one_thread
from tfbdl.errors import ModelError

FIRST_JITTER = {"float64": 1e-12, "float32": 1e-6}
"""Times the mean of the diagonal; it grows tenfold."""
MOST_JITTER = 1e-4
LARGE = 5_000
"""Rows above which the smallest eigenvalue is not computed for an error's sake."""

SMALL = 1_500
"""Rows below which LAPACK runs in one thread: threads that wait for one another on busy cores make
it a hundred times slower."""


@dataclass(frozen=True)
class Factor:
    """``lower lower' = K + (noise + jitter) I``, in float64 if K is.

    Attributes:
        lower: ``[n, n]``; what stands above the diagonal means nothing.
        jitter: What was added to the diagonal beside the noise.
    """

    lower: np.ndarray
    jitter: float

    def solve(self, y: np.ndarray) -> np.ndarray:
        """``(K + ...)^-1 y``."""
        return np.asarray(
            linalg.cho_solve((self.lower, True), y.astype(self.lower.dtype), check_finite=False)
        )

    def whiten(self, y: np.ndarray) -> np.ndarray:
        """``lower^-1 y``."""
        return np.asarray(
            linalg.solve_triangular(
                self.lower, y.astype(self.lower.dtype), lower=True, check_finite=False
            )
        )

    def log_det(self) -> float:
        """``log |K + ...|``."""
        return 2.0 * float(np.log(np.diagonal(self.lower), dtype=np.float64).sum())

    def inverse(self) -> np.ndarray:
        """``(K + ...)^-1``, whole."""
        potri = linalg.get_lapack_funcs("potri", (self.lower,))
        with _threads(len(self.lower)):
            found, info = potri(self.lower, lower=1)
        if info:
            raise ModelError(f"The covariance cannot be inverted (LAPACK potri gives {info}).")
        lower = np.tril(found)
        return np.asarray(lower + np.tril(lower, -1).T)


def factorize(K: np.ndarray, noise: float | np.ndarray = 0.0) -> Factor:
    """The Cholesky factor of ``K + noise I`` by LAPACK; ``K`` is overwritten.

    Where it fails, the jitter begins at 1e-12 (float32: 1e-6) times the mean of the diagonal and
    grows tenfold up to 1e-4.

    Args:
        K: ``[n, n]``, symmetric.
        noise: A variance, or one for each row ``[n]``; at least 0.

    Raises:
        ModelError: If the most jitter does not help; it names the smallest eigenvalue.
    """
    n, diagonal = len(K), np.diagonal(K) + noise
    if not np.isfinite(diagonal).all():
        raise ModelError(
            "The kernel is not finite at its own inputs: variances grow with depth until they "
            "overflow. Take less depth, a smaller weight_variance, or another activation."
        )
    # LAPACK reads columns: the lower triangle of K' is the upper one of K, the other stays whole
    columns = K.T if K.flags.c_contiguous else np.asfortranarray(K)
    (potrf,) = linalg.get_lapack_funcs(("potrf",), (columns,))
    level = float(np.mean(np.abs(diagonal)))
    jitter, more = 0.0, FIRST_JITTER[columns.dtype.name] * level
    while True:
        columns[np.diag_indices(n)] = diagonal + jitter
        with _threads(n):
            lower, info = potrf(columns, lower=1, overwrite_a=1, clean=0)
        if info == 0 and np.isfinite(np.diagonal(lower)).all():
            return Factor(lower, jitter)
        _restore(columns, diagonal)
        jitter, more = more, 10.0 * more
        if jitter > 1.000001 * MOST_JITTER * level or not more > jitter:
            raise ModelError(_failure(columns, level, jitter / 10.0))


def _threads(rows: int) -> contextlib.AbstractContextManager[Any]:
    return one_thread() if rows < SMALL else contextlib.nullcontext()


def root_of(covariance: np.ndarray) -> np.ndarray:
    """R with ``R R'`` the covariance ``[n, n]``, which may be singular up to rounding."""
    try:
        return np.tril(factorize(covariance.copy()).lower)
    except ModelError:  # by its eigenvectors
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _restore(columns: np.ndarray, diagonal: np.ndarray) -> None:
    """The lower triangle again, from the upper one that the failed factor left alone."""
    upper = np.triu(columns, 1)
    columns[:] = upper
    columns += upper.T
    columns[np.diag_indices(len(columns))] = diagonal


def _failure(columns: np.ndarray, level: float, jitter: float) -> str:
    smallest = ""
    if len(columns) <= LARGE:
        value = linalg.eigvalsh(columns, subset_by_index=[0, 0])[0]
        smallest = f" Its smallest eigenvalue is {value:.3g}, of a diagonal of {level:.3g}."
    hint = "Compute it in float64" if columns.dtype == np.float32 else "Give a larger noise"
    return (
        f"The covariance of {len(columns)} rows is not positive definite, even with {jitter:.3g} "
        f"added to its diagonal.{smallest} {hint}, or check that the kernel is one."
    )
