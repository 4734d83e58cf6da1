"""Sizes and shapes that the heads share: an event's shape, a row's numbers, targets that fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import DataError, OptionsError
from ...likelihoods.base import Distribution, Tensor, as_tensor


def as_event_shape(event_shape: Any) -> tuple[int, ...]:
    """The shape of one draw, from a number, a list, a TensorShape or a constant tensor.

    Raises:
        OptionsError: If it is none, or not known before the layer is built.
    """
    if isinstance(event_shape, tf.TensorShape):
        event_shape = event_shape.as_list() if event_shape.rank is not None else None
    if tf.is_tensor(event_shape):
        event_shape = tf.get_static_value(event_shape)
    try:
        sizes = np.atleast_1d(np.asarray(event_shape))
    except ValueError:
        sizes = np.asarray([None])
    sizes = sizes.astype(int) if sizes.size == 0 else sizes
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise OptionsError(
            "event_shape must be a number or a list of numbers of at least 1, known beforehand, "
            f"such as (), 3 or (28, 28, 1). Received: {event_shape!r}."
        )
    return tuple(int(size) for size in sizes)


def event_size(event_shape: Any) -> int:
    """How many numbers one draw has."""
    return math.prod(as_event_shape(event_shape))


def reshape_last(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """``[..., prod(shape)]`` as ``[..., *shape]``; one size may be -1."""
    lead = tensor.shape[:-1]
    if lead.is_fully_defined():
        return tf.reshape(tensor, [*lead, *shape])
    target = tf.concat([tf.shape(tensor)[:-1], tf.constant(list(shape), tf.int32)], axis=0)
    known = lead.concatenate([None if size < 0 else size for size in shape])
    return tf.ensure_shape(tf.reshape(tensor, target), known)


def as_events(y: Any, law: Distribution) -> Tensor:
    """Targets in the dtype and the shape of one draw for each row of a law.

    A last axis of 1 may be absent or one too many. Nothing else is broadcast: targets ``[n, 1]``
    beside laws of batch shape ``[n]`` would give ``[n, n]``.

    Raises:
        DataError: If the static shapes do not fit.
    """
    y = as_tensor(y, law.dtype)
    shape = law.batch_shape.concatenate(law.event_shape)
    if y.shape.rank is None or shape.rank is None:
        return y
    fitted = y
    if y.shape.rank == shape.rank + 1 and y.shape[-1] == 1:
        fitted = tf.squeeze(y, -1)
    elif y.shape.rank == shape.rank - 1 and shape[-1] == 1:
        fitted = y[..., tf.newaxis]
    if not fitted.shape.is_compatible_with(shape):
        raise DataError(
            f"The targets do not fit the head's outputs. Expected: targets of shape {shape}, "
            f"whose events are {law.event_shape}. Received: {y.shape}."
        )
    return fitted
