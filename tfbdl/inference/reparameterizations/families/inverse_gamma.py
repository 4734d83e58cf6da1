"""Inverse gamma variables: the scale explicitly, the concentration through its noise."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..implicit_gradients import stateless_seed
from ..row import Noise, Parameters, Reparameterization


def inverse_gamma(noise: tf.Tensor, concentration: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``scale / e``; of the concentration the noise itself knows the gradient."""
    return scale / noise


def _gamma(shape: Any, key: tf.Tensor, dtype: tf.DType, given: Parameters) -> tf.Tensor:
    concentration = tf.broadcast_to(given["concentration"], shape[1:])
    one = tf.ones((), dtype)
    return tfd.Gamma(concentration, one).sample(shape[0], seed=stateless_seed(key))


ROWS = (
    Reparameterization(
        name="inverse_gamma",
        law="InverseGamma(concentration, scale)",
        formula="scale / e",
        noise=Noise("Gamma(concentration, 1), by implicit gradients", _gamma, low=0.0),
        parameters={"concentration": "positive", "scale": "positive"},
        transform=inverse_gamma,
        mended="Printed as 1/e of Gamma(k; 1/theta), which is theta only if its second parameter "
        "is a scale: the RATE of the gamma variable is theta.",
    ),
)
