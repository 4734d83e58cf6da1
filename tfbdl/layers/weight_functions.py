"""Functions that make the distribution of a weight, as objects that a file can keep.

They follow the protocol of ``tfp.layers``: ``fn(dtype, shape, name, trainable, add_variable_fn)``
gives a ``tfd.Distribution`` of event shape ``shape``, and makes each weight of its own by
``add_variable_fn(name=..., shape=..., initializer=..., ...)``. A layer calls it once when it is
built, and again at each call with the present values of those weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .configs import config_of

AddVariable = Callable[..., tf.Tensor]

LOC_INITIALIZER = keras.initializers.RandomNormal(stddev=0.1)
RAW_SCALE_INITIALIZER = keras.initializers.RandomNormal(mean=-3.0, stddev=0.1)
"""Of TFP. Without a seed they draw anew for each weight."""


class WeightFunction:
    """Base of the functions that make distributions; a subclass has ``__call__``.

    Its constructor's arguments are its only state, and ``get_config`` gives them.

    Attributes:
        supports_jit: Whether XLA can compile what is made.
    """

    supports_jit = False

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        """The distribution of one weight.

        Args:
            dtype: A ``tf.DType`` of at least 32 bits.
            shape: Of the weight.
            name: With which the names of its own weights begin.
            trainable: Whether these train.
            add_variable_fn: Makes a weight, or hands back its value.
        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__.")

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of ``get_config``."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LocScaleWeights:
    """Weights ``NAME_loc`` and ``NAME_untransformed_scale`` behind a location and a scale.

    ``scale = eps + softplus(untransformed_scale)`` with the machine epsilon of the dtype.

    Args:
        is_singular: Whether there is a location alone; the scale is then None.
        loc_initializer: Of the locations.
        untransformed_scale_initializer: Of the raw scales.
        loc_regularizer, untransformed_scale_regularizer: As Keras takes them.
        loc_constraint, untransformed_scale_constraint: As Keras takes them.
    """

    def __init__(
        self,
        is_singular: bool = False,
        loc_initializer: Any = LOC_INITIALIZER,
        untransformed_scale_initializer: Any = RAW_SCALE_INITIALIZER,
        loc_regularizer: Any = None,
        untransformed_scale_regularizer: Any = None,
        loc_constraint: Any = None,
        untransformed_scale_constraint: Any = None,
    ) -> None:
        self.is_singular = bool(is_singular)
        self.loc_initializer = keras.initializers.get(loc_initializer)
        self.untransformed_scale_initializer = keras.initializers.get(
            untransformed_scale_initializer
        )
        self.loc_regularizer = keras.regularizers.get(loc_regularizer)
        self.untransformed_scale_regularizer = keras.regularizers.get(
            untransformed_scale_regularizer
        )
        self.loc_constraint = keras.constraints.get(loc_constraint)
        self.untransformed_scale_constraint = keras.constraints.get(untransformed_scale_constraint)

    def loc_and_scale(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Location and scale of one weight, both of its shape."""
        dtype = tf.as_dtype(dtype)

        def add(part: str) -> tf.Tensor:
            return add_variable_fn(
                name=f"{name}_{part}",
                shape=shape,
                dtype=dtype,
                initializer=getattr(self, f"{part}_initializer"),
                regularizer=getattr(self, f"{part}_regularizer"),
                constraint=getattr(self, f"{part}_constraint"),
                trainable=trainable,
            )

        loc = add("loc")
        if self.is_singular:
            return loc, None
        return loc, positive(add("untransformed_scale"), dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as plain values."""
        config: dict[str, Any] = {"is_singular": self.is_singular}
        for part in ("loc", "untransformed_scale"):
            for role in ("initializer", "regularizer", "constraint"):
                name = f"{part}_{role}"
                config[name] = config_of(getattr(self, name), name)
        return config

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'is_singular=True' if self.is_singular else ''})"


def positive(raw: tf.Tensor, dtype: Any) -> tf.Tensor:
    """From a raw scale to a scale above zero: ``eps + softplus(raw)``."""
    eps = np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps
    return tf.constant(eps, dtype) + tf.nn.softplus(raw)


class LocScale(LocScaleWeights):
    """A location and a scale, for functions of one's own that make a distribution of them.

    Args:
        As for LocScaleWeights.
    """

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See ``loc_and_scale``."""
        return self.loc_and_scale(dtype, shape, name, trainable, add_variable_fn)


@keras.saving.register_keras_serializable(package="tfbdl")
class MeanFieldNormal(LocScaleWeights, WeightFunction):
    """Independent normals with learned locations and scales, or points where ``is_singular``.

    Args:
        As for LocScaleWeights.

    References:
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    supports_jit = True

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        loc, scale = self.loc_and_scale(dtype, shape, name, trainable, add_variable_fn)
        element = tfd.Deterministic(loc) if scale is None else tfd.Normal(loc, scale)
        return tfd.Independent(element, reinterpreted_batch_ndims=len(tuple(shape)))


@keras.saving.register_keras_serializable(package="tfbdl")
class StandardNormal(WeightFunction):
    """Independent standard normals: the default prior, which has no weights."""

    supports_jit = True

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        element = tfd.Normal(tf.zeros(tuple(shape), dtype), tf.ones((), dtype))
        return tfd.Independent(element, reinterpreted_batch_ndims=len(tuple(shape)))


# What users of tfp.layers write.
default_loc_scale_fn = LocScale
default_mean_field_normal_fn = MeanFieldNormal
default_multivariate_normal_fn = StandardNormal()
