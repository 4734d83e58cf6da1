"""Estimators by which each row of a batch has noise of its own, in the ordinary layers of a net."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .. import functional, random, row_noise
from ..errors import ModelError, OptionsError, did_you_mean
from ..inference.surrogate import Surrogate, Tensors

SHARED = "reparameterization"
ESTIMATORS = (SHARED, "local_reparameterization", "flipout")
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_FORMS = (keras.layers.Dense, *_CONVOLUTIONS, *_TRANSPOSED)
_REPLACING = threading.RLock()


class _Place(NamedTuple):
    """A layer whose kernel is random, and the site's name."""

    layer: keras.layers.Layer
    site: str


class RowEstimator:
    """Runs a net such that its dense and convolutional kernels differ from row to row.

    In training and evaluation those layers compute with the moments of the posterior of their
    kernels in place of one draw for the whole batch; the law of each row's outputs is the same.
    Biases keep one draw a batch. What asks for whole draws of the net (``predictive``, samplers)
    does not pass here.

    Args:
        estimator: ``local_reparameterization`` or ``flipout``.
        net: A built net.
        sites: Its random weights by name.
        surrogate: Their posterior.

    Raises:
        OptionsError: If the posterior is not ``mean_field``.
        ModelError: If a random weight is none of a dense or convolutional layer, or no kernel is.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", equation (6); Wen, Vicol, Ba, Tran and Grosse 2018, "Flipout", equation (4).
    """

    def __init__(
        self,
        estimator: str,
        net: keras.layers.Layer,
        sites: Mapping[str, keras.Variable],
        surrogate: Surrogate,
    ) -> None:
        if surrogate.family != "mean_field":
            raise OptionsError(
                f"estimator={estimator!r} needs weights that are independent under the posterior. "
                f"Expected posterior='mean_field'. Received: {surrogate.family!r}."
            )
        self.estimator, self.surrogate = estimator, surrogate
        self.places = _places(estimator, net, sites)

    @contextlib.contextmanager
    def noisy(self, draw: Tensors, key: tf.Tensor) -> Iterator[None]:
        """While it lasts, calls of the layers have noise of each row's own.

        Args:
            draw: One state of the posterior; Flipout perturbs by its deviation from the mean.
            key: Of the noise beside it: ``[2]``.
        """
        mean, stddev = self.surrogate.mean(), self.surrogate.stddev()
        called: set[str] = set()

        def call_of(place: _Place) -> Callable[..., tf.Tensor]:
            layer, site = place
            loc, scale, own = mean[site], stddev[site], random.fold_in(key, site)

            def call(inputs: tf.Tensor, **_: Any) -> tf.Tensor:
                if site in called:
                    raise ModelError(
                        f"The layer {layer.name!r} is called twice in one pass of the net, and "
                        f"estimator={self.estimator!r} would give it two kernels. Expected "
                        f"estimator={SHARED!r} for nets that share a layer."
                    )
                called.add(site)
                linear = linear_map(layer)
                if self.estimator == "flipout":
                    outputs = row_noise.flipout(linear, inputs, loc, draw[site] - loc, draw_signs)
                else:
                    law = row_noise.activations(linear, inputs, loc, tf.square(scale))
                    noise = random.normal(tf.shape(law.loc), own, law.dtype)
                    outputs = tf.cast(law.loc + law.scale * noise, inputs.dtype)
                return _finished(layer, outputs)

            def draw_signs(values: tf.Tensor, which: str) -> tf.Tensor:
                shape = row_noise.sign_shape(values, _space(layer, values))
                return row_noise.signs(shape, random.fold_in(own, which), values.dtype)

            return call

        with _replaced({place.layer: call_of(place) for place in self.places}):
            yield


def check_estimator(estimator: str) -> None:
    """Raise OptionsError unless there is such an estimator."""
    if estimator not in ESTIMATORS:
        raise OptionsError(
            f"estimator must be one of {', '.join(ESTIMATORS)}."
            f"{did_you_mean(estimator, ESTIMATORS)} Received: {estimator!r}."
        )


def linear_map(layer: keras.layers.Layer) -> row_noise.LinearMap:
    """What a dense or convolutional layer does with inputs and a kernel, without its bias."""
    if type(layer) is keras.layers.Dense:
        return lambda inputs, kernel: keras.ops.matmul(inputs, kernel)
    if type(layer) in _CONVOLUTIONS:
        return lambda inputs, kernel: layer.convolution_op(inputs, kernel)
    return lambda inputs, kernel: keras.ops.conv_transpose(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def _places(
    estimator: str, net: keras.layers.Layer, sites: Mapping[str, keras.Variable]
) -> tuple[_Place, ...]:
    """The layers of the random kernels."""
    layers = [net, *functional.layers_of(net)]
    owners = {id(v): layer for layer in layers for v in layer._trainable_variables}
    places = []
    for site, variable in sites.items():
        layer: Any = owners.get(id(variable))
        plain = type(layer) in _FORMS and not _adapted(layer)
        if not plain or not (variable is layer.kernel or variable is layer.bias):
            raise ModelError(
                f"estimator={estimator!r} has a form for keras.layers.Dense, Conv1D to Conv3D and "
                f"their transposes. Received: the random weight {site!r} of "
                f"{'no layer' if layer is None else type(layer).__name__}. Expected "
                f"estimator={SHARED!r}, or sites= without that weight, which makes it a point "
                "estimate."
            )
        if variable is layer.kernel:
            places.append(_Place(layer, site))
    if not places:
        raise ModelError(
            f"estimator={estimator!r} is one of kernels, and none is random. Received: "
            f"sites {', '.join(sites) or 'that are no weights'}."
        )
    return tuple(places)


def _adapted(layer: keras.layers.Layer) -> bool:
    """Whether a layer computes with something else than its kernel."""
    return bool(getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None))


def _space(layer: keras.layers.Layer, values: tf.Tensor) -> tuple[int, ...]:
    """The axes along which a kernel is moved, so that its signs must not change there."""
    axes = range(1, len(values.shape))
    if type(layer) is keras.layers.Dense:
        return ()
    channels = 1 if layer.data_format == "channels_first" else axes[-1]
    return tuple(axis for axis in axes if axis != channels)


def _finished(layer: keras.layers.Layer, outputs: tf.Tensor) -> tf.Tensor:
    """With the layer's bias and activation."""
    if layer.bias is not None:
        bias = keras.ops.cast(layer.bias, outputs.dtype)
        if getattr(layer, "data_format", None) == "channels_first":
            bias = keras.ops.reshape(bias, (1, -1, *[1] * (len(outputs.shape) - 2)))
        outputs = keras.ops.add(outputs, bias)
    return outputs if layer.activation is None else layer.activation(outputs)


@contextlib.contextmanager
def _replaced(calls: Mapping[keras.layers.Layer, Callable[..., Any]]) -> Iterator[None]:
    """Layers that compute something else for a while: in one thread at a time."""
    with _REPLACING:
        for layer, call in calls.items():
            object.__setattr__(layer, "call", call)
        try:
            yield
        finally:
            for layer in calls:
                object.__delattr__(layer, "call")
