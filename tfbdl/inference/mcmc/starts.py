"""Where chains begin: the model's own start, the prior, the mode, or a normal near it.

References:
    Zhang, Carpenter, Gelman & Vehtari 2022, "Pathfinder", of which ``pathfinder`` keeps the idea:
    of the normals along an optimiser's path, draw from the one with the best ELBO.
"""

from __future__ import annotations

import tensorflow as tf

from ... import random
from ...errors import ModelError, OptionsError, did_you_mean
from ...serial import map_serially
from .target import FlatTarget, chain_seeds

WAYS = ("model", "prior", "mode", "pathfinder")
ASCENT_STEPS = 500
RATE = 0.05
JITTER = 0.01
PATH_POINTS = 10
PATH_DRAWS = 16
PROBES = 8
PROBE_STEP = 1e-3


def starting_points(target: FlatTarget, way: str, chains: int, seed: int) -> tf.Tensor:
    """States ``[chain, D]`` for chains to begin at.

    Args:
        target: The density.
        way: ``model``, ``prior``, ``mode`` or ``pathfinder``.
        chains: How many.
        seed: Of all random numbers.

    Raises:
        OptionsError: If there is no such way.
        ModelError: If the model cannot draw from its prior.
    """
    if way not in WAYS:
        raise OptionsError(
            f"start must be one of {', '.join(WAYS)}.{did_you_mean(way, WAYS)} Received: {way!r}."
        )
    if way == "prior":
        states = _from_prior(target, chains, seed)
    else:
        states = target.initial_states(chains, seed)
    if way in ("mode", "pathfinder"):
        path = tf.function(_ascend, jit_compile=True)(target, states)
        keys = random.split(random.key(seed, "starts"), chains)
        if way == "pathfinder":
            states = tf.function(_best_normal, jit_compile=True)(target, path, keys)
        else:
            states = path[-1] + JITTER * random.normal((target.dim,), keys, target.dtype)
    return states


def _from_prior(target: FlatTarget, chains: int, seed: int) -> tf.Tensor:
    if not hasattr(target.model, "sample_prior"):
        raise ModelError(
            f"A {type(target.model).__name__} cannot draw from its prior: it has no sample_prior. "
            "Expected: a BayesianNetwork, a joint distribution, or a model with "
            "sample_prior(seed) -> params. Use start='model', 'mode' or 'pathfinder'."
        )
    seeds = chain_seeds(chains, seed, "starts from the prior")
    draws = [target.model.sample_prior(s) for s in seeds]
    return tf.stack([target.unconstrain(draw) for draw in draws])


def _ascend(target: FlatTarget, states: tf.Tensor) -> tf.Tensor:
    """Climb the density by Adam; ``[PATH_POINTS, chain, D]`` points of the way up."""
    every = ASCENT_STEPS // PATH_POINTS

    def body(
        i: tf.Tensor, z: tf.Tensor, first: tf.Tensor, second: tf.Tensor, path: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        _, gradient = target.log_prob_and_gradient(z)
        gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        count = tf.cast(i + 1, z.dtype)
        hat = tf.sqrt(second / (1.0 - 0.99**count)) + 1e-8
        rate = RATE * (1.0 - tf.cast(i, z.dtype) / ASCENT_STEPS) + 1e-3
        z += rate * first / (1.0 - 0.9**count) / hat
        path = tf.tensor_scatter_nd_update(path, [[i // every]], z[tf.newaxis])
        return i + 1, z, first, second, path

    zeros = tf.zeros_like(states)
    path = tf.zeros((PATH_POINTS, *states.shape), states.dtype)
    loop = (tf.constant(0), states, zeros, zeros, path)
    return tf.while_loop(lambda i, *_: i < ASCENT_STEPS, body, loop)[-1]


def _best_normal(target: FlatTarget, path: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Draw each chain from the diagonal normal on its path that has the largest ELBO."""
    scale = 1.0 / tf.sqrt(tf.maximum(_curvature(target, path), 1e-6))
    noise = random.normal((PATH_DRAWS, target.dim), keys, target.dtype)  # [chain, draw, D]

    def elbo_and_draw(normal: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        point, width = normal
        draws = point[:, tf.newaxis] + width[:, tf.newaxis] * noise
        log_prob = target.log_prob(tf.reshape(draws, (-1, target.dim)))
        log_prob = tf.reshape(log_prob, draws.shape[:2])
        entropy = tf.reduce_sum(tf.math.log(width), -1)
        mean = tf.reduce_mean(tf.where(tf.math.is_finite(log_prob), log_prob, -1e30), -1)
        return mean + entropy, draws[:, 0]

    kinds = (path.dtype, path.dtype)
    elbos, draws = map_serially(elbo_and_draw, (path, scale), kinds)
    best = tf.argmax(elbos, axis=0, output_type=tf.int32)
    return tf.gather_nd(draws, tf.stack([best, tf.range(path.shape[1])], axis=-1))


def _curvature(target: FlatTarget, path: tf.Tensor) -> tf.Tensor:
    """Minus the diagonal of the Hessian, along the path, by Hutchinson's probes."""
    flat = tf.reshape(path, (-1, target.dim))
    keys = random.split(random.key(0, "curvature"), PROBES)
    signs = random.rademacher(flat.shape, keys, path.dtype)

    def probed(sign: tf.Tensor) -> tf.Tensor:
        sides = tf.concat([flat + PROBE_STEP * sign, flat - PROBE_STEP * sign], axis=0)
        up, down = tf.split(target.log_prob_and_gradient(sides)[1], 2)
        return (down - up) * sign / (2.0 * PROBE_STEP)

    total = tf.reduce_mean(map_serially(probed, signs), axis=0)
    return tf.reshape(total, path.shape)
