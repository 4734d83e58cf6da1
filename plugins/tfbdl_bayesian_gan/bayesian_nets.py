"""The nets of a Bayesian GAN where none are given: those of ``builders``, without state."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfbdl.config import check_choice
from tfbdl.errors import OptionsError

from . import builders

ARCHITECTURES = ("mlp", "conv")


def generator(
    architecture: str,
    latent_dim: int,
    data_shape: Sequence[int],
    *,
    hidden: Sequence[int],
    filters: Sequence[int],
    output: str,
    batch_standardization: bool = False,
) -> keras.Model:
    """A net from noise to rows.

    Args:
        architecture: ``mlp`` or ``conv``.
        latent_dim: Size of the noise.
        data_shape: Of a row.
        hidden: Units of the hidden layers of mlp.
        filters: Of the discriminator's convolutions, in its order.
        output: Activation of the last layer.
        batch_standardization: Of the hidden layers of mlp.

    Raises:
        OptionsError: If there is no such architecture, or rows are no images for conv.
    """
    check_choice("architecture", architecture, ARCHITECTURES)
    if architecture == "conv":
        if batch_standardization:
            raise _of_dense_nets("generator_standardization")
        return builders.conv_generator(
            latent_dim, data_shape, filters, output, batch_normalization=False
        )
    return builders.mlp_generator(
        latent_dim, data_shape, hidden, output, batch_standardization=batch_standardization
    )


def discriminator(
    architecture: str,
    data_shape: Sequence[int],
    *,
    hidden: Sequence[int],
    filters: Sequence[int],
    num_classes: int = 0,
    noise: float = 0.0,
    weight_normalization: bool = False,
    slope: float = builders.SLOPE,
) -> keras.Model:
    """A net from rows to a logit, or to ``num_classes + 1`` of them, the first for generated rows.

    Arguments and errors are those of ``generator``; ``noise``, ``weight_normalization``
    and ``slope`` are of dense nets alone (see ``builders.mlp_discriminator``).
    """
    check_choice("architecture", architecture, ARCHITECTURES)
    if architecture == "conv":
        if noise or weight_normalization:
            raise _of_dense_nets("discriminator_noise" if noise else "weight_normalization")
        net = builders.conv_discriminator(data_shape, filters, batch_normalization=False)
    else:
        net = builders.mlp_discriminator(
            data_shape,
            tuple(reversed(hidden)),
            noise=noise,
            weight_normalization=weight_normalization,
            slope=slope,
        )
    if not num_classes:
        return net
    features = net.layers[-1].input
    logits = keras.layers.Dense(num_classes + 1, name="logits")(features)
    return keras.Model(net.inputs, logits, name="discriminator")


def check(role: str, net: keras.Model, takes: tuple[int, ...], gives: tuple[int, ...]) -> None:
    """Refuse a net of other shapes.

    Args:
        role: What to call it.
        net: Built.
        takes, gives: Shapes of a row that it should take and give.

    Raises:
        OptionsError: With both.
    """
    shapes = tuple(net.input_shape[1:]), tuple(net.output_shape[1:])
    if shapes != (takes, gives):
        raise OptionsError(
            f"The {role} must take rows {list(takes)} and give {list(gives)}. Received: one that "
            f"takes {list(shapes[0])} and gives {list(shapes[1])}."
        )


def _of_dense_nets(option: str) -> OptionsError:
    return OptionsError(
        f"{option} is of dense nets. Expected: architecture='mlp'. Received: 'conv'."
    )
