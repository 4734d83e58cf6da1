"""DenseReparameterization: a dense layer with one drawn kernel a call."""

from __future__ import annotations

import keras

from .dense import VariationalDense
from .reparameterization import Reparameterization


@keras.saving.register_keras_serializable(package="tfbdl")
class DenseReparameterization(Reparameterization, VariationalDense):
    """A dense layer whose kernel and bias are drawn anew at each call, one draw for all rows.

    The divergences of the posteriors from the priors are among ``losses``; with ``num_data`` they
    are divided by it, as belongs beside a loss that Keras averages over rows.

    Args:
        units: Of the outputs, at least 1.
        *args, **kwargs: As in VariationalDense.

    Shapes:
        inputs: ``[..., d]``
        outputs: ``[..., units]``

    Raises:
        OptionsError, ModelError: As in VariationalLayer.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", section 2.4.
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equations (1) to (6).

    Example:
        ```python
        Dense = tfbdl.layers.DenseReparameterization
        model = keras.Sequential(
            [Dense(64, "relu", num_data=len(x)), Dense(10, num_data=len(x))]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="adam", loss=loss)
        model.fit(x, y, epochs=50)
        ```
    """
