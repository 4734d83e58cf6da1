"""Convolutions over one, two and three axes, by Flipout."""

from __future__ import annotations

import keras

from .convolution import ForwardConvolution
from .flipout import Flipout


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution1DFlipout(Flipout, ForwardConvolution):
    """A convolution over one spatial axis with a drawn kernel that signs vary by row.

    One perturbation of the kernel is drawn a call; each row has random signs of its own for the
    channels of inputs and outputs, the same at all positions.

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
        Wen, Vicol, Ba, Tran and Grosse 2018, "Flipout: Efficient Pseudo-Independent Weight
        Perturbations on Mini-Batches", equation (4).

    Example:
        ```python
        convolution = tfbdl.layers.Convolution1DFlipout(
            16, 5, padding="same", activation="relu", num_data=len(x)
        )
        ```
    """

    rank = 1


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution2DFlipout(Flipout, ForwardConvolution):
    """A convolution over two spatial axes with a drawn kernel that signs vary by row.

    Args:
        As for Convolution1DFlipout.

    Shapes:
        inputs: ``[n, height, width, channels]``
        outputs: ``[n, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DFlipout.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution3DFlipout(Flipout, ForwardConvolution):
    """A convolution over three spatial axes with a drawn kernel that signs vary by row.

    Args:
        As for Convolution1DFlipout.

    Shapes:
        inputs: ``[n, depth, height, width, channels]``
        outputs: ``[n, new_depth, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DFlipout.
    """

    rank = 3
