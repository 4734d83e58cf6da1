"""Rejection and importance sampling of any log joint: independent candidates, no chains."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import TfbdlWarning
from tfbdl.inference import pareto
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.inference.monte_carlo.importance import importance_sampling
from tfbdl.inference.monte_carlo.proposals import Elliptical, Prior, Proposal, gaussian_at_mode
from tfbdl.inference.monte_carlo.rejection import highest_ratio, rejection_sampling
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult
from tfbdl.weighted import WeightedPosterior

from .laplace import epsilon_of
from .monte_carlo_config import ImportanceOptions, ProposalOptions, RejectionOptions
from .precision import computing_in


class Rejection:
    """Independent draws, by candidates below a multiple of the proposal.

    Args:
        options: See RejectionOptions.
    """

    def __init__(self, options: RejectionOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Draw from the model's posterior given the data.

        Raises:
            ModelError: If a candidate lies above the bound, too few are taken, or the proposal
                cannot be had.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        options = self.options
        with computing_in(options.dtype, model, data) as (model, data):
            target = FlatTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
            proposal = proposal_of(target, options, context)
            log_bound = options.log_bound
            if log_bound is None:
                log_bound = highest_ratio(target.log_prob, proposal, context.seed)
                log_bound += 1e-6 * (1.0 + abs(log_bound))
            found = rejection_sampling(
                target.log_prob,
                proposal,
                log_bound,
                options.draws,
                context.seed,
                batch_size=options.at_once,
                max_candidates=options.max_candidates,
                on_batch=reporting(context, options.draws),
            )
            draws = constrained(target, found.draws)
        metrics = {
            "acceptance_rate": found.acceptance_rate,
            "log_bound": log_bound,
            "log_evidence": found.log_evidence,
            "candidates": float(found.candidates),
        }
        posterior = Posterior({n: v[np.newaxis] for n, v in draws.items()}, independent=True)
        return EngineResult(posterior=posterior, metrics=metrics)


class Importance:
    """Draws of a proposal, weighted; draws of equal weight are chosen from them.

    Args:
        options: See ImportanceOptions.
    """

    def __init__(self, options: ImportanceOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Approximate the model's posterior given the data.

        Raises:
            ModelError: If the density is NaN or infinite at a draw, or the proposal cannot be had.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        options = self.options
        with computing_in(options.dtype, model, data) as (model, data):
            target = FlatTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
            found = importance_sampling(
                target.log_prob,
                proposal_of(target, options, context),
                options.samples,
                context.seed,
                smooth=options.smoothing,
                batch_size=options.at_once,
                on_batch=reporting(context, options.samples),
            )
            equal = found.resampled(options.draws, context.seed, options.resampling)
            draws, weighted = constrained(target, equal), constrained(target, found.draws)
        if found.pareto_k > pareto.RELIABLE:
            warnings.warn(
                f"Pareto k-hat is {found.pareto_k:.2f}, above {pareto.RELIABLE}: a few weights "
                "decide everything, and neither the draws nor the evidence can be relied on. Use a "
                "Student t with fewer degrees, another proposal, or smc.",
                TfbdlWarning,
                stacklevel=2,
            )
        metrics = {
            "log_evidence": found.log_evidence,
            "log_evidence_mcse": found.log_evidence_mcse,
            "effective_size": found.effective_size,
            "pareto_k": found.pareto_k,
        }
        posterior = WeightedPosterior(
            {n: v[np.newaxis] for n, v in draws.items()}, weighted, found.log_weights
        )
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        return EngineResult(posterior=posterior, metrics=finite)


def proposal_of(target: FlatTarget, options: ProposalOptions, context: Context) -> Proposal:
    """What the options ask for."""
    if options.proposal == "prior":
        return Prior(target)
    gaussian = gaussian_at_mode(target, context.seed, epsilon=epsilon_of(target))
    degrees = options.degrees if options.proposal == "student_t" else None
    return Elliptical(gaussian, degrees, target.dtype)


def constrained(target: FlatTarget, z: np.ndarray) -> dict[str, np.ndarray]:
    """Site name -> ``[n, ...]``, of flat states ``[n, D]``."""
    values = target.constrain(tf.constant(z, target.dtype))
    return {name: value.numpy() for name, value in values.items()}


def reporting(context: Context, wanted: int) -> Callable[[int, int], None] | None:
    """What is called after each batch, with how many draws there are; None if nobody listens."""
    on_step = context.on_step
    if on_step is None:
        return None

    def report(done: int, _: int) -> None:
        on_step({"step": done, "steps": wanted})

    return report
