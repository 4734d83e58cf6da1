"""The states in which a truncated sequence leaves the rows of a step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfbdl.inference.surrogate import read


class CarriedStates(keras.layers.Layer):
    """States of the rows of a step, as weights that nothing trains.

    They are stored with the model, so that a run that is resumed goes on in them. Gradients end
    there: it is what truncates back-propagation. Each replica has its own, of its share of rows.

    Args:
        sizes: Of the states.
        streams: Rows of a step, at most.
        **kwargs: Of ``keras.layers.Layer``.
    """

    def __init__(self, sizes: Sequence[int], streams: int, **kwargs: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.streams = streams
        self.carried = [
            keras.Variable(
                "zeros",
                shape=(streams, size),
                dtype="float32",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                synchronization="on_read",
                name=f"state_{index}",
            )
            for index, size in enumerate(sizes)
        ]
        self.built = True

    def before(self, fresh: tf.Tensor) -> list[tf.Tensor]:
        """The states ``[b, size]`` before a step; zero where ``fresh [b]`` is 1."""
        rows = tf.shape(fresh)[0]
        begins = fresh[:, tf.newaxis] > 0
        found = [read(variable)[:rows] for variable in self.carried]
        return [tf.where(begins, tf.zeros_like(state), state) for state in found]

    def carry(self, states: Sequence[tf.Tensor]) -> None:
        """Keep the states ``[b, size]`` after a step."""
        for variable, state in zip(self.carried, states, strict=True):
            state = tf.cast(state, variable.dtype)
            rest = read(variable)[tf.shape(state)[0] :]
            variable.assign(tf.ensure_shape(tf.concat([state, rest], axis=0), variable.shape))
