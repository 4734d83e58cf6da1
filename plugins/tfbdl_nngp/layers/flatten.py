"""Flatten: all places of an image as units of one vector."""

from __future__ import annotations

import tensorflow as tf

from .base import Covariances, Flow, Layer, diagonal_of_places


class Flatten(Layer):
    """Each place has weights of its own after it: covariances between places do not count."""

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        return before._replace(spatial=False)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        if not before.places:
            return before

        def mean(part: tf.Tensor) -> tf.Tensor:
            own = diagonal_of_places(part) if before.places == 4 else part
            return tf.reduce_mean(own, axis=[-2, -1])

        return before.linear(mean, places=0)
