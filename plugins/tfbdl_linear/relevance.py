"""The evidence with a precision for each column, and where it is largest.

References:
    Bishop 2006, section 7.2; Tipping 2001, Sparse Bayesian learning and the relevance vector
    machine; Tipping & Faul 2003, Fast marginal likelihood maximisation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import linalg

from .evidence import LOG_2PI, NO_NOISE, NO_VARIATION

FLOOR = 1e-12  # of the noise's variance, in units of the mean square of the targets
EVERY = 10  # steps between two that look ahead


class Posterior(NamedTuple):
    """Of the weights of some columns: mean ``[m, k]``, covariance ``[m, m]``; and its evidence."""

    mean: np.ndarray
    covariance: np.ndarray
    misfit: float
    log_evidence: float


class Relevance(NamedTuple):
    """Where the search ends.

    Attributes:
        alpha: Of each column; infinite where it is pruned.
        beta: Of the noise.
        steps: How many it took.
        converged: Whether it ended before its last step.
        notice: Says if the evidence has no largest value.
    """

    alpha: np.ndarray
    beta: float
    steps: int
    converged: bool
    notice: str = ""


def posterior(
    columns: np.ndarray, targets: np.ndarray, alpha: np.ndarray, beta: float, rows: float
) -> Posterior:
    """``N(m, Sigma)`` of the weights (Bishop 2006, 7.82 and 7.83), and ``log p(t)`` (7.85).

    Args:
        columns: ``[r, m]``, whose products are those of the rows' columns.
        targets: ``[r, k]``, likewise.
        alpha: ``[m]``, all finite.
        beta: Of the noise.
        rows: N, which may differ from r.
    """
    scale = 1.0 / np.sqrt(alpha)
    scaled = math.sqrt(beta) * columns * scale
    few = len(scaled) < scaled.shape[1]  # fewer rows than columns: Woodbury
    inner = scaled @ scaled.T if few else scaled.T @ scaled
    root = linalg.cholesky(inner + np.eye(len(inner)), lower=True)  # eigenvalues of at least 1
    half = linalg.solve_triangular(root, scaled if few else np.eye(len(inner)), lower=True)
    inverse = np.eye(len(alpha)) - half.T @ half if few else half.T @ half
    covariance = scale[:, np.newaxis] * inverse * scale
    mean = beta * covariance @ (columns.T @ targets)
    misfit = float(((targets - columns @ mean) ** 2).sum())
    k = targets.shape[1]
    log_det = 2.0 * np.log(np.diagonal(root)).sum()  # of C = I / beta + Phi A^-1 Phi', times beta
    quadratic = beta * misfit + float((alpha[:, np.newaxis] * mean**2).sum())
    log_evidence = -0.5 * (k * (rows * (LOG_2PI - math.log(beta)) + log_det) + quadratic)
    return Posterior(mean, covariance, misfit, float(log_evidence))


def search(
    columns: np.ndarray,
    targets: np.ndarray,
    rows: float,
    *,
    beta: float | None,
    alpha_max: float,
    tolerance: float,
    steps: int,
) -> Relevance:
    """The fixed point of Bishop 2006, (7.87) and (7.88), columns pruned on the way.

    Columns and targets are brought to mean square 1 first, so that their units do not matter.

    Args:
        columns: ``[r, M]``.
        targets: ``[r, k]``.
        rows: N.
        beta: Of the noise; None: sought.
        alpha_max: A column whose precision passes it is pruned.
        tolerance: Relative change of every precision at which the search ends.
        steps: At most.
    """
    k, total = targets.shape[1], float((targets**2).sum())
    if total <= 1e-300 or rows <= 0.0:
        nothing = np.full(columns.shape[1], np.inf)
        return Relevance(nothing, beta or 1.0, 0, True, NO_VARIATION)
    unit = math.sqrt(total / (rows * k))
    sizes = np.sqrt((columns**2).sum(axis=0) / rows)
    kept = np.flatnonzero(sizes > 0.0)
    phi, t = columns[:, kept] / sizes[kept], targets / unit
    alpha = np.ones(len(kept))
    noise = 10.0 if beta is None else beta * unit**2
    before = np.zeros(len(kept))
    done, step = False, 0
    while len(kept) and step < steps and not done:
        step += 1
        now = posterior(phi, t, alpha, noise, rows)
        gamma = np.clip(1.0 - alpha * np.diagonal(now.covariance), 0.0, 1.0)  # (7.89)
        squares = np.maximum((now.mean**2).sum(axis=1), 1e-300)
        fresh = k * np.maximum(gamma, 1e-300) / squares  # (7.87)
        moved = np.log(fresh / alpha)
        change = np.abs(moved).max()
        if beta is None:
            variance = max(now.misfit / (k * max(rows - gamma.sum(), 1e-12)), FLOOR)  # (7.88)
            change = max(change, abs(math.log(variance * noise)))
            noise = 1.0 / variance
        if step % EVERY == 0:
            far = np.minimum(fresh * np.exp(extrapolation(moved, before)), 10.0 * alpha_max)
            ahead, here = (posterior(phi, t, guess, noise, rows) for guess in (far, fresh))
            fresh = far if ahead.log_evidence > here.log_evidence else fresh
        stays = fresh <= alpha_max
        done = bool(change < tolerance and stays.all())
        kept, phi, alpha, before = kept[stays], phi[:, stays], fresh[stays], moved[stays]
    if not len(kept) and beta is None:
        noise = 1.0 / max(float((t**2).sum()) / (k * rows), FLOOR)
    whole = np.full(columns.shape[1], np.inf)
    whole[kept] = alpha * (unit / sizes[kept]) ** -2
    notice = NO_NOISE if beta is None and noise >= 0.999 / FLOOR else ""
    return Relevance(whole, noise / unit**2, step, done or not len(kept), notice)


def extrapolation(change: np.ndarray, before: np.ndarray) -> np.ndarray:
    """How much further a sequence will go whose last two changes were these, were they geometric.

    References:
        Aitken 1926, the delta-squared process; each element by itself, and at most 49 changes.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(before == 0.0, 0.0, change / before)
    ratio = np.clip(ratio, 0.0, 0.98)
    return change * ratio / (1.0 - ratio)
