"""Draws from the posterior of a weight, from the core's random numbers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import random
from ..errors import ModelError


def elementwise_normal(distribution: tfd.Distribution) -> tfd.Normal | None:
    """The normals, one for each element, whose product a distribution is; None if it is none."""
    inner = distribution
    while isinstance(inner, tfd.Independent):
        inner = inner.distribution
    if isinstance(inner, tfd.Sample) and inner.distribution.batch_shape.rank == 0:
        inner = inner.distribution
    return inner if isinstance(inner, tfd.Normal) else None


def normal_moments(distribution: tfd.Distribution, who: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of each element, for estimators that need normals.

    Args:
        distribution: Of one weight.
        who: Needs them.

    Raises:
        ModelError: If the distribution has another form.
    """
    normal = elementwise_normal(distribution)
    if normal is None:
        raise ModelError(
            f"{who} needs a posterior of independent normals: a tfd.Normal in a tfd.Independent, "
            "such as default_mean_field_normal_fn() makes. A layer ...Reparameterization takes "
            f"any. Received: {distribution!r}."
        )
    shape = distribution.batch_shape.concatenate(distribution.event_shape)
    return tf.broadcast_to(normal.loc, shape), tf.broadcast_to(normal.scale, shape)


def sample(distribution: tfd.Distribution, key: tf.Tensor) -> tf.Tensor:
    """One draw, through which gradients flow where the distribution allows it.

    Normals come from the core's generator, equal in eager, graph and XLA; others from TFP, with a
    stateless seed made of the key.

    Args:
        distribution: Of one weight.
        key: ``[2]``.
    """
    inner = distribution
    while isinstance(inner, tfd.Independent):
        inner = inner.distribution
    if isinstance(inner, tfd.Deterministic):
        return tf.convert_to_tensor(inner.loc)
    if not isinstance(inner, tfd.Normal):
        return distribution.sample(seed=tf.bitcast(key, tf.int32))
    known = inner.batch_shape
    shape = known if known.is_fully_defined() else inner.batch_shape_tensor()
    return inner.loc + inner.scale * random.normal(shape, key, inner.dtype)


@keras.saving.register_keras_serializable(package="tfbdl")
class Sample:
    """The default ``posterior_tensor_fn``: a draw.

    A layer gives it the key of the call; without one it is TFP's ``d.sample()``.
    """

    def __call__(self, distribution: tfd.Distribution, key: tf.Tensor | None = None) -> tf.Tensor:
        """One draw of a weight, or of what an estimator puts in its place."""
        return distribution.sample() if key is None else sample(distribution, key)

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sample:
        """The inverse of ``get_config``."""
        return cls(**config)


def representative(
    tensor_fn: Any, distribution: tfd.Distribution, key: tf.Tensor, dtype: Any
) -> tf.Tensor:
    """The tensor that stands for a distribution in one call, as ``posterior_tensor_fn`` says."""
    if isinstance(tensor_fn, Sample):
        return tensor_fn(distribution, key)
    return tf.cast(tf.convert_to_tensor(tensor_fn(distribution)), dtype)
