"""Pathfinder: draws from normals along the paths of an optimiser, resampled by their weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import TfbdlWarning
from tfbdl.inference import pareto, pathfinder
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.starts import starting_points
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from .laplace import epsilon_of, value_of
from .pathfinder_config import PathfinderOptions
from .precision import computing_in


class Pathfinder:
    """Quasi-Newton variational inference, over any log joint.

    Args:
        options: See PathfinderOptions.

    References:
        Zhang et al. 2022, "Pathfinder: Parallel quasi-Newton variational inference", JMLR 23.
    """

    def __init__(self, options: PathfinderOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Approximate the model's posterior given the data.

        Raises:
            ModelError: If the density is not finite at a start, or a path yields no normal.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        with computing_in(self.options.dtype, model, data) as (model, data):
            target = FlatTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
            return self._approximated(target, context)

    def _approximated(self, target: FlatTarget, context: Context) -> EngineResult:
        options = self.options
        value, log_densities = value_of(target), _log_densities_of(target)
        seeds = np.random.SeedSequence([context.seed, 0]).spawn(options.paths + 2)
        starts = self._starts(target, context.seed, np.random.default_rng(seeds[-1]))
        paths = []
        for i, start in enumerate(starts):
            path = pathfinder.one_path(
                value,
                log_densities,
                start,
                np.random.default_rng(seeds[i]),
                draws=options.path_draws,
                elbo_draws=options.elbo_draws,
                history=options.history,
                max_steps=options.max_steps,
                tolerance=max(options.tolerance, 4.0 * epsilon_of(target)),
            )
            paths.append(path)
            if context.on_step is not None:
                reported = {"step": i + 1, "steps": len(starts), "elbo": path.elbo}
                context.on_step(reported)
        found = pathfinder.resampled(paths, options.draws, np.random.default_rng(seeds[-2]))
        if found.pareto_k > pareto.RELIABLE and found.efficiency < 0.5:
            warnings.warn(
                f"The Pareto k of the weights is {found.pareto_k:.2f}, above {pareto.RELIABLE}: "
                "the normals along the paths miss much of the posterior, and the draws are biased. "
                "Use them as starts, or engine='nuts'.",
                TfbdlWarning,
                stacklevel=2,
            )
        states = target.constrain(tf.constant(found.draws, target.dtype))
        draws = {name: draw.numpy()[np.newaxis] for name, draw in states.items()}
        best = max(paths, key=lambda path: path.elbo)
        metrics = {
            "elbo": best.elbo,
            "log_evidence": found.log_evidence,
            "efficiency": found.efficiency,
        }
        if np.isfinite(found.pareto_k):  # not where the weights are all alike
            metrics["pareto_k"] = found.pareto_k
        return EngineResult(
            posterior=Posterior(draws, independent=True),
            history={"lp": best.trace},
            metrics=metrics,
        )

    def _starts(self, target: FlatTarget, seed: int, rng: np.random.Generator) -> np.ndarray:
        options = self.options
        if options.start == "uniform":
            return rng.uniform(-2.0, 2.0, (options.paths, target.dim))
        states = starting_points(target, options.start, options.paths, seed)
        return np.asarray(states, np.float64)


def _log_densities_of(target: FlatTarget) -> Callable[[np.ndarray], np.ndarray]:
    compiled = tf.function(target.log_prob, autograph=False)

    def log_densities(z: np.ndarray) -> np.ndarray:
        return np.asarray(compiled(tf.constant(z, target.dtype)), np.float64)

    return log_densities
