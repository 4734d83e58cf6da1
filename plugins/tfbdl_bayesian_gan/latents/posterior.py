"""Draws of z given rows, by Hamiltonian Monte Carlo through the generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.mcmc import lockstep, transitions
from tfbdl.inference.mcmc.lockstep import Lockstep, with_room
from tfbdl.inference.reparameterizations import gumbel_of_uniform
from tfbdl.posterior import Posterior

from .base import LatentPrior
from .encoder import rows_of


def posterior_latents(
    x: Any,
    generator: Callable[..., Any],
    prior: LatentPrior,
    *,
    noise: float = 0.1,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    num_leapfrog: int = 10,
    candidates: int = 64,
    target_accept: float = 0.8,
    seed: int = 0,
) -> Posterior:
    r"""Draws from ``p(z | x) \propto p(z) N(x; G(z), noise^2 I)`` of each row.

    A generator has no likelihood of its own; ``noise`` says how far a row may lie from what z
    generates. All rows and chains run at once in one XLA program, each with a step size and a mass
    matrix of its own. Each chain begins at one of ``candidates`` draws from the prior, chosen by
    importance resampling, so that chains find modes that lie apart.

    Args:
        x: Rows ``[n, ...]``, of the generator's shape.
        generator: From z ``[m, d]`` to rows ``[m, ...]``; a Keras net runs as after training.
        prior: Of z. Where it has bounds, HMC moves in an unbounded space.
        noise: Standard deviation, above 0.
        chains: Of each row.
        warmup: Transitions that adapt and are not kept.
        draws: Of each chain that are kept.
        num_leapfrog: Mean number of steps of a trajectory.
        candidates: Draws from the prior that a chain's start is chosen from; 1: the start is a
            draw from the prior.
        target_accept: Mean acceptance that the step sizes aim at.
        seed: Of all noise.

    Returns:
        ``draws["z"]``: ``[chain, draw, n, d]``; ``sample_stats``: ``acceptance_rate`` and ``lp``,
        means over the rows, and ``diverging``: whether any row's trajectory did.

    Raises:
        OptionsError: If ``noise`` is not above 0, or a count is below 1.
        DataError: If the rows have another shape than the generator's, or are not finite.

    References:
        Neal 2011, "MCMC using Hamiltonian dynamics".
    """
    counts = {"chains": chains, "draws": draws, "candidates": candidates}
    if noise <= 0 or min(counts.values()) < 1:
        raise OptionsError(
            "Expected: noise above 0, and counts of at least 1. "
            f"Received: noise={noise}, {', '.join(f'{k}={v}' for k, v in counts.items())}."
        )
    target = LatentTarget(x, generator, prior, noise, chains)
    size = chains * target.num_rows
    keys = random.split(random.key(seed, "latents"), size)
    kernel = Lockstep(
        target.log_prob_and_gradient,
        transitions.hmc(num_leapfrog),
        warmup=warmup,
        target_accept=target_accept,
        stats=lockstep.HAMILTONIAN_STATS,
    )
    start = target.starts(candidates, random.key(seed, "latents", "start"))
    state = with_room(kernel.start(start, keys), draws)
    last = tf.constant(warmup + draws)
    state = kernel.advance(state, keys, last, last)
    grid = (draws, chains, target.num_rows)
    z = target.constrain(state.draws[:-1]).numpy().reshape(*grid, -1)
    figures = dict(
        zip(lockstep.HAMILTONIAN_STATS, np.moveaxis(state.stats[:-1].numpy(), -1, 0), strict=True)
    )
    by_row = {name: value.reshape(grid) for name, value in figures.items()}
    stats = {name: by_row[name].mean(axis=-1).T for name in ("acceptance_rate", "lp")}
    stats["diverging"] = (by_row["diverging"] > 0).any(axis=-1).T
    return Posterior({"z": np.swapaxes(z, 0, 1)}, stats)


class LatentTarget:
    """``log p(z) + log N(x; G(z), noise^2 I)`` of a state for each chain and row.

    Args:
        x, generator, prior, noise, chains: As for ``posterior_latents``.
    """

    def __init__(
        self,
        x: Any,
        generator: Callable[..., Any],
        prior: LatentPrior,
        noise: float,
        chains: int,
    ) -> None:
        self.generator, self.prior, self.noise = generator, prior, noise
        rows = tf.convert_to_tensor(x, "float32")
        made = rows_of(generator, prior.sample(1, random.key(0)))
        if rows.shape.rank != made.shape.rank or rows.shape[1:] != made.shape[1:]:
            raise DataError(
                f"The rows must be of the generator's shape, {made.shape[1:]}. "
                f"Received: {rows.shape[1:]}."
            )
        if not np.isfinite(rows.numpy()).all():
            raise DataError("The rows must be finite. Received: NaN or infinite values.")
        self.num_rows = int(rows.shape[0])
        self.rows = tf.tile(rows, [chains, *[1] * (rows.shape.rank - 1)])

    def constrain(self, u: tf.Tensor) -> tf.Tensor:
        """From states ``[..., d]`` of the sampler to z."""
        return u if self.prior.bijector is None else self.prior.bijector.forward(u)

    def log_prob(self, u: tf.Tensor) -> tf.Tensor:
        """The log density of states ``[m, d]``, one for each row and chain: ``[m]``."""
        z = self.constrain(u)
        density = self.prior.log_prob(z) + self.log_likelihood(z, self.rows)
        if self.prior.bijector is not None:
            density += self.prior.bijector.forward_log_det_jacobian(u, event_ndims=1)
        return density

    def log_prob_and_gradient(self, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log density and its gradient ``[m, d]``."""
        with tf.GradientTape() as tape:
            tape.watch(u)
            density = self.log_prob(u)
        return density, tape.gradient(density, u)

    def log_likelihood(self, z: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """``log N(x; G(z), noise^2 I)``: ``[m]``."""
        away = tf.reshape((rows - rows_of(self.generator, z)) / self.noise, [rows.shape[0], -1])
        norm = away.shape[1] * (math.log(self.noise) + 0.5 * math.log(2.0 * math.pi))
        return -0.5 * tf.reduce_sum(tf.square(away), axis=-1) - norm

    def starts(self, candidates: int, key: tf.Tensor) -> tf.Tensor:
        """A state for each chain and row, of draws from the prior: ``[m, d]``."""
        size = self.rows.shape[0]
        scores, offers = [], []
        for one in tf.unstack(random.split(key, candidates)):
            z_key, choice = tf.unstack(random.split(one, 2))
            z = self.prior.sample(size, z_key)
            gumbel = gumbel_of_uniform(random.uniform([size], choice))
            scores.append(self.log_likelihood(z, self.rows) + gumbel)
            offers.append(z)
        best = tf.argmax(tf.stack(scores), axis=0)
        chosen = tf.gather(tf.stack(offers, axis=1), best, batch_dims=1)
        return chosen if self.prior.bijector is None else self.prior.bijector.inverse(chosen)
