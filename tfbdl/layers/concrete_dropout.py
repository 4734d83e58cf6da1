"""ConcreteDropout: dropout whose rate is learned."""

from __future__ import annotations

import inspect
import math
from typing import Any

import keras
import tensorflow as tf

from .. import functional, random
from ..errors import ModelError, OptionsError
from ..inference.reparameterizations import bernoulli, logistic_of_uniform
from ..inference.surrogate import read
from .defaults import DIVERGENCE
from .dropout_noise import check_noise_shape, check_positive, check_rate, noise_lengths
from .noise import NoisyLayer
from .num_data import add_divergences, check_num_data

_OF_PAPER = ("weight_regularizer", "dropout_regularizer")
_NUMBERS = ("initial_rate", "temperature", "num_data", "length_scale", "noise_precision")


@keras.saving.register_keras_serializable(package="tfbdl")
class ConcreteDropout(NoisyLayer):
    r"""Dropout at a rate p that is learned with the weights, before a layer that it wraps.

    Masks are relaxed to be differentiable in p, and what is kept is divided by ``1 - p``. Added to
    the losses is the divergence of the weights under dropout from their prior,

    .. math:: \frac{l^2}{2} \frac{\|W\|^2}{1 - p} - K H(p), \quad
              H(p) = -p \log p - (1 - p) \log(1 - p),

    for a kernel W with K inputs (channels, of a convolution), divided by ``num_data``: as belongs
    beside a loss that is a mean of negative log-likelihoods. Beside a mean squared error, under
    noise of precision ``tau``, it is multiplied by ``2 / tau``. The paper's regularisers may be
    given instead. Masks are drawn anew at each call, training or not.

    Args:
        layer: Whose inputs are dropped, with a ``kernel``. None: the dropout stands alone, before a
            layer whose weights are left to regularisers of its own.
        initial_rate: Where p begins, above 0 and below 1.
        temperature: Of the relaxation; towards 0 masks become zeros and ones.
        num_data: Number of training rows; see ``set_num_data``.
        length_scale: l of the prior ``N(0, 1 / l^2)`` of each weight.
        noise_precision: tau, beside a squared error; None: the loss is a log-likelihood.
        weight_regularizer: What multiplies ``||W||^2 / (1 - p)``: l^2 / (tau N) in the paper.
        dropout_regularizer: What multiplies ``-K H(p)``: 2 / (tau N) in the paper. Both or neither;
            then ``num_data`` has no part in it.
        noise_shape: Of the masks, as in MCDropout. None: a wrapped convolution loses whole
            channels, other layers single numbers.
        seed: Of the masks, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Attributes:
        p_logit: The weight that is learned, a scalar: ``log p - log(1 - p)``.

    Shapes:
        inputs: ``[..., K]``, or with channels where the wrapped layer has them.
        outputs: Those of the wrapped layer.

    Raises:
        OptionsError: If an argument does not fit.
        ModelError: When it is built, if the wrapped layer has no kernel.

    References:
        Gal, Hron and Kendall 2017, "Concrete Dropout", section 3.

    Example:
        ```python
        Dense, Dropout = keras.layers.Dense, tfbdl.layers.ConcreteDropout
        model = keras.Sequential(
            [Dropout(Dense(50, "relu"), num_data=len(x)), Dropout(Dense(2), num_data=len(x))]
        )
        ```
    """

    def __init__(
        self,
        layer: keras.layers.Layer | None = None,
        initial_rate: float = 0.1,
        temperature: float = 0.1,
        num_data: float | None = None,
        length_scale: float = 1e-2,
        noise_precision: float | None = None,
        weight_regularizer: float | None = None,
        dropout_regularizer: float | None = None,
        noise_shape: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False  # the penalty wants the kernel in full precision
        super().__init__(seed=seed, **kwargs)
        if layer is not None and not isinstance(layer, keras.layers.Layer):
            raise OptionsError(
                "ConcreteDropout wraps a Keras layer, such as keras.layers.Dense(50); a rate is "
                f"given as initial_rate. Received: {layer!r}."
            )
        self.layer = layer
        self.initial_rate = check_rate("initial_rate", initial_rate)
        self.temperature = check_positive("temperature", temperature)
        self.length_scale = check_positive("length_scale", length_scale)
        if noise_precision is not None:
            noise_precision = check_positive("noise_precision", noise_precision)
        self.noise_precision = noise_precision
        of_paper = dict(zip(_OF_PAPER, (weight_regularizer, dropout_regularizer), strict=True))
        given = [name for name, value in of_paper.items() if value is not None]
        if len(given) == 1 or (given and num_data is not None):
            raise OptionsError(
                "Give weight_regularizer and dropout_regularizer, or num_data (with length_scale "
                f"and noise_precision). Received: num_data={num_data!r}, {of_paper!r}."
            )
        for name, value in of_paper.items():
            setattr(self, name, value if value is None else check_positive(name, value, zero=True))
        self.num_data = check_num_data(num_data)
        self.noise_shape = check_noise_shape(noise_shape)
        self.supports_masking = layer is None or bool(layer.supports_masking)

    def build(self, input_shape: Any = None) -> None:
        """Make p, and the wrapped layer.

        Raises:
            ModelError: If that has no kernel, or the number of its inputs is not known.
        """
        if self.layer is not None and not self.layer.built:
            self.layer.build(input_shape)
        if self.layer is not None and not isinstance(
            getattr(self.layer, "kernel", None), keras.Variable
        ):
            raise ModelError(
                "ConcreteDropout wraps layers with one kernel, such as Dense and the convolutions; "
                f"before others it may stand alone. Received: {self.layer!r}."
            )
        self.inputs_dropped = input_shape[self._channels_axis()]
        if self.inputs_dropped is None:
            raise ModelError(
                f"The number of inputs of {self.name!r} must be known when it is built. "
                f"Received: inputs of shape {tuple(input_shape)}."
            )
        start = math.log(self.initial_rate) - math.log1p(-self.initial_rate)
        self.p_logit = self.add_weight(
            name="p_logit",
            shape=(),
            initializer=keras.initializers.Constant(start),
            autocast=False,
        )
        super().build(input_shape)

    @property
    def rate(self) -> tf.Tensor:
        """The learned p, a scalar."""
        return tf.sigmoid(read(self.p_logit))

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """Outputs of the wrapped layer for inputs under masks drawn anew."""
        call = self.next_call()
        inputs = tf.cast(tf.convert_to_tensor(inputs), self.compute_dtype)
        self._add_penalty(training)
        logit = read(self.p_logit)
        lengths = noise_lengths(self._noise_shape(inputs.shape.rank), inputs)
        uniform = random.uniform(lengths, self.noise_key(call, "mask"), logit.dtype)
        kept = 1.0 - relaxed_mask(logit, uniform, self.temperature)
        noise = kept / tf.sigmoid(-logit)
        dropped = inputs * tf.cast(noise, inputs.dtype)
        if self.layer is None:
            return dropped
        known = {"mask": mask, "training": training}
        takes = inspect.signature(self.layer.call).parameters
        return self.layer(dropped, **{name: known[name] for name in known if name in takes})

    def penalty(self) -> tf.Tensor:
        """What a call adds to the losses, before it is divided by ``num_data``."""
        logit = read(self.p_logit)
        explicit = self.weight_regularizer is not None
        scale = 1.0 if self.noise_precision is None else 2.0 / self.noise_precision
        of_weights = self.weight_regularizer if explicit else 0.5 * self.length_scale**2 * scale
        of_rate = self.dropout_regularizer if explicit else scale
        penalty = -of_rate * float(self.inputs_dropped) * entropy(logit)
        if self.layer is not None:
            kernel = tf.cast(read(self.layer.kernel), logit.dtype)
            penalty += of_weights * tf.reduce_sum(tf.square(kernel)) / tf.sigmoid(-logit)
        return penalty

    def _add_penalty(self, training: bool | None) -> None:
        if self.weight_regularizer is not None:
            self.add_loss(self.penalty())
        else:
            add_divergences(self, [self.penalty()], training)

    def divergence_functions(self) -> tuple[Any, ...]:
        """What adds to the losses, divided by ``num_data``: the divergence of the weights."""
        return () if self.weight_regularizer is not None else (DIVERGENCE,)

    def _channels_axis(self) -> int:
        first = getattr(self.layer, "data_format", None) == "channels_first"
        return 1 if first else -1

    def _noise_shape(self, rank: int) -> tuple[int | None, ...] | None:
        if self.noise_shape is not None or not hasattr(self.layer, "kernel_size"):
            return self.noise_shape
        shape: list[int | None] = [1] * rank
        shape[0] = shape[self._channels_axis()] = None
        return tuple(shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the wrapped layer."""
        return mask if self.layer is None else self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the wrapped layer."""
        if self.layer is None:
            return tuple(input_shape)
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        names = (*_NUMBERS, *_OF_PAPER, "noise_shape")
        own = {name: getattr(self, name) for name in names}
        if self.weight_regularizer is not None:
            own["num_data"] = None  # set_num_data may have told it to all layers
        layer = None if self.layer is None else keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), **own, "layer": layer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config))


def relaxed_mask(logit: tf.Tensor, uniform: tf.Tensor, temperature: float) -> tf.Tensor:
    """Near one where something is dropped, near zero where it is kept.

    Args:
        logit: ``log p - log(1 - p)``.
        uniform: Random numbers in (0, 1); also the shape returned.
        temperature: Above 0.
    """
    return bernoulli.soft(logit + logistic_of_uniform(uniform), temperature)


def entropy(logit: tf.Tensor) -> tf.Tensor:
    """H(p) of a Bernoulli variable, in nats, from the logit of p."""
    p = tf.sigmoid(logit)
    return p * tf.nn.softplus(-logit) + (1.0 - p) * tf.nn.softplus(logit)
