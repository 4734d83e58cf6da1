"""Ridge regression for every pair of precisions, from one singular value decomposition.

References:
    Bishop 2006, (3.50) and (3.51); Golub & Van Loan 2013, Matrix Computations, section 6.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .evidence import Spectrum


@dataclass(frozen=True)
class Ridge:
    """The posterior of weights ``w ~ N(m0, L L' / alpha)``, a function of alpha and beta.

    Attributes:
        spectrum: Columns ``Phi L`` and targets less ``Phi m0``, turned.
        directions: Orthonormal rows, along which the weights are independent: ``[M, M]``; the
            first belong to the values of the spectrum.
        m0: ``[M]``.
        factor: L, ``[M, M]``; None: the identity.
    """

    spectrum: Spectrum
    directions: np.ndarray
    m0: np.ndarray
    factor: np.ndarray | None

    def mean(self, alpha: float, beta: float) -> np.ndarray:
        """m_N (Bishop 2006, 3.50): ``[M, k]``."""
        values = self.spectrum.values
        gain = beta * values / (alpha + beta * values**2)
        turned = self.directions[: len(values)].T @ (gain[:, np.newaxis] * self.spectrum.projected)
        return self.m0[:, np.newaxis] + self._coloured(turned)

    def root(self, alpha: float, beta: float) -> np.ndarray:
        """Q with ``Q Q' = S_N`` (Bishop 2006, 3.51), ``[M, M]``.

        Its columns may differ by many orders of size; a sum of their products would keep the
        digits of the largest alone.
        """
        curvature = np.full(len(self.directions), alpha)
        curvature[: len(self.spectrum.values)] += beta * self.spectrum.values**2
        return self._coloured(self.directions.T / np.sqrt(curvature))

    def _coloured(self, weights: np.ndarray) -> np.ndarray:
        return weights if self.factor is None else self.factor @ weights


def decompose(
    columns: np.ndarray,
    targets: np.ndarray,
    rows: float,
    m0: np.ndarray | None = None,
    factor: np.ndarray | None = None,
) -> Ridge:
    """Turn columns and targets so that weights are independent.

    Args:
        columns: ``[r, M]``, whose products are those of the rows' columns.
        targets: ``[r, k]``, likewise.
        rows: As many as the density of the targets counts.
        m0: Prior mean, ``[M]``; None: zeros.
        factor: L of the prior covariance ``L L' / alpha``; None: the identity.
    """
    size = columns.shape[1]
    m0 = np.zeros(size) if m0 is None else m0
    shifted = targets - (columns @ m0)[:, np.newaxis]
    whitened = columns if factor is None else columns @ factor
    left, values, directions = np.linalg.svd(whitened, full_matrices=len(whitened) < size)
    floor = np.finfo(float).eps * max(whitened.shape) * values.max(initial=0.0)
    projected = left[:, : len(values)].T @ shifted
    spectrum = Spectrum(
        values=np.where(values > floor, values, 0.0),
        projected=projected,
        outside=float(((shifted - left[:, : len(values)] @ projected) ** 2).sum()),
        rows=rows,
        columns=size,
    )
    return Ridge(spectrum, directions, m0, factor)
