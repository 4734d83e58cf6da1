"""Rejection sampling: independent draws, by candidates below a multiple of the proposal.

References:
    von Neumann 1951, "Various techniques used in connection with random digits"; Robert & Casella
    2004, "Monte Carlo Statistical Methods", section 2.3 (algorithm A.4, and corollary 2.17).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy import optimize, special

from ... import random
from ...config import check_whole
from ...errors import ModelError, OptionsError
from ..compilation import sums_in_order
from .proposals import Proposal, as_proposal

BATCH = 1_000
CLIMBS = 5


class Rejection(NamedTuple):
    """What rejection sampling gives.

    Attributes:
        draws: ``[n, ...]``, independent.
        acceptance_rate: Share of the candidates that were taken; ``Z / M`` on average, with Z the
            integral of the density: 1 / M where it is normalised.
        log_evidence: ``log Z``, from the mean of density over proposal at all candidates; the error
            of Z is ``O(candidates^-1/2)``.
        candidates: How many there were.
    """

    draws: np.ndarray
    acceptance_rate: float
    log_evidence: float
    candidates: int


@sums_in_order()
def rejection_sampling(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    proposal: Any,
    log_bound: float,
    n: int,
    seed: int = 0,
    *,
    batch_size: int = BATCH,
    max_candidates: int = 10_000_000,
    on_batch: Callable[[int, int], None] | None = None,
) -> Rejection:
    """Draws of a density p with ``p(z) <= M q(z)`` everywhere.

    A candidate of q is taken with probability ``p(z) / (M q(z))``. The bound is checked at each;
    one above it ends the run, since what was drawn until then is not of p.

    Args:
        log_density: From points ``[m, ...]`` to log densities ``[m]`` in nats, up to a constant.
        proposal: q: a tfd distribution, or what has ``sample(n, key)`` and ``log_prob(z)``.
        log_bound: ``log M``, in nats.
        n: How many draws.
        seed: Of all random numbers.
        batch_size: Candidates that are looked at together.
        max_candidates: After which the run is given up.
        on_batch: Called after each batch with the numbers of draws and of candidates.

    Raises:
        OptionsError: If the bound is no finite number, or n or the batch size no positive integer.
        ModelError: If the density is above the bound, NaN or infinite at a candidate, or too few
            candidates are taken.

    Example:
        ```python
        found = rejection_sampling(
            lambda z: -0.5 * z**2, tfd.Cauchy(0.0, 1.0), log_bound=np.log(2 * np.pi) - 0.5, n=1_000
        )
        ```
    """
    check_whole("n", n)
    check_whole("batch_size", batch_size)
    if not math.isfinite(log_bound):
        raise OptionsError(f"log_bound must be a finite number, in nats. Received: {log_bound!r}.")
    ratio = compiled_ratios(log_density, as_proposal(proposal), batch_size)
    key = random.key(seed, "rejection")
    draws: list[np.ndarray] = []
    sums: list[float] = []
    taken = candidates = batch = 0
    while taken < n:
        if candidates >= max_candidates:
            raise ModelError(
                f"Of {candidates:,} candidates {taken:,} were taken, and {n:,} are wanted: the "
                "proposal is too far from the density. Use another, or smc or nuts."
            )
        now = random.fold_in(key, batch)
        z, log_ratio = (part.numpy() for part in ratio(now))
        check_bound(z, log_ratio, log_bound)
        chance = random.uniform((batch_size,), random.fold_in(now, "accept"), "float64").numpy()
        found = z[np.log(chance) < log_ratio - log_bound][: n - taken]
        draws.append(found)
        sums.append(float(special.logsumexp(log_ratio)))
        taken, candidates, batch = taken + len(found), candidates + batch_size, batch + 1
        if on_batch is not None:
            on_batch(taken, candidates)
    log_evidence = float(special.logsumexp(sums)) - math.log(candidates)
    return Rejection(
        draws=np.concatenate(draws),
        acceptance_rate=math.exp(log_evidence - log_bound),  # the mean of all candidates' chances
        log_evidence=log_evidence,
        candidates=candidates,
    )


def compiled_ratios(
    log_density: Callable[[tf.Tensor], tf.Tensor], proposal: Proposal, count: int
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """From a key to ``count`` candidates and the logarithm of density over proposal, in float64."""
    compiled = tf.function(lambda z: log_ratio(log_density, proposal, z), autograph=False)

    def ratios(key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = proposal.sample(count, random.fold_in(key, "propose"))
        return z, compiled(z)

    return ratios


def log_ratio(
    log_density: Callable[[tf.Tensor], tf.Tensor], proposal: Proposal, z: tf.Tensor
) -> tf.Tensor:
    """``log p(z) - log q(z)`` of points ``[n, ...]``, in float64."""
    value = tf.cast(log_density(z), tf.float64) - tf.cast(proposal.log_prob(z), tf.float64)
    return tf.ensure_shape(value, z.shape[:1])


def check_bound(z: np.ndarray, log_ratio: np.ndarray, log_bound: float) -> None:
    """Refuse a bound that a candidate lies above, and densities that are no numbers."""
    check_numbers(z, log_ratio)
    highest = float(log_ratio.max())
    if highest > log_bound + 16.0 * float(np.finfo(z.dtype).eps) * (1.0 + abs(log_bound)):
        where = np.array2string(z[int(np.argmax(log_ratio))], threshold=8)
        raise ModelError(
            "The density lies above its bound, so the draws would not be of it. Expected: log "
            f"density minus log proposal of at most log_bound={log_bound:.6g}. Received: "
            f"{highest:.6g} at {where}. Give a larger log_bound, or a proposal with heavier tails."
        )


def check_numbers(z: np.ndarray, log_ratio: np.ndarray) -> None:
    """Refuse densities that are NaN or infinite."""
    wrong = ~(log_ratio < np.inf)
    if wrong.any():
        where = np.array2string(z[wrong][0], threshold=8)
        raise ModelError(
            "The log density must be a number below infinity at each candidate. Received: "
            f"{log_ratio[wrong][0]} at {where}."
        )


def highest_ratio(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    proposal: Proposal,
    seed: int = 0,
    *,
    pilot: int = BATCH,
) -> float:
    """A guess at ``log M``: the highest of the ratios that are found by climbing.

    It climbs by L-BFGS from the best of some candidates, so it is no proof: the check of the bound
    remains.

    Args:
        log_density, proposal: As in ``rejection_sampling``; over flat states ``[n, D]``.
        seed: Of the candidates.
        pilot: How many of them.

    Raises:
        ModelError: If the density is nowhere positive among them, or NaN.
    """
    z, values = (
        part.numpy()
        for part in compiled_ratios(log_density, proposal, pilot)(random.key(seed, "pilot"))
    )
    check_numbers(z, values)
    if values.max() == -np.inf:
        raise ModelError("The density is zero at all candidates of the proposal. Use another.")

    @tf.function(autograph=False)
    def value_and_slope(point: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = log_ratio(log_density, proposal, point[tf.newaxis])[0]
        return value, tape.gradient(value, point)

    def down(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_slope(tf.constant(point, z.dtype))
        return -float(value), -np.asarray(slope, np.float64)

    best = float(values.max())
    for place in np.argsort(-values)[:CLIMBS]:
        found = optimize.minimize(down, z[place].astype(np.float64), jac=True, method="L-BFGS-B")
        if math.isfinite(found.fun):
            best = max(best, -float(found.fun))
    return best
