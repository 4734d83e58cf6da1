"""LSTMReparameterization: an LSTM with one draw of its weights for all time steps of a call."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from .posterior_layer import Function
from .recurrent import VariationalRecurrent
from .weight_functions import MeanFieldNormal


@keras.saving.register_keras_serializable(package="tfbdl")
class UnitForgetBias(keras.initializers.Initializer):
    """One for the forget gates of an LSTM and zero for its other gates.

    References:
        Jozefowicz, Zaremba and Sutskever 2015, "An Empirical Exploration of Recurrent Network
        Architectures".
    """

    def __call__(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        """``[4 * units]``, in Keras' order of the gates: input, forget, cell, output."""
        zeros = tf.zeros([shape[-1] // 4], dtype or keras.config.floatx())
        return tf.concat([zeros, tf.ones_like(zeros), zeros, zeros], 0)


UNIT_FORGET = MeanFieldNormal(is_singular=True, loc_initializer=UnitForgetBias())


@keras.saving.register_keras_serializable(package="tfbdl")
class LSTMReparameterization(VariationalRecurrent):
    """An LSTM whose weights are drawn anew at each call, one draw for all time steps and rows.

    The divergences of the posteriors from the priors are among ``losses``; with ``num_data`` they
    are divided by it. With truncated back-propagation, of C pieces a row, each piece is a row, so
    that each batch carries ``KL / (B C)``.

    Args:
        units: Of the states and outputs, at least 1.
        activation, recurrent_activation, use_bias: As in ``keras.layers.LSTM``.
        bias_posterior_fn: By default a point that begins at UnitForgetBias.
        **kwargs: As in VariationalRecurrent.

    Shapes:
        inputs: ``[n, steps, d]``
        outputs: ``[n, units]``, or ``[n, steps, units]`` with ``return_sequences``; then the states
            h and c with ``return_state``.

    Raises:
        OptionsError, ModelError: As in VariationalRecurrent.

    References:
        Fortunato, Blundell and Vinyals 2017, "Bayesian Recurrent Neural Networks", algorithm 1.
        Gal and Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent
        Neural Networks", section 4: one draw of the weights for the whole sequence.

    Example:
        ```python
        model = keras.Sequential(
            [
                tfbdl.layers.EmbeddingReparameterization(64, 16, num_data=len(x)),
                tfbdl.layers.LSTMReparameterization(32, num_data=len(x)),
                tfbdl.layers.DenseReparameterization(1, num_data=len(x)),
            ]
        )
        ```
    """

    gates: ClassVar[int] = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        bias_posterior_fn: Function | None = UNIT_FORGET,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            bias_posterior_fn=bias_posterior_fn,
            **kwargs,
        )

    def make_cell(self, **options: Any) -> keras.layers.Layer:
        """Keras' cell."""
        return keras.layers.LSTMCell(**options)
