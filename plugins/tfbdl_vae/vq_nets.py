"""Encoders and decoders of quantised codes: maps of codes for images, rows of codes for others."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfbdl.data import DataInfo

from . import architectures
from .config import VQVAEOptions


def map_encoder(
    x_shape: Sequence[int],
    embedding_dim: int,
    filters: Sequence[int] = (32, 64),
    residual_blocks: int = 2,
    activation: str = "relu",
    before: Sequence[keras.Layer] = (),
) -> keras.Model:
    """Convolutions of width 4 and stride 2, residual blocks, and a vector at each position.

    Args:
        x_shape: Height, width and channels.
        embedding_dim: Size of the vectors.
        filters: Of each convolution.
        residual_blocks: After them.
        activation: Of all but the last layer.
        before: Layers that prepare the images.

    References:
        van den Oord et al. 2017, section 4.1.
    """
    inputs = h = keras.Input(tuple(x_shape), name="x")
    for layer in before:
        h = layer(h)
    for count in filters:
        h = keras.layers.Conv2D(count, 4, 2, padding="same", activation=activation)(h)
    h = _residual(h, residual_blocks, activation)
    return keras.Model(inputs, keras.layers.Conv2D(embedding_dim, 1)(h), name="encoder")


def map_decoder(
    code_shape: Sequence[int],
    output_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    residual_blocks: int = 2,
    activation: str = "relu",
) -> keras.Model:
    """The mirror of ``map_encoder``.

    Args:
        code_shape: Height, width and ``embedding_dim`` of the map of codes.
        output_shape: Height, width and outputs of a pixel.
        filters: Of the encoder's convolutions, in its order.
        residual_blocks: Before the transposed convolutions.
        activation: Of all but the last layer.
    """
    inputs = h = keras.Input(tuple(code_shape), name="z")
    h = keras.layers.Conv2D(filters[-1], 3, padding="same")(h)
    h = _residual(h, residual_blocks, activation)
    h = architectures.upsampled(h, output_shape, filters, activation)
    return keras.Model(inputs, h, name="decoder")


def nets(
    options: VQVAEOptions, info: DataInfo | None, outputs: int, before: Sequence[keras.Layer] = ()
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder for data that ``info`` describes.

    Args:
        options: See VQVAEOptions.
        info: Of the training data.
        outputs: Of the decoder, for the last axis of a row.
        before: Layers that prepare the encoder's rows.

    Raises:
        DataError: If the rows are of a shape that the architecture cannot take.
    """
    units = options.num_codes * options.embedding_dim
    kind, shape = architectures.kind_of(options, info)
    if kind != "conv" or options.likelihood == "categorical":
        return architectures.nets(options, info, units, units, outputs, before)
    more = options.filters, options.residual_blocks, options.activation
    encoder = map_encoder(shape, options.embedding_dim, *more, before)
    return encoder, map_decoder(encoder.output_shape[1:], (*shape[:-1], outputs), *more)


def _residual(h: keras.KerasTensor, blocks: int, activation: str) -> keras.KerasTensor:
    for _ in range(blocks):
        inner = keras.layers.Activation(activation)(h)
        inner = keras.layers.Conv2D(h.shape[-1], 3, padding="same", activation=activation)(inner)
        inner = keras.layers.Conv2D(h.shape[-1], 1)(inner)
        h = keras.layers.Add()([h, inner])
    return keras.layers.Activation(activation)(h)
