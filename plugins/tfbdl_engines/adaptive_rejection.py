"""Adaptive rejection sampling: one log-concave parameter exactly, several in turn.

References:
    Gilks & Wild 1992, "Adaptive Rejection Sampling for Gibbs Sampling".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.data import Dataset
from tfbdl.errors import ModelError
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.inference.monte_carlo.adaptive_rejection import lockstep, sampling, uniforms_of
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult, Params, Site

from .laplace import epsilon_of
from .monte_carlo_config import AdaptiveRejectionOptions
from .precision import computing_in

Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From states ``[chain, D]`` to log densities ``[chain]`` and gradients ``[chain, D]``."""
REPORT_EVERY = 20


class AdaptiveRejection:
    """Of one parameter, independent draws; of several, each in turn given the others.

    The latter makes Markov chains, without a step size and without rejections.

    Args:
        options: See AdaptiveRejectionOptions.
    """

    def __init__(self, options: AdaptiveRejectionOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Draw from the model's posterior given the data.

        Raises:
            ModelError: If the density is not log-concave in a parameter, or bounds of a site are
                not known.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        with computing_in(self.options.dtype, model, data) as (model, data):
            batch, vectorize = full_batch(model, data), is_vectorizable(model)
            over = Constrained(model) if self.options.space == "constrained" else model
            target = FlatTarget(over, batch, vectorize=vectorize)
            bounds = bounds_of(model) if over is not model else [(-np.inf, np.inf)] * target.dim
            z, metrics = self._drawn(target, bounds, context)
            flat = tf.constant(z.reshape(-1, target.dim), target.dtype)
            draws = {
                name: value.numpy().reshape(*z.shape[:2], *value.shape[1:])
                for name, value in target.constrain(flat).items()
            }
        posterior = Posterior(draws, independent=target.dim == 1)
        return EngineResult(posterior=posterior, metrics=metrics)

    def _drawn(
        self, target: FlatTarget, bounds: list[tuple[float, float]], context: Context
    ) -> tuple[np.ndarray, dict[str, float]]:
        """States ``[chain, draw, D]``, and the figures."""
        compiled = tf.function(target.log_prob_and_gradient, autograph=False)

        def look(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            values, gradients = compiled(tf.constant(z, target.dtype))
            return np.asarray(values, np.float64), np.asarray(gradients, np.float64)

        if target.dim > 1:
            return self._swept(target, bounds, look, context)
        options, epsilon = self.options, epsilon_of(target)
        start = float(target.initial_states(1, context.seed)[0, 0])
        one = sampling(
            options.chains * options.draws,
            uniforms_of(random.key(context.seed, "adaptive rejection")),
            bounds[0],
            _around(start, 1.0, bounds[0]),
            epsilon,
        )
        (found,) = lockstep([one], lambda x: _first(look(x[:, np.newaxis])))
        if context.on_step is not None:
            context.on_step({"step": found.draws.size, "evaluations": found.evaluations})
        z = found.draws.reshape(options.chains, options.draws, 1)
        return z, {
            "acceptance_rate": found.acceptance_rate,
            "evaluations": float(found.evaluations),
            "log_evidence": float(np.logaddexp(*found.log_bounds) - np.log(2.0)),
        }

    def _swept(
        self,
        target: FlatTarget,
        bounds: list[tuple[float, float]],
        look: Look,
        context: Context,
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Gibbs sampling: each parameter in turn, of all chains at once."""
        options, epsilon = self.options, epsilon_of(target)
        state = np.array(target.initial_states(options.chains, context.seed), np.float64)
        keys = random.split(random.key(context.seed, "adaptive rejection"), options.chains)
        sweeps, evaluations = options.warmup + options.draws, 0
        kept = np.empty((options.chains, sweeps, target.dim))
        for sweep in range(sweeps):
            now = random.fold_in(keys, sweep)
            chances = random.uniform((target.dim, BATCHES, 3), now, "float64").numpy()
            scales = _scales(kept[:, :sweep])
            for i, bound in enumerate(bounds):
                ones = [
                    sampling(
                        1,
                        _given(chances[c, i]),
                        bound,
                        _around(state[c, i], scales[i], bound),
                        epsilon,
                    )
                    for c in range(options.chains)
                ]
                found = lockstep(ones, _along(look, state, i))
                state[:, i] = [one.draws[0] for one in found]
                evaluations += sum(one.evaluations for one in found)
            kept[:, sweep] = state
            if context.on_step is not None and (sweep + 1) % REPORT_EVERY == 0:
                context.on_step({"step": sweep + 1, "steps": sweeps})
        draws = options.chains * sweeps * target.dim
        return kept[:, options.warmup :], {"evaluations_mean": evaluations / draws}


BATCHES = 64
"""Candidates of one draw, beyond which its chances repeat: each but the first is of a hull that
one look has made tighter."""


class Constrained:
    """A model whose sites are flat as they are, without bijectors or Jacobians."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.vectorized = getattr(model, "vectorized", False)
        self.sites: tuple[Site, ...] = tuple(s._replace(bijector=None) for s in model.sites)

    def init(self, seed: int) -> Params:
        """A starting state."""
        start: Params = self.model.init(seed)
        return start

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """The log joint of one state."""
        return self.model.log_joint(params, batch)

    def log_joints(self, params: Params, batch: Any) -> tf.Tensor:
        """The log joint of many states, where the model takes them."""
        return self.model.log_joints(params, batch)


def bounds_of(model: Any) -> list[tuple[float, float]]:
    """The range of each number of a model's sites, in order.

    Raises:
        ModelError: If a site's range is none of an interval for each number.
    """
    found: list[tuple[float, float]] = []
    for site in model.sites:
        pair = (-np.inf, np.inf)
        if site.bijector is not None:
            ends = tf.constant([-np.inf, np.inf], site.dtype)
            single = site.bijector.forward_min_event_ndims == 0
            low, high = sorted(site.bijector.forward(ends).numpy()) if single else (np.nan, np.nan)
            pair = (float(low), float(high))
        if not pair[0] < pair[1]:
            raise ModelError(
                f"Adaptive rejection needs an interval for each number of the site {site.name!r}; "
                f"the bijector {site.bijector.name!r} gives {pair}. Use space='unconstrained', or "
                "another engine."
            )
        found += [pair] * int(np.prod(site.shape, dtype=int))
    return found


def _around(x: float, scale: float, bounds: tuple[float, float]) -> list[float]:
    """A point below and one above, between the bounds."""
    low, high = bounds
    below = x - scale if x - scale > low else 0.5 * (x + low)
    above = x + scale if x + scale < high else 0.5 * (x + high)
    return [below, above]


def _scales(kept: np.ndarray) -> np.ndarray:
    """The spread of each parameter so far, ``[D]``; 1 at first."""
    if kept.shape[1] < 10:
        return np.ones(kept.shape[2])
    spread = kept[:, -200:].std(axis=(0, 1))
    return np.where(spread > 0.0, spread, 1.0)


def _given(chances: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """Chances ``[batch, 3]`` as ``sampling`` asks for them, one candidate at a time."""
    return lambda count, batch: chances[[batch % len(chances)]]


def _along(look: Look, state: np.ndarray, i: int) -> Look:
    """The log density and its slope in one parameter, of points ``[chain]``."""

    def at(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = state.copy()
        z[:, i] = points
        values, gradients = look(z)
        return values, gradients[:, i]

    return at


def _first(found: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return found[0], found[1][:, 0]
