"""Transposed convolutions over one, two and three axes, by reparameterisation."""

from __future__ import annotations

import keras

from .convolution_transpose import TransposedConvolution
from .reparameterization import Reparameterization


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution1DTransposeReparameterization(Reparameterization, TransposedConvolution):
    """A transposed convolution over one spatial axis, with one drawn kernel a call.

    Kernel and bias are drawn anew at each call, one draw for all rows. The divergences are among
    ``losses``, divided by ``num_data`` if that is given.

    Args:
        filters: Channels of the outputs, at least 1.
        kernel_size: Of each spatial axis.
        *args, **kwargs: As in TransposedConvolution.

    Shapes:
        inputs: ``[n, length, channels]``
        outputs: ``[n, new_length, filters]``

    Raises:
        OptionsError, ModelError: As in VariationalConvolution.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", section 2.4.

    Example:
        ```python
        convolution = tfbdl.layers.Convolution1DTransposeReparameterization(
            16, 4, strides=2, padding="same", activation="relu", num_data=len(x)
        )
        ```
    """

    rank = 1


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution2DTransposeReparameterization(Reparameterization, TransposedConvolution):
    """A transposed convolution over two spatial axes, with one drawn kernel a call.

    Args:
        As for Convolution1DTransposeReparameterization.

    Shapes:
        inputs: ``[n, height, width, channels]``
        outputs: ``[n, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DTransposeReparameterization.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution3DTransposeReparameterization(Reparameterization, TransposedConvolution):
    """A transposed convolution over three spatial axes, with one drawn kernel a call.

    Args:
        As for Convolution1DTransposeReparameterization.

    Shapes:
        inputs: ``[n, depth, height, width, channels]``
        outputs: ``[n, new_depth, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DTransposeReparameterization.
    """

    rank = 3
