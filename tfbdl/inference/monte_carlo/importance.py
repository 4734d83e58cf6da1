"""Importance sampling: draws of a proposal, weighted for the posterior.

References:
    Geweke 1989, "Bayesian Inference in Econometric Models Using Monte Carlo Integration"; Owen
    2013, "Monte Carlo theory, methods and examples", chapter 9; Vehtari et al. 2024, "Pareto
    Smoothed Importance Sampling".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy import special

from ... import random
from ...config import check_whole
from ...errors import ModelError
from .. import pareto
from ..compilation import sums_in_order
from .proposals import as_proposal
from .rejection import BATCH, compiled_ratios
from .resampling import Scheme, resample


class Importance(NamedTuple):
    """Weighted draws.

    Attributes:
        draws: Of the proposal, ``[n, ...]``.
        log_weights: Normalised, ``[n]``; smoothed where that was asked for.
        log_evidence: ``log Z`` by the mean of the raw weights, which has no bias in Z.
        log_evidence_mcse: Its Monte Carlo standard error, in nats.
        pareto_k: Shape of the largest weights; above 0.7 nothing here is reliable.
        effective_size: Equal weights that these count for, ``1 / sum w^2``.
    """

    draws: np.ndarray
    log_weights: np.ndarray
    log_evidence: float
    log_evidence_mcse: float
    pareto_k: float
    effective_size: float

    def expectation(self, fn: Callable[[np.ndarray], Any]) -> np.ndarray:
        """The self-normalised estimate of ``E[fn(z)]``, ``fn`` of all draws to ``[n, ...]``."""
        return np.tensordot(np.exp(self.log_weights), np.asarray(fn(self.draws)), axes=1)

    def resampled(self, n: int, seed: int = 0, scheme: Scheme = "systematic") -> np.ndarray:
        """Draws ``[n, ...]`` of equal weight, in random order; the same draw may occur often."""
        key = random.key(seed, "resample")
        taken = resample(tf.constant(self.log_weights), key, scheme, n).numpy()
        order = np.argsort(random.uniform((n,), random.fold_in(key, "order"), "float64").numpy())
        return self.draws[taken[order]]


@sums_in_order()
def importance_sampling(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    proposal: Any,
    n: int,
    seed: int = 0,
    *,
    smooth: bool = True,
    batch_size: int = BATCH,
    on_batch: Callable[[int, int], None] | None = None,
) -> Importance:
    """Draws z of a proposal q with weights in proportion to ``p(z) / q(z)``.

    Args:
        log_density: From points ``[m, ...]`` to log densities ``[m]`` in nats, up to a constant.
        proposal: q: a tfd distribution, or what has ``sample(n, key)`` and ``log_prob(z)``. It must
            be positive wherever p is, and have tails as heavy.
        n: How many draws.
        seed: Of all random numbers.
        smooth: Replace the largest weights by what their Pareto fit expects of them, which is less
            noisy; the evidence is of the raw weights either way.
        batch_size: Draws that are looked at together.
        on_batch: Called after each batch with the draws made and wanted.

    Raises:
        OptionsError: If n or the batch size is no positive integer.
        ModelError: If the density is NaN or infinite at a draw, or zero at all.

    Example:
        ```python
        found = importance_sampling(lambda z: -0.5 * z**2, tfd.StudentT(5.0, 0.0, 1.0), 10_000)
        found.log_evidence, found.expectation(np.square), found.pareto_k
        ```
    """
    check_whole("n", n)
    check_whole("batch_size", batch_size)
    size = min(n, batch_size)
    ratios = compiled_ratios(log_density, as_proposal(proposal), size)
    key = random.key(seed, "importance")
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in range(math.ceil(n / size)):
        z, raw = ratios(random.fold_in(key, batch))
        parts.append((z.numpy(), raw.numpy()))
        if on_batch is not None:
            on_batch(min(n, (batch + 1) * size), n)
    draws, raw = (np.concatenate(part)[:n] for part in zip(*parts, strict=True))
    return weighted(draws, raw, smooth=smooth)


def weighted(draws: np.ndarray, log_ratios: np.ndarray, *, smooth: bool = True) -> Importance:
    """What draws and their log ratios of density to proposal say.

    Args:
        draws: ``[n, ...]``.
        log_ratios: ``[n]``, in nats.
        smooth: As in ``importance_sampling``.

    Raises:
        ModelError: If a ratio is NaN or infinite, or all densities are zero.
    """
    highest = log_ratios.max()
    if not np.isfinite(highest):
        raise ModelError(
            "The log density must be a number below infinity at each draw of the proposal, and "
            f"positive at one. Received: {np.array2string(log_ratios, threshold=8)}."
        )
    n = len(log_ratios)
    log_evidence = float(special.logsumexp(log_ratios)) - math.log(n)
    relative = np.exp(log_ratios - log_evidence)  # of mean one
    normalised = log_ratios - log_evidence - math.log(n)
    log_weights = pareto.smoothed(log_ratios) if smooth else normalised
    return Importance(
        draws=draws,
        log_weights=log_weights,
        log_evidence=log_evidence,
        log_evidence_mcse=float(relative.std() / math.sqrt(n)),  # by the delta method
        pareto_k=pareto.pareto_k(log_ratios),
        effective_size=float(np.exp(-special.logsumexp(2.0 * log_weights))),
    )
