"""VariationalLayer: the base of the layers with posteriors over a kernel and a bias."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import row_noise
from .configs import activation_from, configs_of
from .defaults import DIVERGENCE, DRAW, POINT, POSTERIOR, PRIOR
from .noise import Call, NoisyLayer
from .num_data import add_divergences
from .posterior_layer import Function, PosteriorLayer
from .variational_weight import Parts


class VariationalLayer(PosteriorLayer, abc.ABC):
    """A linear layer whose kernel and bias are drawn from posteriors at each call.

    ``outputs = activation(linear(inputs, kernel) + bias)``. Each divergence of a posterior from
    its prior goes to ``losses``. A subclass has ``linear`` and makes the weights in ``build`` by
    ``make_weights``; an estimator beside it has ``draw_kernel`` and ``apply_kernel``.

    Args:
        activation: Name or function; None: the identity.
        activity_regularizer: Of the outputs.
        trainable: Whether the parameters train.
        kernel_posterior_fn: ``fn(dtype, shape, name, trainable, add_variable_fn)`` makes the
            posterior, with parameters from ``add_variable_fn(name=..., shape=...,
            initializer=...)``. It is called when the layer is built and at each call.
        kernel_posterior_tensor_fn: From a distribution to the tensor that stands for it: a draw.
        kernel_prior_fn: As ``kernel_posterior_fn``, for the prior, whose parameters train too
            (empirical Bayes). None: no prior.
        kernel_divergence_fn: ``fn(posterior, prior, drawn weight)``; None: no divergence.
        bias_posterior_fn: For the bias, by default a point; None: no bias.
        bias_posterior_tensor_fn, bias_prior_fn, bias_divergence_fn: As for the kernel; by default
            the bias has no prior.
        num_data: Number of training rows, by which divergences are divided, as belongs beside a
            loss that is a mean over rows. None: unscaled, as in TFP; training then warns. See
            ``set_num_data``.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Attributes:
        kernel_posterior, kernel_prior, bias_posterior, bias_prior: Distributions with the present
            values of their parameters, or None.

    Raises:
        OptionsError: If an argument does not fit.
        ModelError: When it is built, if a function gives no distribution of the weight's shape,
            or one whose parameters Keras does not see.
    """

    weight_names: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __init__(
        self,
        *,
        activation: Any = None,
        kernel_posterior_fn: Function = POSTERIOR,
        kernel_posterior_tensor_fn: Function = DRAW,
        kernel_prior_fn: Function | None = PRIOR,
        kernel_divergence_fn: Function | None = DIVERGENCE,
        bias_posterior_fn: Function | None = POINT,
        bias_posterior_tensor_fn: Function = DRAW,
        bias_prior_fn: Function | None = None,
        bias_divergence_fn: Function | None = DIVERGENCE,
        num_data: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_data=num_data, seed=seed, **kwargs)
        self.activation = activation_from(activation)
        self.kernel_posterior_fn = kernel_posterior_fn
        self.kernel_posterior_tensor_fn = kernel_posterior_tensor_fn
        self.kernel_prior_fn = kernel_prior_fn
        self.kernel_divergence_fn = kernel_divergence_fn
        self.bias_posterior_fn = bias_posterior_fn
        self.bias_posterior_tensor_fn = bias_posterior_tensor_fn
        self.bias_prior_fn = bias_prior_fn
        self.bias_divergence_fn = bias_divergence_fn
        self.supports_masking = True

    # -- what a subclass, or the estimator beside it, has ------------------------------------------

    @abc.abstractmethod
    def linear(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The map of the inputs that is linear in the kernel; both have one dtype."""

    @abc.abstractmethod
    def draw_kernel(
        self, posterior: tfd.Distribution, key: tf.Tensor
    ) -> tuple[Parts, tf.Tensor | None]:
        """What a call needs of the kernel, and the drawn kernel if there is one."""

    @abc.abstractmethod
    def apply_kernel(self, inputs: tf.Tensor, parts: Parts, call: Call) -> tf.Tensor:
        """``linear(inputs, kernel)`` for a kernel, or activations, drawn anew."""

    def arranged(self, values: tf.Tensor, back: bool = False) -> tf.Tensor:
        """Inputs with the channels last, as ``linear`` takes them; or outputs ``back`` again."""
        return values

    def sign_shape(self, values: tf.Tensor) -> list[Any]:
        """Of Flipout's signs for inputs or outputs: by default one for each number."""
        return row_noise.sign_shape(values)

    # -- what they share ---------------------------------------------------------------------------

    def make_weights(self, kernel_shape: Sequence[int], bias_shape: Sequence[int]) -> None:
        """Make posteriors and priors of kernel and bias, and the count of calls."""
        self._kernel = self.variational_weight("kernel", kernel_shape, self.draw_kernel)
        self._bias = None
        if self.bias_posterior_fn is not None:
            self._bias = self.variational_weight("bias", bias_shape)
        NoisyLayer.build(self)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Outputs with weights drawn anew; the divergences become losses."""
        call = self.next_call()
        inputs = self.arranged(tf.cast(tf.convert_to_tensor(inputs), self.compute_dtype))
        parts, divergence = self._kernel(call)
        outputs = self.apply_kernel(inputs, parts, call)
        divergences = [divergence]
        if self._bias is not None:
            (bias,), divergence = self._bias(call)
            outputs = tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))
            divergences.append(divergence)
        add_divergences(self, divergences, training)
        return self.activation(self.arranged(outputs, back=True))

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().get_config(), **configs_of(self, ["activation"])}
