"""A square root of the sufficient statistics: rows in, their number forgotten.

``R' R = [1, Phi, t]' [1, Phi, t]`` with R triangular (or trapezoidal, while rows are few) holds all
that a linear model with normal noise can learn of its rows, at the full precision of the
rows, where the products themselves would lose half the digits. Rows that come later are absorbed
by one more QR decomposition.

References:
    Golub & Van Loan 2013, Matrix Computations, section 6.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfbdl.errors import DataError

CONSTANT = 1e-13
"""Share of a column's length below which its variation is that of rounding, for up to 100 rows.

With more it grows as their square root: so does the rounding of rows that come one by one.
"""


class Centred(NamedTuple):
    """What a root says of columns and targets.

    Attributes:
        columns: Rows whose products are those of the (centred) columns: ``[r, M]``.
        targets: The same rows of the (centred) targets: ``[r, k]``.
        column_means: ``[M]``; zeros without an intercept.
        target_means: ``[k]``; zeros without an intercept.
    """

    columns: np.ndarray
    targets: np.ndarray
    column_means: np.ndarray
    target_means: np.ndarray


def absorb(root: np.ndarray | None, columns: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The root of all rows so far: ``[min(rows, 1 + M + k), 1 + M + k]``.

    Args:
        root: Of the rows before; None if these are the first.
        columns: ``[n, M]``.
        targets: ``[n, k]``.
    """
    rows = np.concatenate([np.ones((len(columns), 1)), columns, targets], axis=1)
    whole = rows if root is None else np.concatenate([root, rows])
    R = np.asarray(np.linalg.qr(whole, mode="r"))
    return R * np.where(np.diagonal(R) < 0.0, -1.0, 1.0)[:, np.newaxis]  # unique


def extended(
    before: Mapping[str, np.ndarray], columns: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, float]:
    """Root and number of all rows so far, of which ``before`` holds ``root`` and ``count``.

    Raises:
        DataError: If the rows are not like those before.
    """
    root, width = before.get("root"), columns.shape[1] + targets.shape[1]
    if root is not None and root.shape[1] != 1 + width:
        raise DataError(
            f"Expected rows like those before, with {root.shape[1] - 1} columns and targets "
            f"together. Received: {width}."
        )
    count = float(before.get("count", 0.0)) + len(columns)
    return absorb(root, columns, targets), count


def parts(root: np.ndarray, num_columns: int, intercept: bool, count: float) -> Centred:
    """Columns and targets again; with ``intercept`` centred, without as they came.

    Args:
        root: Of all rows.
        num_columns: M.
        intercept: Whether to centre.
        count: How many rows there were.
    """
    if not intercept:
        zeros = np.zeros(root.shape[1] - 1)
        return Centred(*_split(root[:, 1:], num_columns), *_split(zeros, num_columns))
    # the ones came first: what is below the first row of R is orthogonal to them
    rows, means = root[1:, 1:], root[0, 1:] / root[0, 0]
    rows = np.where(_still(rows, root[:, 1:], count), 0.0, rows)
    return Centred(*_split(rows, num_columns), *_split(means, num_columns))


def centred(columns: np.ndarray, targets: np.ndarray, intercept: bool) -> Centred:
    """The same of rows as they came: columns ``[n, M]`` and targets ``[n, k]``."""
    if not intercept:
        return Centred(columns, targets, np.zeros(columns.shape[1]), np.zeros(targets.shape[1]))
    shifted, means = [], []
    for values in (columns, targets):
        means.append(values.mean(axis=0))
        rest = values - means[-1]
        shifted.append(np.where(_still(rest, values, len(values)), 0.0, rest))
    return Centred(*shifted, *means)


def counted(centred: Centred, count: float, intercept: bool) -> float:
    """How many rows the density of the (centred) targets counts in a search for beta.

    All, as scikit-learn's BayesianRidge has it. One less where centred columns could fit whatever
    targets exactly: one row too many would make the evidence grow with beta without end.
    """
    full = intercept and np.count_nonzero(centred.columns.any(axis=0)) >= count - 1.0
    return count - 1.0 if full else count


def constant_columns(centred: Centred, count: float, intercept: bool) -> list[str]:
    """A notice that names the columns that do not vary, if there are any."""
    still = [str(i) for i in np.flatnonzero(~centred.columns.any(axis=0))]
    if not still or count <= 1:
        return []
    what = "do not vary" if intercept else "are zero"
    listed = ", ".join(still[:10]) + (", ..." if len(still) > 10 else "")
    return [f"Columns {what} over the rows, so that their weights keep the prior: {listed}."]


def _still(rest: np.ndarray, values: np.ndarray, count: float) -> np.ndarray:
    """Of which columns no more than rounding is left once their means are taken out."""
    floor = CONSTANT * max(1.0, 0.1 * math.sqrt(count))
    still: np.ndarray = np.linalg.norm(rest, axis=0) <= floor * np.linalg.norm(values, axis=0)
    return still


def _split(values: np.ndarray, num_columns: int) -> tuple[np.ndarray, np.ndarray]:
    return values[..., :num_columns], values[..., num_columns:]
