"""Transposed convolutions over one, two and three axes, by Flipout."""

from __future__ import annotations

import keras

from .convolution_transpose import TransposedConvolution
from .flipout import Flipout


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution1DTransposeFlipout(Flipout, TransposedConvolution):
    """A transposed convolution over one spatial axis, its drawn kernel varied by row.

    One perturbation of the kernel is drawn a call; each row has random signs of its own for the
    channels of inputs and outputs, the same at all positions.

    Args:
        filters: Channels of the outputs, at least 1.
        kernel_size: Of each spatial axis.
        *args, **kwargs: As in TransposedConvolution.

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
        convolution = tfbdl.layers.Convolution1DTransposeFlipout(
            16, 4, strides=2, padding="same", activation="relu", num_data=len(x)
        )
        ```
    """

    rank = 1


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution2DTransposeFlipout(Flipout, TransposedConvolution):
    """A transposed convolution over two spatial axes, its drawn kernel varied by row.

    Args:
        As for Convolution1DTransposeFlipout.

    Shapes:
        inputs: ``[n, height, width, channels]``
        outputs: ``[n, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DTransposeFlipout.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="tfbdl")
class Convolution3DTransposeFlipout(Flipout, TransposedConvolution):
    """A transposed convolution over three spatial axes, its drawn kernel varied by row.

    Args:
        As for Convolution1DTransposeFlipout.

    Shapes:
        inputs: ``[n, depth, height, width, channels]``
        outputs: ``[n, new_depth, new_height, new_width, filters]``

    Raises, References:
        As for Convolution1DTransposeFlipout.
    """

    rank = 3
