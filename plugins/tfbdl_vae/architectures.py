"""Encoders and decoders for rows, images and sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfbdl.data import DataInfo
from tfbdl.errors import DataError, OptionsError

from .config import BaseOptions

RANKS = {1: "mlp", 2: "sequence", 3: "conv"}
NEEDED = {"conv": (3, "images [n, height, width, channels]"), "sequence": (2, "[n, steps, d]")}


def mlp_encoder(
    x_shape: Sequence[int],
    units: int,
    hidden: Sequence[int] = (500,),
    activation: str = "relu",
    before: Sequence[keras.Layer] = (),
) -> keras.Model:
    """Dense layers from rows of any shape to ``units`` outputs.

    Args:
        x_shape: Of a row.
        units: Of the last layer.
        hidden: Units of the layers before it.
        activation: Of these.
        before: Layers that prepare the rows.
    """
    inputs = h = keras.Input(tuple(x_shape), name="x")
    for layer in before:
        h = layer(h)
    h = keras.layers.Flatten()(h) if len(h.shape) > 2 else h
    for width in hidden:
        h = keras.layers.Dense(width, activation)(h)
    return keras.Model(inputs, keras.layers.Dense(units)(h), name="encoder")


def mlp_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    hidden: Sequence[int] = (500,),
    activation: str = "relu",
) -> keras.Model:
    """Dense layers from codes to outputs of any shape.

    Args:
        latent_dim: Size of a code.
        output_shape: Of the outputs of one row.
        hidden: Units of the layers before the last.
        activation: Of these.
    """
    inputs = h = keras.Input((latent_dim,), name="z")
    for width in hidden:
        h = keras.layers.Dense(width, activation)(h)
    h = keras.layers.Dense(math.prod(output_shape))(h)
    if len(output_shape) > 1:
        h = keras.layers.Reshape(tuple(output_shape))(h)
    return keras.Model(inputs, h, name="decoder")


def conv_encoder(
    x_shape: Sequence[int],
    units: int,
    filters: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (256,),
    activation: str = "relu",
    before: Sequence[keras.Layer] = (),
) -> keras.Model:
    """Convolutions of width 4 and stride 2, then dense layers.

    Args:
        x_shape: Height, width and channels.
        units: Of the last layer.
        filters: Of each convolution.
        hidden: Units of the dense layers before the last.
        activation: Of all but the last.
        before: Layers that prepare the images.
    """
    inputs = h = keras.Input(tuple(x_shape), name="x")
    for layer in before:
        h = layer(h)
    for count in filters:
        h = keras.layers.Conv2D(count, 4, 2, padding="same", activation=activation)(h)
    h = keras.layers.Flatten()(h)
    for width in hidden:
        h = keras.layers.Dense(width, activation)(h)
    return keras.Model(inputs, keras.layers.Dense(units)(h), name="encoder")


def conv_decoder(
    latent_dim: int,
    output_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (256,),
    activation: str = "relu",
) -> keras.Model:
    """The mirror of ``conv_encoder``: transposed convolutions up to ``output_shape``.

    Args:
        latent_dim: Size of a code.
        output_shape: Height, width and outputs of a pixel.
        filters: Of the encoder's convolutions, in its order.
        hidden: Units of the encoder's dense layers, in its order.
        activation: Of all but the last layer.
    """
    low = [_halved(length, len(filters)) for length in output_shape[:2]]
    inputs = h = keras.Input((latent_dim,), name="z")
    for count in reversed(hidden):
        h = keras.layers.Dense(count, activation)(h)
    h = keras.layers.Dense(math.prod(low) * filters[-1], activation)(h)
    h = keras.layers.Reshape((*low, filters[-1]))(h)
    return keras.Model(inputs, upsampled(h, output_shape, filters, activation), name="decoder")


def upsampled(
    h: keras.KerasTensor, output_shape: Sequence[int], filters: Sequence[int], activation: str
) -> keras.KerasTensor:
    """Transposed convolutions of width 4 and stride 2, cropped to ``output_shape``.

    Args:
        h: A map of features.
        output_shape: Height, width and outputs of a pixel.
        filters: Of the encoder's convolutions, in its order; each doubles the map here.
        activation: Of all but the last layer.
    """
    height, width, channels = output_shape
    for count in reversed(filters[:-1]):
        h = keras.layers.Conv2DTranspose(count, 4, 2, padding="same", activation=activation)(h)
    h = keras.layers.Conv2DTranspose(channels, 4, 2, padding="same")(h)
    excess = h.shape[1] - height, h.shape[2] - width
    return keras.layers.Cropping2D(((0, excess[0]), (0, excess[1])))(h) if any(excess) else h


def sequence_encoder(
    x_shape: Sequence[int],
    units: int,
    cell: str = "gru",
    cell_units: int = 64,
    before: Sequence[keras.Layer] = (),
) -> keras.Model:
    """A recurrent layer whose last state is read by a dense one.

    Args:
        x_shape: Steps and dimensions.
        units: Of the last layer.
        cell: ``gru`` or ``lstm``.
        cell_units: Of the recurrent layer.
        before: Layers that prepare the sequences.
    """
    inputs = h = keras.Input(tuple(x_shape), name="x")
    for layer in before:
        h = layer(h)
    h = _recurrent(cell)(cell_units)(h)
    return keras.Model(inputs, keras.layers.Dense(units)(h), name="encoder")


def sequence_decoder(
    latent_dim: int, output_shape: Sequence[int], cell: str = "gru", cell_units: int = 64
) -> keras.Model:
    """The code at each step into a recurrent layer, and a dense one on each of its states.

    Args:
        latent_dim: Size of a code.
        output_shape: Steps, and outputs of a step.
        cell: ``gru`` or ``lstm``.
        cell_units: Of the recurrent layer.
    """
    inputs = keras.Input((latent_dim,), name="z")
    h = keras.layers.RepeatVector(output_shape[0])(inputs)
    h = _recurrent(cell)(cell_units, return_sequences=True)(h)
    return keras.Model(inputs, keras.layers.Dense(output_shape[1])(h), name="decoder")


def nets(
    options: BaseOptions,
    info: DataInfo | None,
    units: int,
    latent_dim: int,
    outputs: int,
    before: Sequence[keras.Layer] = (),
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder for data that ``info`` describes.

    Args:
        options: See BaseOptions.
        info: Of the training data.
        units: That the encoder ends in.
        latent_dim: Size of the codes that the decoder takes.
        outputs: Of the decoder, for the last axis of a row; of ``categorical`` rows for an axis
            more.
        before: Layers that prepare the encoder's rows.

    Raises:
        DataError: If the rows are of a shape that the architecture cannot take.
    """
    kind, shape = kind_of(options, info)
    labels = options.likelihood == "categorical"
    last = (*shape, outputs) if labels else (*shape[:-1], outputs)
    if kind == "mlp":
        encoder = mlp_encoder(shape, units, options.hidden, options.activation, before)
        reverse = tuple(reversed(options.hidden))
        return encoder, mlp_decoder(latent_dim, last, reverse, options.activation)
    channels = (*shape[:-1], shape[-1] * outputs) if labels else last
    before = [*before, keras.layers.Reshape(channels)] if labels else before
    if kind == "sequence":
        cell = options.cell, options.cell_units
        encoder = sequence_encoder(shape, units, *cell, before)
        decoder = sequence_decoder(latent_dim, channels, *cell)
    else:
        layers = options.filters, options.hidden, options.activation
        encoder = conv_encoder(shape, units, *layers, before)
        decoder = conv_decoder(latent_dim, channels, *layers)
    if labels:
        by_class = keras.layers.Reshape(last)(decoder.output)
        decoder = keras.Model(decoder.input, by_class, name="decoder")
    return encoder, decoder


def kind_of(options: BaseOptions, info: DataInfo | None) -> tuple[str, tuple[int, ...]]:
    """The architecture, and the shape of a row.

    Raises:
        DataError: If the architecture cannot take such rows.
        OptionsError: If it lacks its filters, or a layer would have no units.
    """
    shape = row_shape(info)
    kind = RANKS.get(len(shape), "mlp") if options.architecture == "auto" else options.architecture
    if kind in NEEDED and len(shape) != NEEDED[kind][0]:
        raise DataError(
            f"The architecture {kind!r} takes {NEEDED[kind][1]}. "
            f"Received: rows of shape {list(shape)}."
        )
    if kind == "conv" and not options.filters:
        raise OptionsError("The architecture 'conv' needs filters. Received: none.")
    for name in ("hidden", "filters"):
        if min(getattr(options, name), default=1) < 1:
            raise OptionsError(
                f"{name!r} must be numbers of at least 1. Received: {getattr(options, name)!r}."
            )
    return kind, shape


def row_shape(info: DataInfo | None) -> tuple[int, ...]:
    """The shape of a row.

    Raises:
        DataError: If there are no data, several inputs, or an axis of unknown length.
    """
    shape: Any = None if info is None else info.x_shape
    if not isinstance(shape, tuple) or not shape or None in shape:
        raise DataError(
            "An auto-encoder takes rows of one fixed shape, such as [n, d]. "
            f"Received: {'no data' if shape is None else f'rows of shape {shape}'}."
        )
    return shape


def _recurrent(cell: str) -> type[keras.Layer]:
    kinds: dict[str, type[keras.Layer]] = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    return kinds[cell]


def _halved(length: int, times: int) -> int:
    for _ in range(times):
        length = math.ceil(length / 2)
    return length
