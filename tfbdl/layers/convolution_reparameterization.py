"""Convolutions over one, two and three axes, by reparameterisation."""

from __future__ import annotations

import keras

from .convolution import ForwardConvolution
from .reparameterization import Reparameterization


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution1DReparameterization(Reparameterization, ForwardConvolution):
    """A convolution over one spatial axis with one drawn kernel a call.

    Kernel and bias are drawn anew at each call, one draw for all rows. The divergences are among
    ``losses``, divided by ``num_data`` if that is given.

    Args:
        filters: Channels of the outputs, at least 1.
        kernel_size: Of each spatial axis.
        *args, **kwargs: As in VariationalConvolution.

    Shapes:
        inputs: ``[n, length, channels]``
        outputs: ``[n, new_length, filters]``

    Raises:
        OptionsError, ModelError: As in VariationalConvolution.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", section 2.4.

    Example:
        ```python
        convolution = tfbdl.layers.Convolution1DReparameterization(
            16, 5, padding="same", activation="relu", num_data=len(x)
        )
        ```
    """

    rank = 1


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution2DReparameterization(Reparameterization, ForwardConvolution):
    """A convolution over two spatial axes with one drawn kernel a call.

    Args:
        As for Convolution1DReparameterization.

    Shapes:
        inputs: ``[n, height, width, channels]``
        outputs: ``[n, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DReparameterization.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution3DReparameterization(Reparameterization, ForwardConvolution):
    """A convolution over three spatial axes with one drawn kernel a call.

    Args:
        As for Convolution1DReparameterization.

    Shapes:
        inputs: ``[n, depth, height, width, channels]``
        outputs: ``[n, new_depth, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DReparameterization.
    """

    rank = 3
