"""KernelProvider: a stationary kernel whose amplitude and length scales are learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from ...errors import ModelError, OptionsError, UnknownNameError
from ...likelihoods.location_scale import positive

psd_kernels = tfp.math.psd_kernels

FAMILIES = ("ExponentiatedQuadratic", "MaternOneHalf", "MaternThreeHalves", "MaternFiveHalves")


@keras.saving.register_keras_serializable(package="tfbdl")
class KernelProvider(keras.layers.Layer):
    """A kernel of ``tfp.math.psd_kernels`` whose amplitude and length scales are weights.

    Any Keras layer with a property ``kernel`` serves ``VariationalGaussianProcess``; this one is
    registered. The kernel is computed in float64.

    Args:
        family: ``ExponentiatedQuadratic``, ``MaternOneHalf``, ``MaternThreeHalves`` or
            ``MaternFiveHalves``.
        amplitude: Where the prior standard deviation of the function starts, above 0.
        length_scale: Where the length scale starts, above 0; a list has one for each feature.
        **kwargs: Of ``keras.layers.Layer``; ``trainable=False`` keeps the starts.

    Raises:
        UnknownNameError: If there is no such family.
        OptionsError: If a start is not above 0.
    """

    def __init__(
        self,
        family: str = "ExponentiatedQuadratic",
        amplitude: float = 1.0,
        length_scale: float | Sequence[float] = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if family not in FAMILIES:
            raise UnknownNameError("kernel", family, FAMILIES)
        self.family = family
        self.amplitude = positive("amplitude", amplitude)
        each = np.ravel(np.asarray(length_scale)).tolist()
        if np.ndim(length_scale) > 1 or not each:
            raise OptionsError(
                f"length_scale must be a number, or one for each feature. Received: "
                f"{length_scale!r}."
            )
        starts = [positive("length_scale", one) for one in each]
        self.length_scale = starts if np.ndim(length_scale) else starts[0]

    def build(self, input_shape: Any) -> None:
        """Make the raw weights, of which amplitude and length scale are the softplus."""
        features = None if input_shape is None else input_shape[-1]
        if np.ndim(self.length_scale) and features not in (None, len(np.ravel(self.length_scale))):
            raise ModelError(
                f"length_scale has {len(np.ravel(self.length_scale))} numbers, one for each "
                f"feature. Received: inputs with {features} features."
            )
        self.raw_amplitude = self._positive_weight("raw_amplitude", self.amplitude)
        self.raw_length_scale = self._positive_weight("raw_length_scale", self.length_scale)
        self.built = True

    def _positive_weight(self, name: str, start: Any) -> keras.Variable:
        raw = np.log(np.expm1(np.asarray(start, "float64")))
        return self.add_weight(
            name=name,
            shape=raw.shape,
            initializer=lambda shape, dtype: tf.cast(tf.constant(raw), dtype),
            autocast=False,
        )

    @property
    def kernel(self) -> Any:
        """The kernel, with the weights as they stand."""
        amplitude, length_scale = (
            tf.math.softplus(tf.cast(tf.convert_to_tensor(raw), tf.float64))
            for raw in (self.raw_amplitude, self.raw_length_scale)
        )
        family = getattr(psd_kernels, self.family)
        if np.ndim(self.length_scale):
            return psd_kernels.FeatureScaled(family(amplitude), scale_diag=length_scale)
        return family(amplitude, length_scale)

    def call(self, inputs: Any) -> Any:
        """The inputs: this layer is asked for its kernel."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        own = {
            "family": self.family,
            "amplitude": self.amplitude,
            "length_scale": self.length_scale,
        }
        return {**super().get_config(), **own}
