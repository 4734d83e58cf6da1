"""DenseFlipout: a dense layer with a drawn kernel that random signs vary from row to row."""

from __future__ import annotations

import keras

from .dense import VariationalDense
from .flipout import Flipout


@keras.saving.register_keras_serializable(package="tfbdl")
class DenseFlipout(Flipout, VariationalDense):
    """A dense layer with one drawn perturbation a call, under random signs of each row's own.

    Gradients of a batch vary less than those of DenseReparameterization, for a second matrix
    product. The posterior of the kernel must be of independent normals.

    Args:
        units: Of the outputs, at least 1.
        *args, **kwargs: As in VariationalDense. ``kernel_posterior_tensor_fn`` gets the normal of
            the perturbation, whose mean is zero.

    Shapes:
        inputs: ``[..., d]``; each of the leading axes has signs of its own.
        outputs: ``[..., units]``

    Raises:
        OptionsError, ModelError: As in VariationalLayer, and ModelError if the posterior of the
            kernel is not normal.

    References:
        Wen, Vicol, Ba, Tran and Grosse 2018, "Flipout: Efficient Pseudo-Independent Weight
        Perturbations on Mini-Batches", equation (4).

    Example:
        ```python
        layer = tfbdl.layers.DenseFlipout(64, "relu", num_data=len(x), seed=7)
        ```
    """
