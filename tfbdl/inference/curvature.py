"""The curvature of a log density over a flat, unconstrained vector: minus its Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .. import functional
from ..errors import ModelError
from ..serial import map_serially
from .mcmc.target import FlatTarget

MAX_FULL = 2_000
LANES = 64  # Hessian-vector products at once
NUMBERS = 2**22  # of the activations of all lanes together


def full_curvature(target: FlatTarget) -> Callable[[np.ndarray], np.ndarray]:
    """Minus the Hessian ``[D, D]`` as a function of a point ``[D]``, by two reverse passes.

    Many products of the Hessian with unit vectors are made at once, each in a chain of its own.

    Args:
        target: The density; one that is not vectorised has its products made one by one.

    Raises:
        ModelError: If there are more than ``MAX_FULL`` parameters.
    """
    check_size(target.dim)
    lanes = _lanes(target)
    blocks = math.ceil(target.dim / lanes)
    units = tf.reshape(
        tf.eye(blocks * lanes, target.dim, dtype=target.dtype), (blocks, lanes, target.dim)
    )

    @tf.function(autograph=False)
    def hessian(z: tf.Tensor) -> tf.Tensor:
        def rows(block: tf.Tensor) -> tf.Tensor:
            block = tf.ensure_shape(block, (lanes, target.dim))
            states = tf.broadcast_to(z, (lanes, target.dim))
            with tf.GradientTape() as outer:
                outer.watch(states)
                with tf.GradientTape() as inner:
                    inner.watch(states)
                    value = target.log_prob(states)
                gradient = inner.gradient(
                    value, states, unconnected_gradients=tf.UnconnectedGradients.ZERO
                )
                along = tf.reduce_sum(gradient * block)
            return outer.gradient(along, states, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        if blocks == 1:
            return rows(units[0])
        return tf.reshape(map_serially(rows, units), (-1, target.dim))

    def curvature(z: np.ndarray) -> np.ndarray:
        H = hessian(tf.constant(z, target.dtype)).numpy()[: target.dim].astype(np.float64)
        return -0.5 * (H + H.T)

    return curvature


def check_size(size: int) -> None:
    """Refuse a full curvature that would be too large.

    Raises:
        ModelError: If there are more than ``MAX_FULL`` parameters.
    """
    if size > MAX_FULL:
        gigabytes = 3 * 8.0 * size**2 / 2**30  # curvature, its factor, the covariance
        raise ModelError(
            f"The full curvature of {size:,} parameters would take about {gigabytes:,.1f} GiB and "
            f"as many gradients, and is refused above {MAX_FULL:,}. Use engine='variational' or "
            "an ensemble, or make fewer variables random with sites=."
        )


def _lanes(target: FlatTarget) -> int:
    """How many products are made at once, so that the activations of all fit in the memory."""
    if not (target.vectorize or getattr(target.model, "vectorized", False)):
        return 1
    leaves = [] if target.batch is None else tf.nest.flatten(target.batch)
    rows = max((int(leaf.shape[0]) for leaf in leaves if leaf.shape.rank), default=1)
    size = max(functional.activation_size(getattr(target.model, "net", None)), 1)
    return int(np.clip(NUMBERS // (rows * size), 1, min(LANES, target.dim)))
