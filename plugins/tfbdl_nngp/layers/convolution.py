"""Convolution: the same weights at each place of an image, with infinitely many channels."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tfbdl.config import check_choice

from .base import Covariances, Flow, Layer, require
from .dense import weighted
from .places import local_mean, pair
from .variances import checked


class Convolution(Layer):
    """``z[p] = b + sum_d W[d] a[p + d]``, ``W ~ N(0, weight_variance / (size * channels))``.

    Places outside the image count as zeros, as in Keras.

    Args:
        size: Of the filter: a number, or (height, width).
        strides: A number, or one for each axis.
        padding: ``same`` or ``valid``.
        weight_variance: sigma_w^2, above 0.
        bias_variance: sigma_b^2, at least 0.

    Raises:
        OptionsError: If an argument is not admitted.

    References:
        Novak et al. 2019, "Bayesian deep convolutional networks with many channels are Gaussian
        processes", (6) to (8); Garriga-Alonso et al. 2019.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 3,
        strides: int | tuple[int, int] = 1,
        padding: Literal["same", "valid"] = "same",
        weight_variance: Any = 1.0,
        bias_variance: Any = 0.0,
    ) -> None:
        self.size, self.strides = pair("size", size), pair("strides", strides)
        check_choice("padding", padding, ("same", "valid"))
        self.padding = padding
        self.weight_variance = checked("weight_variance", weight_variance, positive=True)
        self.bias_variance = checked("bias_variance", bias_variance)

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(
            before.spatial,
            "A convolution needs images. Expected: rows [n, height, width, channels], not yet "
            "flattened. Received: vectors.",
        )
        return before._replace(gaussian=True)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""

        def mean(covariance: tf.Tensor) -> tf.Tensor:
            return local_mean(covariance, before.places, self.size, self.strides, self.padding)

        return weighted(before.linear(mean), self.weight_variance, self.bias_variance)
