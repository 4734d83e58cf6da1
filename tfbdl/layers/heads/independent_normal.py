"""IndependentNormal: a location and a scale for each element."""

from __future__ import annotations

from typing import ClassVar

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...likelihoods.base import Distribution, Tensor
from .independent import IndependentHead


@keras.saving.register_keras_serializable(package="tfbdl")
class IndependentNormal(IndependentHead):
    """Independent normals: ``loc``, then raw scales, of which the scale is the softplus.

    Args:
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Example:
        ```python
        head = tfbdl.layers.IndependentNormal(1)
        model = keras.Sequential([keras.layers.Dense(head.params_size(1)), head])
        model.compile(optimizer="adam", loss=head.loss)
        model.fit(x, y)
        head.distribution(model.predict(x_test)).stddev()  # the noise at each row
        ```
    """

    num_parts: ClassVar[int] = 2

    @staticmethod
    def element(*parts: Tensor, validate_args: bool = False) -> Distribution:
        """See IndependentHead."""
        loc, raw = parts
        return tfd.Normal(loc, tf.math.softplus(raw), validate_args=validate_args)
