"""Priors of weights: one whose parameters are learned, and those of the plugins by name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import distributions
from ..errors import OptionsError
from ..learned import Learned
from .weight_functions import AddVariable, WeightFunction, positive


@keras.saving.register_keras_serializable(package="tfbdl")
class TrainableNormal(WeightFunction):
    """A normal prior that is learned with the posterior: empirical Bayes.

    The divergence is smallest where one location and one scale for all elements are the mean of
    the posterior's locations, and the root of ``mean(sigma^2 + (mu - mean)^2)``. With a scale for
    each element the prior would be the posterior itself, and say nothing.

    Args:
        elementwise: Whether each element has a location of its own, and the scale is fixed, as in
            the regression tutorials of TFP; otherwise all elements share both, and both train.
        loc: At the start.
        scale: At the start, above 0.

    Raises:
        OptionsError: If the scale is not above 0.

    References:
        MacKay 1992, "A practical Bayesian framework for backpropagation networks".

    Example:
        ```python
        prior = tfbdl.layers.trainable_normal_fn()
        layer = tfbdl.layers.DenseReparameterization(64, kernel_prior_fn=prior)
        ```
    """

    supports_jit = True

    def __init__(self, elementwise: bool = False, loc: float = 0.0, scale: float = 1.0) -> None:
        if not scale > 0:
            raise OptionsError(f"scale must be above 0. Received: {scale!r}.")
        self.elementwise, self.loc, self.scale = bool(elementwise), float(loc), float(scale)

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        def add(part: str, size: Any, start: float) -> tf.Tensor:
            return add_variable_fn(
                name=f"{name}_{part}",
                shape=size,
                dtype=dtype,
                initializer=keras.initializers.Constant(start),
                trainable=trainable,
            )

        shape = tuple(shape)
        loc = add("loc", shape if self.elementwise else (), self.loc)
        if self.elementwise:
            scale = tf.constant(self.scale, dtype)
        else:
            raw = float(np.log(np.expm1(self.scale)))
            scale = positive(add("untransformed_scale", (), raw), dtype)
        element = tfd.Normal(tf.broadcast_to(loc, shape), scale)
        return tfd.Independent(element, reinterpreted_batch_ndims=len(shape))

    def get_config(self) -> dict[str, Any]:
        return {"elementwise": self.elementwise, "loc": self.loc, "scale": self.scale}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.get_config()})"


@keras.saving.register_keras_serializable(package="tfbdl")
class NamedPrior(WeightFunction):
    """A prior of a plugin, by its name: ``tfbdl list priors`` shows them.

    What such a prior learns of itself, as ``empirical_normal`` its scale, is a weight of the layer
    and a point estimate.

    Args:
        prior: A name, or what ``tfbdl.prior(...)`` made.
        **options: Of a prior given by name.

    Raises:
        UnknownNameError: If no plugin provides the name.
        OptionsError: If an option is unknown or out of range.

    Example:
        ```python
        prior = tfbdl.layers.prior_fn("scale_mixture", pi=0.25)
        layer = tfbdl.layers.DenseReparameterization(64, kernel_prior_fn=prior)
        ```
    """

    supports_jit = True

    def __init__(self, prior: Any, **options: Any) -> None:
        self.prior = distributions.get(prior, options)

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        shape, dtype = tuple(shape), tf.as_dtype(dtype).name
        site = name.removesuffix("_prior")
        values = {}
        for parameter, definition in self.prior.parameters(shape, site, dtype).items():
            learned = Learned(parameter=parameter, site=site, definition=definition)
            raw = add_variable_fn(
                name=f"{name}_untransformed_{parameter}",
                shape=learned.shape,
                dtype=dtype,
                initializer=lambda shape, dtype=None, own=learned: tf.cast(
                    own.initial_raw(), dtype
                ),
                trainable=trainable,
            )
            values[parameter] = learned.constrain(raw)
        return self.prior.distribution(shape, dtype, name=site, **values)

    def get_config(self) -> dict[str, Any]:
        options = self.prior.options.model_dump(mode="json")
        return {"prior": distributions.name_of(self.prior), **options}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prior!r})"


def _initializer(learned: Learned) -> Any:
    return lambda shape, dtype=None: tf.cast(learned.initial_raw(), dtype)


trainable_normal_fn = TrainableNormal
prior_fn = NamedPrior
