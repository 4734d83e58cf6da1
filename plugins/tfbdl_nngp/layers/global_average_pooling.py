"""GlobalAveragePooling: the mean over all places of an image."""

from __future__ import annotations

import tensorflow as tf

from .base import Covariances, Flow, Layer, require


class GlobalAveragePooling(Layer):
    """The mean over places, which makes a kernel that does not mind where things stand.

    It needs the covariances between all places: memory and time are those of their number squared.
    """

    needs_places = True

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(before.spatial, "Pooling needs images. Received: vectors.")
        return before._replace(spatial=False)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        return before.linear(lambda part: tf.reduce_mean(part, axis=[-4, -3, -2, -1]), places=0)
