"""Residual: the sum of a branch and a shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from .base import Covariances, Flow, Layer, require


class Residual(Layer):
    """``z = branch(x) + shortcut(x)``; covariances and tangents add up.

    Args:
        branch: Layers, the last weights of which stand after the last activation, so that the
            branch is independent of the shortcut.
        shortcut: Layers likewise; none: x itself.
    """

    def __init__(self, branch: Sequence[Layer], shortcut: Sequence[Layer] = ()) -> None:
        self.branch, self.shortcut = tuple(branch), tuple(shortcut)
        self.needs_places = any(layer.needs_places for layer in (*self.branch, *self.shortcut))

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(
            before.gaussian or bool(self.shortcut),
            "A shortcut adds units of one width. Expected: weights (a dense layer, a convolution) "
            "before a residual block, or in its shortcut. Received: the inputs or an activation.",
        )
        ends = []
        for layers in (self.branch, self.shortcut):
            state = before
            for layer in layers:
                state = layer.flow(state)
            ends.append(state)
        require(
            ends[0].gaussian and bool(self.branch),
            "The branch of a residual block must end in weights. Expected: a dense layer or a "
            "convolution after its last activation. Received: none.",
        )
        require(
            ends[1].gaussian,
            "The shortcut of a residual block must be x itself, or end in weights. "
            "Received: an activation at its end.",
        )
        require(
            ends[0].spatial == ends[1].spatial,
            "Branch and shortcut must both keep the places of an image, or neither. "
            "Received: one of them flattens.",
        )
        return ends[0]

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        first = second = before
        for layer in self.branch:
            first = layer(first)
        for layer in self.shortcut:
            second = layer(second)
        tangent: tf.Tensor | None = None
        if first.tangent is not None and second.tangent is not None:
            tangent = first.tangent + second.tangent
        return replace(
            first,
            cross=first.cross + second.cross,
            first=first.first + second.first,
            second=first.second + second.second,
            tangent=tangent,
        )
