"""Estimators by which each row of a batch has noise of its own, in the ordinary layers of a net."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .. import functional, random, row_noise
from ..errors import ModelError, OptionsError, did_you_mean
from ..inference import layer_calls
from ..inference.surrogate import Surrogate, Tensors

SHARED = "reparameterization"
ESTIMATORS = (SHARED, "local_reparameterization", "flipout")
_FORMS = (keras.layers.Dense, *layer_calls.CONVOLUTIONS, *layer_calls.TRANSPOSED)


class _Place(NamedTuple):
    """A layer whose kernel is random, and the site's name."""

    layer: keras.layers.Layer
    site: str


class RowEstimator:
    """Runs a net such that its dense and convolutional kernels differ from row to row.

    In training and evaluation those layers compute with the moments of the posterior of their
    kernels in place of one draw for the whole batch. By ``flipout`` each row has a kernel of the
    posterior's law; by ``local_reparameterization`` each output has the law that it has under one,
    drawn on its own: positions of a row that share a kernel do not err together. Biases keep one
    draw a batch. What asks for whole draws of the net (``predictive``, samplers) does not pass
    here. A kernel must be used by its own layer's call alone.

    Args:
        estimator: ``local_reparameterization`` or ``flipout``.
        net: A built net.
        sites: Its random weights by name.
        surrogate: Their posterior.

    Raises:
        OptionsError: If the posterior is not ``mean_field``.
        ModelError: If a random weight is none of a dense or convolutional layer, or is in a wrapper
            such as SpectralNormalization, or no kernel is random.

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
        for place in self.places:
            layer_calls.listen(place.layer)

    @contextlib.contextmanager
    def noisy(self, draw: Tensors, key: tf.Tensor) -> Iterator[None]:
        """While it lasts, calls of the layers have noise of each row's own.

        Args:
            draw: One state of the posterior; Flipout perturbs by its deviation from the mean.
            key: Of the noise beside it: ``[2]``.
        """
        mean, stddev = self.surrogate.mean(), self.surrogate.stddev()
        key = random.fold_in(key, "rows")  # the draw itself is of the key before
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
                inputs = tf.cast(inputs, layer.compute_dtype)
                linear = layer_calls.linear_map(layer)
                if self.estimator == "flipout":
                    outputs = row_noise.flipout(linear, inputs, loc, draw[site] - loc, draw_signs)
                else:
                    law = row_noise.activations(linear, inputs, loc, tf.square(scale))
                    noise = random.normal(tf.shape(law.loc), own, law.dtype)
                    outputs = tf.cast(law.loc + law.scale * noise, inputs.dtype)
                return layer_calls.activated(layer, layer_calls.biased(layer, outputs))

            def draw_signs(values: tf.Tensor, which: str) -> tf.Tensor:
                shape = row_noise.sign_shape(values, _space(layer, values))
                return row_noise.signs(shape, random.fold_in(own, which), values.dtype)

            return call

        with layer_calls.instead({id(place.layer): call_of(place) for place in self.places}):
            yield


def check_estimator(estimator: str) -> None:
    """Raise OptionsError unless there is such an estimator."""
    if estimator not in ESTIMATORS:
        raise OptionsError(
            f"estimator must be one of {', '.join(ESTIMATORS)}."
            f"{did_you_mean(estimator, ESTIMATORS)} Received: {estimator!r}."
        )


def _places(
    estimator: str, net: keras.layers.Layer, sites: Mapping[str, keras.Variable]
) -> tuple[_Place, ...]:
    """The layers of the random kernels."""
    layers = [net, *functional.layers_of(net)]
    owners = {id(v): layer for layer in layers for v in layer._trainable_variables}
    wrapped = layer_calls.wrapped_layers(layers)
    places = []
    for site, variable in sites.items():
        layer: Any = owners.get(id(variable))
        plain = type(layer) in _FORMS and layer_calls.is_plain(layer) and id(layer) not in wrapped
        if not plain or not (variable is layer.kernel or variable is layer.bias):
            raise ModelError(
                f"estimator={estimator!r} has a form for keras.layers.Dense, Conv1D to Conv3D and "
                f"their transposes, outside of wrappers. Received: the random weight {site!r} of "
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


def _space(layer: keras.layers.Layer, values: tf.Tensor) -> tuple[int, ...]:
    """The axes along which a kernel is moved, so that its signs must not change there."""
    axes = range(1, len(values.shape))
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else axes[-1]
    return tuple(axis for axis in axes if axis != channels)
