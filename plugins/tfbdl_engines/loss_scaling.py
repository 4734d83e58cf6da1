"""Loss scaling: keep the small gradients of a net that computes in float16 from becoming zero.

References:
    Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; the rule is that of Keras'
    ``LossScaleOptimizer``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfbdl import functional
from tfbdl.inference.choice import choose

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000


class Scaling(NamedTuple):
    """By what the loss of each member is multiplied.

    Attributes:
        scale: ``[member]``, at least 1.
        finite: Steps with a finite gradient since the scale last changed, ``[member]``.
    """

    scale: tf.Tensor
    finite: tf.Tensor


def computes_in_half(net: keras.Model) -> bool:
    """Whether a layer of ``net`` computes in float16."""
    return any(layer.compute_dtype == "float16" for layer in functional.layers_of(net))


def start_scaling(members: int) -> Scaling:
    """The scaling before the first step."""
    return Scaling(tf.fill((members,), INITIAL_SCALE), tf.zeros((members,), tf.int32))


def updated(scaling: Scaling, gradient: Any) -> Scaling:
    """Half the scale where the gradient overflowed, twice after many steps where it did not.

    Args:
        scaling: Under which the gradient was computed.
        gradient: A nest of ``[member, ...]``.
    """
    fine = _is_finite(gradient)
    count = tf.where(fine, scaling.finite + 1, 0)
    grow = count >= GROWTH_STEPS
    grown = tf.where(grow, 2.0 * scaling.scale, scaling.scale)
    scale = tf.where(fine, grown, tf.maximum(0.5 * scaling.scale, 1.0))
    return Scaling(scale, tf.where(grow, 0, count))


def kept(scaling: Scaling, gradient: Any, new: Any, old: Any) -> Any:
    """``new`` for members that make the step, ``old`` for those whose gradient overflowed.

    Where the scale is 1 the gradient itself is not finite: the step is made, and the loss says so.

    Args:
        scaling: Under which the gradient was computed.
        gradient, new, old: Nests of ``[member, ...]``.
    """
    takes = _is_finite(gradient) | (scaling.scale <= 1.0)
    return choose(takes, new, old)


def _is_finite(gradient: Any) -> tf.Tensor:
    """Whether all of a member's gradient is finite: ``[member]``."""
    parts = [
        tf.reduce_all(tf.math.is_finite(tf.reshape(g, (g.shape[0], -1))), axis=1)
        for g in tf.nest.flatten(gradient)
    ]
    return tf.reduce_all(tf.stack(parts), axis=0)
