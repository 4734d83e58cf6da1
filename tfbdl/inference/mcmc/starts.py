"""Where chains begin: the model's own start, the prior, the mode, or a normal near it.

References:
    Zhang, Carpenter, Gelman & Vehtari 2022, "Pathfinder", of which ``pathfinder`` keeps the idea:
    of the normals along an optimiser's path, draw from the one with the best ELBO.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import random
from ...errors import ModelError, OptionsError, did_you_mean
from .target import FlatTarget

WAYS = ("model", "prior", "mode", "pathfinder")
ASCENT_STEPS = 500
RATE = 0.05
JITTER = 0.01
PATH_POINTS = 10
PATH_DRAWS = 16


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
            "Use start='model', 'mode' or 'pathfinder'."
        )
    draws = [target.model.sample_prior(seed + chain) for chain in range(chains)]
    return tf.stack([target.unconstrain(draw) for draw in draws])


def _ascend(target: FlatTarget, states: tf.Tensor) -> tf.Tensor:
    """Climb the density by Adam; ``[PATH_POINTS, chain, D]`` points of the way up."""
    every = ASCENT_STEPS // PATH_POINTS

    def body(i: tf.Tensor, z: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> Any:
        _, gradient = target.log_prob_and_gradient(z)
        gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        count = tf.cast(i + 1, z.dtype)
        hat = tf.sqrt(second / (1.0 - 0.99**count)) + 1e-8
        rate = RATE * (1.0 - tf.cast(i, z.dtype) / ASCENT_STEPS) + 1e-3
        return i + 1, z + rate * first / (1.0 - 0.9**count) / hat, first, second

    points = []
    loop = (tf.constant(0), states, tf.zeros_like(states), tf.zeros_like(states))
    for part in range(PATH_POINTS):
        stop = (part + 1) * every
        loop = tf.while_loop(lambda i, *_, stop=stop: i < stop, body, loop)
        points.append(loop[1])
    return tf.stack(points)


def _best_normal(target: FlatTarget, path: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Draw each chain from the diagonal normal on its path that has the largest ELBO."""
    curvature = _curvature(target, path)
    scale = 1.0 / tf.sqrt(tf.maximum(curvature, 1e-6))
    noise = random.normal((PATH_DRAWS, target.dim), keys, target.dtype)  # [chain, draw, D]
    elbos, firsts = [], []
    for point, width in zip(tf.unstack(path), tf.unstack(scale), strict=True):
        draws = point[:, tf.newaxis] + width[:, tf.newaxis] * noise
        log_prob = target.log_prob(tf.reshape(draws, (-1, target.dim)))
        log_prob = tf.reshape(log_prob, draws.shape[:2])
        entropy = tf.reduce_sum(tf.math.log(width), -1)
        mean = tf.reduce_mean(tf.where(tf.math.is_finite(log_prob), log_prob, -1e30), -1)
        elbos.append(mean + entropy)
        firsts.append(draws[:, 0])
    best = tf.argmax(tf.stack(elbos), axis=0, output_type=tf.int32)
    chains = tf.range(tf.shape(best)[0])
    return tf.gather_nd(tf.stack(firsts), tf.stack([best, chains], axis=-1))


def _curvature(target: FlatTarget, path: tf.Tensor) -> tf.Tensor:
    """Minus the diagonal of the Hessian, along the path, by Hutchinson's probes."""
    key = random.key(0, "curvature")
    total = tf.zeros_like(path)
    for probe in range(8):
        sign = random.rademacher(path.shape, random.fold_in(key, probe), path.dtype)
        flat = tf.reshape(path, (-1, target.dim))
        step = 1e-3 * tf.reshape(sign, flat.shape)
        change = target.log_prob_and_gradient(flat + step)[1]
        change -= target.log_prob_and_gradient(flat - step)[1]
        total -= tf.reshape(change, path.shape) * sign / 2e-3
    return total / 8.0
