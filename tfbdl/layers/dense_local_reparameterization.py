"""DenseLocalReparameterization: a dense layer whose activations are drawn, row by row."""

from __future__ import annotations

import keras

from .dense import VariationalDense
from .local_reparameterization import LocalReparameterization


@keras.saving.register_keras_serializable(package="tfbdl")
class DenseLocalReparameterization(LocalReparameterization, VariationalDense):
    """A dense layer with activations ``N(x @ mu, x^2 @ sigma^2)``, drawn anew for each row.

    Gradients vary less than those of DenseReparameterization, for a second matrix product. The
    posterior of the kernel must be of independent normals.

    Args:
        units: Of the outputs, at least 1.
        *args, **kwargs: As in VariationalDense. ``kernel_posterior_tensor_fn`` gets the normal of
            the activations, ``kernel_divergence_fn`` a kernel drawn for it alone.

    Shapes:
        inputs: ``[..., d]``
        outputs: ``[..., units]``

    Raises:
        OptionsError, ModelError: As in VariationalLayer, and ModelError if the posterior of the
            kernel is not normal.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", equation (6).

    Example:
        ```python
        layer = tfbdl.layers.DenseLocalReparameterization(64, "relu", num_data=len(x))
        ```
    """
