"""One of two states for each chain or member, such as a proposal or what was before."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def choose(condition: tf.Tensor, new: Any, old: Any) -> Any:
    """``new`` where ``condition [chain]`` holds, else ``old``, over nests of ``[chain, ...]``."""

    def pick(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(condition, [-1] + [1] * (a.shape.rank - 1)), a, b)

    return tf.nest.map_structure(pick, new, old)
