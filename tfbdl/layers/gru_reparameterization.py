"""GRUReparameterization: a GRU with one draw of its weights for all time steps of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from .recurrent import VariationalRecurrent


@keras.saving.register_keras_serializable(package="tfbdl")
class GRUReparameterization(VariationalRecurrent):
    """A GRU whose weights are drawn anew at each call, one draw for all time steps and rows.

    The divergences of the posteriors from the priors are among ``losses``, divided by ``num_data``
    if that is given.

    Args:
        units: Of the states and outputs, at least 1.
        activation, recurrent_activation, use_bias, reset_after: As in ``keras.layers.GRU``. With
            ``reset_after``, the default, the bias has one row for the inputs and one for the
            states.
        **kwargs: As in VariationalRecurrent.

    Shapes:
        inputs: ``[n, steps, d]``
        outputs: ``[n, units]``, or ``[n, steps, units]`` with ``return_sequences``; then the state
            with ``return_state``.

    Raises:
        OptionsError, ModelError: As in VariationalRecurrent.

    References:
        Fortunato, Blundell and Vinyals 2017, "Bayesian Recurrent Neural Networks", algorithm 1.
        Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder", section 2.3.

    Example:
        ```python
        layer = tfbdl.layers.GRUReparameterization(32, return_sequences=True, num_data=len(x))
        ```
    """

    gates: ClassVar[int] = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        self.reset_after = bool(reset_after)
        super().__init__(units, activation, recurrent_activation, use_bias, **kwargs)

    def make_cell(self, **options: Any) -> keras.layers.Layer:
        """Keras' cell."""
        return keras.layers.GRUCell(reset_after=self.reset_after, **options)

    def bias_shape(self) -> Sequence[int]:
        """With ``reset_after`` the two rows of Keras' cell."""
        columns = self.gates * self.units
        return [2, columns] if self.reset_after else [columns]

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().get_config(), "reset_after": self.reset_after}
