"""From options and a description of the data to a model."""

from __future__ import annotations

from typing import Any

import keras

from tfbdl import functional
from tfbdl.data import DataInfo
from tfbdl.errors import DataError, OptionsError

from . import builders
from . import codes as codes_of
from .codes import Categorical, Code, Uniform
from .config import GANOptions, InfoGANOptions
from .gan import GAN
from .info_gan import InfoGAN


def build_gan(options: GANOptions, info: DataInfo | None, prior: Any, seed: int) -> GAN:
    """A GAN for data that ``info`` describes.

    Args:
        options: See GANOptions.
        info: Shape and moments of the training data.
        prior: None; ``latent_prior`` is an option of the model.
        seed: Of the weights and the noise.

    Raises:
        DataError: If the data are of a shape that the nets cannot take.
        OptionsError: If two options do not go together.
    """
    generator, discriminator = nets(options, info, seed)
    return GAN(generator, discriminator, name="gan", **_arguments(options, seed))


def build_info_gan(
    options: InfoGANOptions, info: DataInfo | None, prior: Any, seed: int
) -> InfoGAN:
    """An InfoGAN; see ``build_gan``."""
    codes = codes_from(options)
    sizes, units = codes_of.sizes(codes), codes_of.units(codes)
    generator, discriminator = nets(options, info, seed, sizes, units)
    return InfoGAN(
        generator,
        discriminator,
        codes=codes,
        code_weight=options.code_weight,
        continuous_weight=options.continuous_weight,
        name="info_gan",
        **_arguments(options, seed),
    )


def codes_from(options: InfoGANOptions) -> list[Code]:
    """The codes that the options name.

    Raises:
        OptionsError: If there are none.
    """
    made: list[Code] = [Categorical(classes) for classes in options.categorical]
    made += [Uniform(scale=options.code_scale)] * options.continuous
    if not made:
        raise OptionsError(
            "An info_gan needs a code. Expected: classes in categorical, or continuous of at least "
            "1. Received: neither."
        )
    return made


def nets(
    options: GANOptions,
    info: DataInfo | None,
    seed: int,
    code_sizes: int = 0,
    code_units: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Generator and discriminator with weights from ``seed``.

    Args:
        options: See GANOptions.
        info: Of the data.
        seed: Of the weights.
        code_sizes: Numbers that codes add to the noise.
        code_units: Units of q(c | x); 0: no such output.

    Raises:
        DataError: If the data are of a shape that the nets cannot take.
        OptionsError: If convolutions are asked for where there are no images.
    """
    shape = row_shape(info)
    size = options.latent_dim + code_sizes
    conv = options.architecture == "conv" or (options.architecture == "auto" and len(shape) == 3)
    output = options.output
    if output == "auto":
        output = "sigmoid" if conv else "linear"
    with functional.seeded(seed):
        if conv:
            normalised = options.batch_normalization
            critic = options.objective.startswith("wasserstein")
            return (
                builders.conv_generator(size, shape, options.filters, output, normalised),
                builders.conv_discriminator(
                    shape, options.filters, normalised and not critic, code_units=code_units
                ),
            )
        before, after = _units(info) if output == "linear" else ([], [])
        return (
            builders.mlp_generator(size, shape, options.hidden, output, after),
            builders.mlp_discriminator(shape, tuple(reversed(options.hidden)), code_units, before),
        )


def row_shape(info: DataInfo | None) -> tuple[int, ...]:
    """The shape of a row.

    Raises:
        DataError: If rows are mappings, of unknown length, or there are no data.
    """
    shape = None if info is None else info.x_shape
    if not isinstance(shape, tuple) or not shape or any(length is None for length in shape):
        raise DataError(
            "A GAN generates rows of one known shape. Expected: data [n, d], or images "
            f"[n, height, width, channels]. Received: {'no data' if info is None else shape}."
        )
    return tuple(int(length) for length in shape if length is not None)


def _units(info: DataInfo | None) -> tuple[list[keras.Layer], list[keras.Layer]]:
    """Before the discriminator: columns of mean 0 and deviation 1; after the generator: back."""
    if info is None or info.x_mean is None or info.x_std is None:
        return [], []
    variance = [deviation**2 for deviation in info.x_std]
    before = keras.layers.Normalization(mean=list(info.x_mean), variance=variance)
    return [before], [keras.layers.Rescaling(list(info.x_std), list(info.x_mean))]


def _arguments(options: GANOptions, seed: int) -> dict[str, Any]:
    return {
        "latent_dim": options.latent_dim,
        "objective": options.objective,
        "latent_prior": options.latent_prior,
        "discriminator_steps": options.discriminator_steps,
        "label_smoothing": options.label_smoothing,
        "clip": options.clip,
        "penalty": options.penalty,
        "learning_rates": (options.generator_learning_rate, options.discriminator_learning_rate),
        "seed": seed,
    }
