"""Convolutions over one, two and three axes, by local reparameterisation."""

from __future__ import annotations

import keras

from .convolution import ForwardConvolution
from .local_reparameterization import LocalReparameterization


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution1DLocalReparameterization(LocalReparameterization, ForwardConvolution):
    """A convolution over one spatial axis whose activations are drawn, each by itself.

    An activation is ``N(convolve(x, mu), convolve(x^2, sigma^2))``, as under a drawn kernel; but
    two positions are independent, which under one kernel they are not.

    Args:
        filters: Channels of the outputs, at least 1.
        kernel_size: Of each spatial axis.
        *args, **kwargs: As in VariationalConvolution.

    Shapes:
        inputs: ``[n, length, channels]``
        outputs: ``[n, new_length, filters]``

    Raises:
        OptionsError, ModelError: As in VariationalConvolution,
            and ModelError if the posterior of the kernel is not of independent normals.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", equation (6).

    Example:
        ```python
        convolution = tfbdl.layers.Convolution1DLocalReparameterization(
            16, 5, padding="same", activation="relu", num_data=len(x)
        )
        ```
    """

    rank = 1


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution2DLocalReparameterization(LocalReparameterization, ForwardConvolution):
    """A convolution over two spatial axes whose activations are drawn, each by itself.

    Args:
        As for Convolution1DLocalReparameterization.

    Shapes:
        inputs: ``[n, height, width, channels]``
        outputs: ``[n, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DLocalReparameterization.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution3DLocalReparameterization(LocalReparameterization, ForwardConvolution):
    """A convolution over three spatial axes whose activations are drawn, each by itself.

    Args:
        As for Convolution1DLocalReparameterization.

    Shapes:
        inputs: ``[n, depth, height, width, channels]``
        outputs: ``[n, new_depth, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DLocalReparameterization.
    """

    rank = 3
