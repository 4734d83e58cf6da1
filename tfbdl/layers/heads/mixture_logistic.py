"""MixtureLogistic: a mixture of laws with independent logistic elements."""

from __future__ import annotations

from typing import ClassVar

import keras

from .independent import IndependentHead
from .independent_logistic import IndependentLogistic
from .mixture import IndependentMixture


@keras.saving.register_keras_serializable(package="tfbdl")
class MixtureLogistic(IndependentMixture):
    """K laws as in IndependentLogistic, with weights: a mixture density network.

    First come K logits of the weights, then the parameters of each component.

    Args:
        num_components: K, at least 1.
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Raises:
        OptionsError: If ``num_components`` or ``event_shape`` is not admitted.

    References:
        Bishop 1994, "Mixture density networks", eqs. 22 to 29.

    Example:
        ```python
        head = tfbdl.layers.MixtureLogistic(5, event_shape=1)
        layers = [keras.layers.Dense(12, "relu"), keras.layers.Dense(head.num_params), head]
        model = keras.Sequential(layers)
        model.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
        ```
    """

    component: ClassVar[type[IndependentHead]] = IndependentLogistic
