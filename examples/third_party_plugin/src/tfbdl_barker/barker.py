"""One step of Metropolis-Hastings with Barker's proposal, as pure functions.

References:
    Livingstone and Zanella 2022, "The Barker proposal", Journal of the Royal Statistical Society B.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfbdl import random

Density = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""From states ``[chain, d]`` to log densities ``[chain]`` and gradients ``[chain, d]``."""


def propose(
    state: tf.Tensor, gradient: tf.Tensor, noise: tf.Tensor, uniform: tf.Tensor
) -> tf.Tensor:
    """y = x + b z, with b = 1 of probability sigmoid(z * gradient), else -1 (algorithm 1)."""
    forward = uniform < tf.sigmoid(noise * gradient)
    return state + tf.where(forward, noise, -noise)


def log_acceptance(
    state: tf.Tensor,
    log_prob: tf.Tensor,
    gradient: tf.Tensor,
    proposal: tf.Tensor,
    new_log_prob: tf.Tensor,
    new_gradient: tf.Tensor,
) -> tf.Tensor:
    """log alpha(x, y), up to the minimum with 0 (section 3): ``[chain]``.

    pi(y) / pi(x) * prod_i (1 + exp((x - y)_i g_i(x))) / (1 + exp((y - x)_i g_i(y))).
    """
    change = state - proposal
    correction = tf.nn.softplus(change * gradient) - tf.nn.softplus(-change * new_gradient)
    return new_log_prob - log_prob + tf.reduce_sum(correction, axis=-1)


def sample(
    density: Density, state: tf.Tensor, step_size: float, num_steps: tf.Tensor, key: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Take ``num_steps`` steps.

    Args:
        density: The target.
        state: ``[chain, d]``.
        step_size: The standard deviation sigma of z.
        num_steps: How many steps.
        key: ``[2]``, as tfbdl.random makes it.

    Returns:
        The last state, and the share of proposals accepted by each chain, ``[chain]``.
    """
    log_prob, gradient = density(state)
    accepted = tf.zeros_like(log_prob)
    for step in tf.range(num_steps):
        keys = random.split(random.fold_in(key, step), 3)
        noise = step_size * random.normal(state.shape, keys[0], state.dtype)
        proposal = propose(
            state, gradient, noise, random.uniform(state.shape, keys[1], state.dtype)
        )
        new_log_prob, new_gradient = density(proposal)
        log_alpha = log_acceptance(state, log_prob, gradient, proposal, new_log_prob, new_gradient)
        accept = tf.math.log(random.uniform(log_prob.shape, keys[2], state.dtype)) < log_alpha
        state = tf.where(accept[:, tf.newaxis], proposal, state)
        gradient = tf.where(accept[:, tf.newaxis], new_gradient, gradient)
        log_prob = tf.where(accept, new_log_prob, log_prob)
        accepted += tf.cast(accept, state.dtype)
    return state, accepted / tf.cast(num_steps, state.dtype)
