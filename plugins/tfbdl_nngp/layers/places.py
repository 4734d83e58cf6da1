"""Sums over the places of an image, for covariances ``[..., h, w]`` or ``[..., h, w, h', w']``."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfbdl.errors import OptionsError


def pair(name: str, value: Any) -> tuple[int, int]:
    """Two whole numbers from one or two.

    Raises:
        OptionsError: If one is no whole number of at least 1.
    """
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in both)
    if len(both) != 2 or not whole:
        raise OptionsError(
            f"{name} must be a whole number of at least 1, or two of them. Received: {value!r}."
        )
    return both[0], both[1]


def local_mean(
    covariance: tf.Tensor,
    places: int,
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
) -> tf.Tensor:
    """The mean over the filter's offsets, both places of a covariance shifted alike.

    Offsets along height and width are summed one after the other.
    """
    rank = covariance.shape.rank
    for number in (0, 1):
        axes = [rank - places + number]
        if places == 4:
            axes.append(rank - 2 + number)
        covariance = _along(covariance, axes, size[number], strides[number], padding)
    return covariance / (size[0] * size[1])


def _along(
    covariance: tf.Tensor, axes: list[int], size: int, stride: int, padding: str
) -> tf.Tensor:
    """Sum over offsets of one axis of places (of both, moved together)."""
    length = covariance.shape[axes[0]]
    before, after = 0, 0
    if padding == "same":
        missing = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
        before, after = missing // 2, missing - missing // 2
    padded = tf.pad(
        covariance,
        [[before, after] if i in axes else [0, 0] for i in range(covariance.shape.rank)],
    )
    count = (length + before + after - size) // stride + 1
    total = None
    for offset in range(size):
        part = padded
        for axis in axes:
            index = [slice(None)] * covariance.shape.rank
            index[axis] = slice(offset, offset + (count - 1) * stride + 1, stride)
            part = part[tuple(index)]
        total = part if total is None else total + part
    return total


def pooled(
    covariance: tf.Tensor, size: tuple[int, int], strides: tuple[int, int], padding: str
) -> tf.Tensor:
    """The mean over windows of either place of ``[..., h, w, h', w']``; the padding counts not."""
    rank = covariance.shape.rank
    for axis, n, stride in (
        (rank - 4, size[0], strides[0]),
        (rank - 3, size[1], strides[1]),
        (rank - 2, size[0], strides[0]),
        (rank - 1, size[1], strides[1]),
    ):
        total = _along(covariance, [axis], n, stride, padding)
        ones = tf.ones([covariance.shape[axis]], covariance.dtype)
        weight = _along(ones, [0], n, stride, padding)
        shape = [1] * rank
        shape[axis] = weight.shape[0]
        covariance = total / tf.reshape(weight, shape)
    return covariance
