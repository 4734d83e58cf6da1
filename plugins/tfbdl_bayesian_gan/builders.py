"""Generators and discriminators: dense nets, and convolutions by the guidelines of DCGAN.

No pooling: strides halve and double images. Batch normalisation, but not on the generator's output
and the discriminator's input; ReLU in the generator, leaky ReLU in the discriminator (Radford,
Metz & Chintala 2016, section 3; weights from N(0, 0.02^2), section 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from tfbdl.errors import OptionsError

from .batch_standardization import BatchStandardization
from .row_noise import RowNoise
from .weight_normalization import NormalizedDense

layers = keras.layers
KERNEL, STRIDE = 4, 2
SLOPE = 0.2
INPUT_NOISE = 0.6
"""Noise on the rows for one of that on hidden units: 0.3 to 0.5 (Salimans et al. 2016)."""


def mlp_generator(
    latent_dim: int,
    row_shape: Sequence[int],
    hidden: Sequence[int] = (256, 256),
    output: str = "linear",
    after: Sequence[keras.Layer] = (),
    batch_standardization: bool = False,
) -> keras.Model:
    """Dense layers from noise to rows.

    Args:
        latent_dim: Size of the noise, codes included.
        row_shape: Of a row.
        hidden: Units of the layers before the last.
        output: Activation of the last layer.
        after: Layers that take its outputs to the units of the data.
        batch_standardization: Of the hidden layers, by BatchStandardization.
    """
    inputs = h = keras.Input((latent_dim,), name="z")
    for width in hidden:
        h = layers.Dense(width)(h)
        h = layers.LeakyReLU(SLOPE)(BatchStandardization()(h) if batch_standardization else h)
    h = layers.Dense(math.prod(row_shape), output)(h)
    if len(row_shape) > 1:
        h = layers.Reshape(tuple(row_shape))(h)
    for layer in after:
        h = layer(h)
    return keras.Model(inputs, h, name="generator")


def mlp_discriminator(
    row_shape: Sequence[int],
    hidden: Sequence[int] = (256, 256),
    code_units: int = 0,
    before: Sequence[keras.Layer] = (),
    noise: float = 0.0,
    weight_normalization: bool = False,
    slope: float = SLOPE,
) -> keras.Model:
    """Dense layers from rows to a logit.

    Args:
        row_shape: Of a row.
        hidden: Units of the layers before the last.
        code_units: If not 0, the net has a second output of so many units: Q of InfoGAN, which
            shares all layers but its own two.
        before: Layers that prepare the rows.
        noise: Standard deviation of the noise on hidden units in a BayesianGAN's training, and on
            the rows ``INPUT_NOISE`` of it.
        weight_normalization: Hidden layers are NormalizedDense.
        slope: Of the leaky ReLU below zero; 0 for ReLU.
    """
    inputs = h = keras.Input(tuple(row_shape), name="x")
    for layer in before:
        h = layer(h)
    h = layers.Flatten()(h) if len(row_shape) > 1 else h
    h = RowNoise(INPUT_NOISE * noise)(h) if noise else h
    dense = NormalizedDense if weight_normalization else layers.Dense
    for place, width in enumerate(hidden, start=1):
        h = layers.LeakyReLU(slope)(dense(width)(h))
        h = RowNoise(noise, place)(h) if noise else h
    return _with_heads(inputs, h, code_units, "glorot_uniform")


def conv_generator(
    latent_dim: int,
    image_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    output: str = "tanh",
    batch_normalization: bool = True,
    dense: int | None = None,
) -> keras.Model:
    """Fractionally strided convolutions from noise to images (DCGAN).

    Args:
        latent_dim: Size of the noise, codes included.
        image_shape: Height, width and channels.
        filters: Of the discriminator's convolutions, in its order.
        output: Activation of the last layer.
        batch_normalization: Of all layers but the last.
        dense: Units of a dense layer before the first map; None: none.

    Raises:
        OptionsError: If the image is no image.
    """
    height, width, channels = _image(image_shape)
    low = [math.ceil(length / STRIDE ** len(filters)) for length in (height, width)]
    inputs = h = keras.Input((latent_dim,), name="z")
    small = _small_normal()
    if dense:
        h = _normalised(layers.Dense(dense, kernel_initializer=small)(h), batch_normalization)
        h = layers.ReLU()(h)
    h = layers.Dense(math.prod(low) * filters[-1], kernel_initializer=small)(h)
    h = layers.Reshape((*low, filters[-1]))(h)
    h = layers.ReLU()(_normalised(h, batch_normalization))
    for count in reversed(filters[:-1]):
        h = layers.Conv2DTranspose(count, KERNEL, STRIDE, padding="same", kernel_initializer=small)(
            h
        )
        h = layers.ReLU()(_normalised(h, batch_normalization))
    h = layers.Conv2DTranspose(
        channels, KERNEL, STRIDE, padding="same", activation=output, kernel_initializer=small
    )(h)
    excess = h.shape[1] - height, h.shape[2] - width
    if any(excess):
        h = layers.Cropping2D(((0, excess[0]), (0, excess[1])))(h)
    return keras.Model(inputs, h, name="generator")


def conv_discriminator(
    image_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    batch_normalization: bool = True,
    dense: int | None = None,
    code_units: int = 0,
) -> keras.Model:
    """Strided convolutions from images to a logit (DCGAN).

    Args:
        image_shape: Height, width and channels.
        filters: Of each convolution, which halves the image.
        batch_normalization: Of all layers but the first; not for the critic of a gradient penalty,
            which is a function of one row.
        dense: Units of a dense layer before the logit; None: none.
        code_units: As in ``mlp_discriminator``.

    Raises:
        OptionsError: If the image is no image.
    """
    inputs = h = keras.Input(_image(image_shape), name="x")
    small = _small_normal()
    for i, count in enumerate(filters):
        h = layers.Conv2D(count, KERNEL, STRIDE, padding="same", kernel_initializer=small)(h)
        h = layers.LeakyReLU(SLOPE)(_normalised(h, batch_normalization and i > 0))
    h = layers.Flatten()(h)
    if dense:
        h = _normalised(layers.Dense(dense, kernel_initializer=small)(h), batch_normalization)
        h = layers.LeakyReLU(SLOPE)(h)
    return _with_heads(inputs, h, code_units, small)


def _with_heads(
    inputs: keras.KerasTensor, h: keras.KerasTensor, code_units: int, initializer: object
) -> keras.Model:
    """The logit, and Q's parameters where they are asked for."""
    logit = layers.Dense(1, kernel_initializer=initializer, name="logit")(h)
    if not code_units:
        return keras.Model(inputs, logit, name="discriminator")
    q = layers.LeakyReLU(SLOPE)(layers.Dense(128, name="q_hidden")(h))
    codes = layers.Dense(code_units, name="codes")(q)
    return keras.Model(inputs, [logit, codes], name="discriminator")


def _normalised(h: keras.KerasTensor, wanted: bool) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9)(h) if wanted else h


def _small_normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, 0.02)


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise OptionsError(
            f"Convolutions take images of shape [height, width, channels]. Received: {list(shape)}."
        )
    height, width, channels = (int(length) for length in shape)
    return height, width, channels
