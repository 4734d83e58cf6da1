"""Marginal likelihoods of groups of rows: normal columns with normal-inverse-gamma priors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from ...errors import ModelError


class NormalGamma:
    """The evidence of rows that share a mean and a variance for each column.

        s2 ~ InverseGamma(a0, b0),  m ~ Normal(m0, s2 / kappa0),  y ~ Normal(m, s2)

    independently in each column; ``m`` and ``s2`` are integrated out.

    Args:
        features: Rows ``[n, d]``; with no column each group has the evidence 1.
        m0: Prior mean, a number or ``[d]``; None: the mean of the rows.
        kappa0: Rows that the prior mean is worth, above 0.
        a0: Shape of the variance's prior, above 0.
        b0: Its scale, a number or ``[d]``; None: a tenth of the columns' variances.

    References:
        Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution", section 3.
    """

    def __init__(
        self, features: Any, m0: Any = None, kappa0: float = 0.01, a0: float = 2.0, b0: Any = None
    ) -> None:
        self.features = y = _rows(features)
        d = y.shape[1]
        centre = y.mean(axis=0) if m0 is None else m0
        scale = 0.1 * np.where(np.ptp(y, axis=0) > 0, y.var(axis=0), 1.0) if b0 is None else b0
        self.m0, self.b0 = _columns("m0", centre, d), _columns("b0", scale, d)
        self.kappa0, self.a0 = positive("kappa0", kappa0), positive("a0", a0)
        if not (self.b0 > 0).all():
            raise ModelError(f"b0 is above 0. Received: {self.b0.tolist()}.")
        self.rows = y - self.m0
        self.squares = self.rows**2
        self.constant = self._constants(len(y))

    def sums(self, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, sums and sums of squares of groups.

        Args:
            groups: Of each row, ``[chain, n]``, from 0 to ``count``, exclusive.
            count: How many there are.

        Returns:
            ``[group]``, whole numbers; ``[group, d]``, centred at m0; ``[group, d]``.
        """
        chains, flat = len(groups), groups.ravel()
        size = np.bincount(flat, minlength=count)
        parts = np.empty((2, count, self.rows.shape[1]))
        for part, columns in zip(parts, (self.rows, self.squares), strict=True):
            for place, column in enumerate(columns.T):
                part[:, place] = np.bincount(flat, np.tile(column, chains), count)
        return size, parts[0], parts[1]

    def log_evidence(self, size: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """The log marginal likelihood of groups, in nats; 0 of an empty one.

        Args:
            size: Rows of each group, ``[...]``, whole numbers up to n.
            sums: Of the rows less m0, ``[..., d]``.
            squares: Sums of their squares, ``[..., d]``.

        Returns:
            ``[...]``.
        """
        count = size[..., np.newaxis]
        # Murphy 2007, equations 85 to 88, in the coordinates of m0
        spread = squares - sums**2 / (self.kappa0 + count)
        b = self.b0 + 0.5 * np.maximum(spread, 0.0)  # rounding may leave it below 0
        return self.constant[size] - (self.a0 + 0.5 * size) * np.log(b).sum(axis=-1)

    def _constants(self, n: int) -> np.ndarray:
        """What depends on the number of rows alone, ``[n + 1]``: Murphy 2007, equation 95."""
        d, size = len(self.b0), np.arange(n + 1)
        return (
            d * (gammaln(self.a0 + 0.5 * size) - gammaln(self.a0))
            + 0.5 * d * np.log(self.kappa0 / (self.kappa0 + size))
            - 0.5 * d * size * np.log(2 * np.pi)
            + self.a0 * np.log(self.b0).sum()
        )


def _rows(features: Any) -> np.ndarray:
    try:
        rows = np.array(features, np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"Expected features [site, d], numbers. Received: {type(features).__name__}."
        ) from None
    rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not len(rows):
        raise ModelError(f"Expected features [site, d]. Received: {list(rows.shape)}.")
    if not np.isfinite(rows).all():
        raise ModelError(
            f"Features are finite. Received: {rows[~np.isfinite(rows)][0]} at site "
            f"{int(np.argmin(np.isfinite(rows).all(axis=1)))}."
        )
    return rows


def _columns(name: str, value: Any, d: int) -> np.ndarray:
    given = np.asarray(value, np.float64)
    if given.shape not in ((), (d,)) or not np.isfinite(given).all():
        raise ModelError(
            f"{name} is a finite number, or one for each of {d} columns. Received: {value!r}."
        )
    return np.broadcast_to(given, (d,)).copy()


def positive(name: str, value: Any) -> float:
    """A finite number above 0.

    Raises:
        ModelError: If it is none.
    """
    if not isinstance(value, (int, float, np.number)) or not 0 < float(value) < np.inf:
        raise ModelError(f"{name} is a finite number above 0. Received: {value!r}.")
    return float(value)
