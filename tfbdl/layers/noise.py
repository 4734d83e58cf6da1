"""NoisyLayer: a layer whose calls draw fresh noise, the same again from a stored model."""

from __future__ import annotations

import random as python_random
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .. import random
from ..config import check_whole
from ..inference.surrogate import read

_STARTS = 2**47
"""Layers without a seed begin their counts at a random number below this."""


class Call(NamedTuple):
    """What tells the noise of one call of a layer from that of any other.

    Attributes:
        step: The count of the calls before it, an int64 scalar.
        replica: Of a strategy; 0, or a tensor.
    """

    step: tf.Tensor
    replica: Any


class NoisyLayer(keras.layers.Layer):
    """Base of the layers that draw at each call, training or not.

    The noise is a function of the seed, the layer's name, the replica and the non-trainable
    weight ``rng_step``, which counts calls: a model that was stored and loaded goes on as the
    first would have done. Layers of one seed need different names to draw different noise.

    Args:
        seed: From 0; None: the count begins at a number from Python's ``random``, which
            ``keras.utils.set_random_seed`` seeds.
        **kwargs: Of ``keras.layers.Layer``.

    Raises:
        OptionsError: If the seed is no integer of at least 0.
    """

    def __init__(self, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = None if seed is None else check_whole("seed", seed, least=0)

    def build(self, input_shape: Any = None) -> None:
        """Make the count of calls."""
        start = python_random.randrange(_STARTS) if self.seed is None else 0
        self.rng_step = self.add_weight(
            name="rng_step",
            shape=(),
            dtype="int64",
            initializer=lambda shape, dtype=None: tf.constant(start, tf.int64),
            trainable=False,
            autocast=False,
            aggregation="none",  # another would switch replicas amid a call and mix their losses
        )

    def next_call(self) -> Call:
        """Count a call, whose noise no other call has."""
        step = read(self.rng_step)
        self.rng_step.assign_add(tf.ones((), tf.int64))
        return Call(step, random.replica_id())

    def noise_key(self, call: Call, *salts: str) -> tf.Tensor:
        """The key of a call's noise for one purpose: ``[2]``.

        Args:
            call: From ``next_call``.
            *salts: What the noise is for.
        """
        return random.key(self.seed or 0, self.name, *salts, call.replica, call.step)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().get_config(), "seed": self.seed}
