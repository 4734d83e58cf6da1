"""VariationalDropout: multiplicative normal noise, whose strength is learned."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import functional, random
from ..config import check_choice
from ..errors import ModelError
from ..inference.surrogate import read
from .defaults import DIVERGENCE
from .dense import width_of
from .dropout_noise import check_noise_shape, check_rate, noise_lengths
from .log_uniform import THRESHOLD, LogUniform, sparsity
from .noise import NoisyLayer
from .num_data import add_divergences, check_num_data

_LARGEST = 8.0  # of |log alpha|; beyond, noise drowns half precision and the divergence is flat
SHARING = ("unit", "layer")


@keras.saving.register_keras_serializable(package="tfbdl")
class LogAlphaRange(keras.constraints.Constraint):
    """Holds log alpha from -8 to 8, as Molchanov et al. do."""

    def __call__(self, w: Any) -> Any:
        """The nearest value in the range."""
        return keras.ops.clip(w, -_LARGEST, _LARGEST)


@keras.saving.register_keras_serializable(package="tfbdl")
class VariationalDropout(NoisyLayer):
    r"""Inputs times noise :math:`s \sim N(1, \alpha)`, with alpha learned.

    Each unit of the inputs, one place of their last axis, has a scale ``s`` with a log-uniform
    prior. Its divergence, a function of alpha alone, goes to ``losses``: it rewards noise, which
    the data resist where a unit matters. The noise is drawn anew at each call, training or not,
    for each number of the inputs or as ``noise_shape`` says.

    This is noise of units. For an alpha of each weight, give DenseLocalReparameterization, or any
    layer with posteriors, ``kernel_prior_fn=log_uniform_fn``.

    Args:
        initial_rate: Where alpha begins, as a rate p of dropout: ``alpha = p / (1 - p)``.
        per: ``unit``: an alpha for each; ``layer``: one for all.
        noise_shape: As in MCDropout.
        num_data: By which the divergence is divided, as in VariationalLayer.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Attributes:
        log_alpha: The weight that is learned, ``[units]`` or ``[]``, from -8 to 8.

    Shapes:
        inputs, outputs: ``[..., units]``

    Raises:
        OptionsError: If an argument does not fit.
        ModelError: When it is built, if the last axis of the inputs is not known.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", section 3.2.
        Molchanov, Ashukha and Vetrov 2017, "Variational Dropout Sparsifies Deep Neural Networks",
        equation (14).

    Example:
        ```python
        Dense, Dropout = keras.layers.Dense, tfbdl.layers.VariationalDropout
        model = keras.Sequential([Dense(50, "relu"), Dropout(num_data=len(x)), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, y, epochs=40)
        model.layers[1].sparsity()
        ```
    """

    def __init__(
        self,
        initial_rate: float = 0.1,
        per: str = "unit",
        noise_shape: Any = None,
        num_data: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        check_choice("per", per, SHARING)
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.per = per
        self.noise_shape = check_noise_shape(noise_shape)
        self.num_data = check_num_data(num_data)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        """Make log alpha."""
        self.units = width_of(input_shape, self)
        start = math.log(self.initial_rate) - math.log1p(-self.initial_rate)
        self.log_alpha = self.add_weight(
            name="log_alpha",
            shape=(self.units,) if self.per == "unit" else (),
            initializer=keras.initializers.Constant(start),
            constraint=LogAlphaRange(),
            autocast=False,
        )
        super().build(input_shape)

    def noise_posterior(self) -> tfd.Normal:
        """q(s), ``[units]``.

        Raises:
            ModelError: If the layer is not built.
        """
        if not self.built:
            raise ModelError(f"The layer {self.name!r} has no noise before it is built.")
        deviation = tf.exp(0.5 * read(self.log_alpha))
        return tfd.Normal(tf.ones([self.units], deviation.dtype), deviation)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The inputs under noise drawn anew; the divergence becomes a loss."""
        call = self.next_call()
        inputs = tf.convert_to_tensor(inputs)
        posterior = self.noise_posterior()
        prior = LogUniform([self.units], posterior.dtype)
        add_divergences(self, [DIVERGENCE(posterior, prior)], training)
        lengths = noise_lengths(self.noise_shape, inputs)
        eps = random.normal(lengths, self.noise_key(call, "noise"), posterior.dtype)
        return inputs * tf.cast(1.0 + posterior.scale * eps, inputs.dtype)

    def divergence_functions(self) -> tuple[Any, ...]:
        """What adds to the losses."""
        return (DIVERGENCE,)

    def sparsity(self, threshold: float = THRESHOLD) -> float:
        """The share of units that are noise: their log alpha is above a threshold.

        Args:
            threshold: 3.0 stands for a dropout rate of 0.95.
        """
        return sparsity(self.noise_posterior(), threshold)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """That of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        names = ("initial_rate", "per", "noise_shape", "num_data")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config))
