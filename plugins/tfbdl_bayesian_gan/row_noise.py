"""RowNoise: noise on the units of a net while it is trained, from a key and not from a state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import OptionsError

_KEY: ContextVar[tf.Tensor | None] = ContextVar("row_noise_key", default=None)


@contextlib.contextmanager
def drawn_from(key: tf.Tensor | None) -> Iterator[None]:
    """RowNoise layers that run inside draw from this key; with None they do nothing."""
    token = _KEY.set(key)
    try:
        yield
    finally:
        _KEY.reset(token)


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class RowNoise(keras.layers.Layer):
    """Adds ``N(0, stddev^2)`` to each unit of each row, inside ``drawn_from(key)`` alone.

    Unlike ``keras.layers.GaussianNoise`` it keeps no state: rows stay independent given the
    weights, and the noise is a function of the key, the place and the row. Networks that run in one
    graph share it.

    Args:
        stddev: Of the noise, not negative.
        place: Layers of one net with other places draw other noise.
        **kwargs: As for every layer.

    Raises:
        OptionsError: If ``stddev`` is negative.

    References:
        Salimans et al. 2016, "Improved Techniques for Training GANs": the discriminator of MNIST
        has such noise on the inputs and on all hidden units.
    """

    is_vectorizable = True

    def __init__(self, stddev: float, place: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if stddev < 0:
            raise OptionsError(f"stddev of RowNoise must not be negative. Received: {stddev}.")
        self.stddev, self.place = stddev, place

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The rows, with noise where a key is given: the same shape."""
        key = _KEY.get()
        if key is None or not self.stddev:
            return inputs
        noise = random.normal(tf.shape(inputs), random.fold_in(key, self.place), inputs.dtype)
        return inputs + self.stddev * noise

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "stddev": self.stddev, "place": self.place}
