"""The log-uniform prior of variational dropout, under which weights that say nothing vanish."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ModelError
from .sampling import normal_moments
from .weight_functions import AddVariable, WeightFunction

_K1, _K2, _K3 = 0.63576, 1.87320, 1.48695  # Molchanov et al. 2017, eq. (14)
THRESHOLD = 3.0
"""The log alpha above which a weight is noise: it stands for a dropout rate of 0.95."""


class LogUniform(tfd.Distribution):
    r"""The improper density :math:`p(w) = 1 / |w|`, element by element: it has no scale.

    Nothing can be drawn from it. Its divergence from a normal is known up to a constant.

    Args:
        shape: Of independent elements.
        dtype: Of the elements.
        name: For TFP.
    """

    def __init__(self, shape: Any, dtype: Any = "float32", name: str = "LogUniform") -> None:
        parameters = {"shape": shape, "dtype": dtype, "name": name}
        self._whole = tf.TensorShape(tuple(shape))
        super().__init__(
            dtype=tf.as_dtype(dtype),
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    def _batch_shape(self) -> tf.TensorShape:
        return self._whole

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self._whole.as_list(), tf.int32)

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        return -tf.math.log(tf.abs(value))


def log_uniform_divergence(log_alpha: Any) -> tf.Tensor:
    r"""The divergence of a normal from the log-uniform prior, to 0.01 nats, element by element.

    For ``N(mu, alpha mu^2)`` it is a function of alpha alone, here with the constant under which
    it tends to zero for large alpha:

    .. math:: k_1 - k_1 \operatorname{sigmoid}(k_2 + k_3 \log\alpha) + \tfrac12 \log(1 + 1/\alpha).

    Args:
        log_alpha: Any shape; also the shape returned.

    References:
        Molchanov, Ashukha and Vetrov 2017, "Variational Dropout Sparsifies Deep Neural Networks",
        equation (14).
    """
    log_alpha = tf.convert_to_tensor(log_alpha)
    return _K1 * tf.sigmoid(-_K2 - _K3 * log_alpha) + 0.5 * tf.nn.softplus(-log_alpha)


def log_alpha(normal: tfd.Normal) -> tf.Tensor:
    """``log(sigma^2 / mu^2)``; a mean too small to be squared counts as one that is not."""
    tiny = np.sqrt(np.finfo(normal.dtype.as_numpy_dtype).tiny)
    size = tf.maximum(tf.abs(normal.loc), tf.constant(tiny, normal.dtype))
    return 2.0 * (tf.math.log(normal.scale) - tf.math.log(size))


@tfd.RegisterKL(tfd.Normal, LogUniform)
def _kl_normal_log_uniform(q: tfd.Normal, p: LogUniform, name: str | None = None) -> tf.Tensor:
    return log_uniform_divergence(log_alpha(q))


@keras.saving.register_keras_serializable(package="tfbdl")
class LogUniformPrior(WeightFunction):
    """The log-uniform prior over each element of a weight: sparse variational dropout.

    With the normal posterior that is the default it makes each weight ``N(mu, alpha mu^2)`` with an
    alpha of its own. Weights that the data do not need end with a large alpha, and may be set to
    zero: ``sparsity`` says how many. The divergence is Molchanov's approximation, whose constant
    is arbitrary, since the prior has no density; ``KLDivergence("monte_carlo")`` takes none.

    References:
        Molchanov, Ashukha and Vetrov 2017, "Variational Dropout Sparsifies Deep Neural Networks",
        equation (14).

    Example:
        ```python
        Dense = tfbdl.layers.DenseLocalReparameterization
        layer = Dense(300, "relu", kernel_prior_fn=tfbdl.layers.log_uniform_fn, num_data=len(x))
        tfbdl.layers.sparsity(layer.kernel_posterior)  # after training
        ```
    """

    supports_jit = True

    def __call__(
        self, dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: AddVariable
    ) -> tfd.Distribution:
        return tfd.Independent(LogUniform(shape, dtype), len(tuple(shape)))


log_uniform_fn = LogUniformPrior()


def sparsity(posterior: tfd.Distribution, threshold: float = THRESHOLD) -> float:
    """The share of the elements of a weight that are noise: ``log alpha`` is above a threshold.

    Args:
        posterior: Of independent normals, such as a layer's ``kernel_posterior``.
        threshold: Of ``log alpha``.

    Raises:
        ModelError: If it has another form.

    References:
        Molchanov, Ashukha and Vetrov 2017, "Variational Dropout Sparsifies Deep Neural Networks".
    """
    if not isinstance(posterior, tfd.Distribution):
        raise ModelError(
            "sparsity takes a distribution, such as a layer's kernel_posterior. "
            f"Received: {posterior!r}."
        )
    law = tfd.Normal(*normal_moments(posterior, "sparsity"))
    return float(tf.reduce_mean(tf.cast(log_alpha(law) > threshold, "float64")))
