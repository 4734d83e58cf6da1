"""What kernels, features and subsets must be, and the errors where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.linalg import lapack

from tfbdl.config import check_whole
from tfbdl.errors import DataError, OptionsError

SYMMETRY = 1e-8  # of the largest entry: what float32 or a sum in another order may leave
TILE = 256
EPS = float(np.finfo(np.float64).eps)


def rounding(size: int, scale: float) -> float:
    """How far below zero rounding may move an eigenvalue of a matrix of this size and norm."""
    return max(1e-10, 16.0 * size * EPS) * scale


def check_array(values: Any, name: str) -> np.ndarray:
    """A matrix of finite numbers as float64.

    Raises:
        DataError: If it is none, has no rows or columns, or holds NaN or infinite numbers.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be a matrix of numbers. Received: {values!r}.") from None
    if array.ndim != 2:
        raise DataError(f"{name} must be a matrix. Received: shape {array.shape}.")
    if 0 in array.shape:
        raise DataError(f"{name} must have at least one item. Received: shape {array.shape}.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DataError(f"{name} must be finite. Received: {bad} NaN or infinite entries.")
    return array


def check_symmetric(values: Any, name: str) -> np.ndarray:
    """A symmetric matrix ``[n, n]``, float64; what rounding left of asymmetry is averaged out.

    Raises:
        DataError: If it is not square, not symmetric, or as ``check_array``.
    """
    matrix = check_array(values, name)
    if matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"{name} must be square, [n, n]. Received: shape {matrix.shape}.")
    gap = max(float(np.abs(upper - lower.T).max()) for upper, lower in _tiles(matrix))
    if gap == 0.0:
        return matrix
    if gap > SYMMETRY * float(np.abs(matrix).max()):
        i, j = np.unravel_index(np.abs(matrix - matrix.T).argmax(), matrix.shape)
        raise DataError(
            f"{name} must be symmetric. Received: entries {matrix[i, j]:g} at ({i}, {j}) and "
            f"{matrix[j, i]:g} at ({j}, {i})."
        )
    return 0.5 * (matrix + matrix.T)


def check_L(values: Any, name: str = "L") -> np.ndarray:
    """The kernel of an L-ensemble: symmetric and positive semidefinite, ``[n, n]``.

    Raises:
        DataError: If it has a negative eigenvalue beyond rounding, or as ``check_symmetric``.
    """
    matrix = check_symmetric(values, name)
    if not _is_positive(matrix, rounding(len(matrix), float(np.abs(matrix).max(initial=1e-300)))):
        least = float(np.linalg.eigvalsh(matrix)[0])
        raise DataError(
            f"{name} must be positive semidefinite: no eigenvalue below 0. "
            f"Received: the smallest eigenvalue is {least:g}."
        )
    return matrix


def check_K(values: Any, name: str = "K") -> np.ndarray:
    """A marginal kernel: symmetric, eigenvalues from 0 to 1, ``[n, n]``.

    Raises:
        DataError: If an eigenvalue is below 0 or above 1 beyond rounding, or as
            ``check_symmetric``.
    """
    matrix = check_symmetric(values, name)
    slack = rounding(len(matrix), 1.0)
    for signed in (matrix, np.eye(len(matrix)) - matrix):
        if not _is_positive(signed, slack):
            eigenvalues = np.linalg.eigvalsh(matrix)
            raise DataError(
                f"{name} must be a marginal kernel: eigenvalues from 0 to 1. Received: from "
                f"{eigenvalues[0]:g} to {eigenvalues[-1]:g}. The kernel of an L-ensemble, whose "
                "eigenvalues have no upper bound, is given as DPP(L=...)."
            )
    return matrix


def check_subset(subset: Any, n: int, name: str = "subset") -> np.ndarray:
    """The sorted indices of a set of items.

    Args:
        subset: Distinct indices from 0 to n - 1, in any order; or a boolean array ``[n]``.
        n: Items of the ground set.
        name: What to call it in an error.

    Raises:
        DataError: If it is no such set.
    """
    array = np.asarray(subset)
    if array.dtype == bool and array.shape == (n,):
        return np.flatnonzero(array)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(
            f"{name} must be a list of distinct indices, or a boolean array [{n}]. "
            f"Received: {array.dtype} of shape {array.shape}."
        )
    if array.min() < 0 or array.max() >= n:
        raise DataError(
            f"{name} must hold indices from 0 to {n - 1}. "
            f"Received: {int(array.min())} to {int(array.max())}."
        )
    items = np.unique(array).astype(np.int64)
    if len(items) < len(array):
        raise DataError(f"{name} must name each item once. Received: {array.tolist()}.")
    return items


def check_size(k: Any, n: int, rank: int | None = None) -> int:
    """The size of a subset, at most the number of items and the rank of their kernel.

    Raises:
        OptionsError: If it is not.
    """
    size = check_whole("k", k)
    if size > n:
        raise OptionsError(f"k must be at most {n}, the number of items. Received: {size}.")
    if rank is not None and size > rank:
        raise OptionsError(
            f"k must be at most {rank}, the rank of the kernel: larger subsets have determinant 0. "
            f"Received: {size}."
        )
    return size


def mirrored(matrix: np.ndarray) -> np.ndarray:
    """The symmetric matrix of which the lower triangle is given; changed in place."""
    for upper, lower in _tiles(matrix):
        if np.shares_memory(upper, lower):
            np.copyto(upper, np.tril(lower) + np.tril(lower, -1).T)
        else:
            np.copyto(upper, lower.T)
    return matrix


def log_det(matrix: np.ndarray) -> float:
    """``log det`` of a positive semidefinite matrix; -inf where it is singular up to rounding."""
    if len(matrix) == 0:
        return 0.0
    scale = np.sqrt(np.diagonal(matrix))
    if not (scale > 0.0).all():
        return -np.inf
    unit = matrix / np.outer(scale, scale)  # rank does not depend on the items' qualities
    factor, _, rank, _ = lapack.dpstrf(unit, lower=1, tol=4.0 * len(unit) * EPS)
    if rank < len(unit):
        return -np.inf
    return float(2.0 * (np.log(scale).sum() + np.log(np.diagonal(factor)).sum()))


def _tiles(matrix: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tiles of the upper triangle with those across the diagonal: small enough for a cache."""
    for i in range(0, len(matrix), TILE):
        for j in range(i, len(matrix), TILE):
            yield matrix[i : i + TILE, j : j + TILE], matrix[j : j + TILE, i : i + TILE]


def _is_positive(matrix: np.ndarray, slack: float) -> bool:
    """Whether all eigenvalues are above ``-slack``: a Cholesky factor of the shifted one exists."""
    shifted = matrix.copy(order="C").T  # symmetric: in the order of LAPACK, without a shuffle
    shifted[np.diag_indices_from(shifted)] += slack
    return bool(lapack.dpotrf(shifted, lower=1, overwrite_a=1, clean=0)[1] == 0)
