"""VariationalRecurrent: the base of the recurrent layers with one draw of their weights a call."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..config import check_whole
from ..errors import OptionsError
from .configs import activation_from, configs_of
from .defaults import DIVERGENCE, DRAW, PRIOR
from .dense import width_of
from .noise import NoisyLayer
from .num_data import add_divergences
from .posterior_layer import Function, PosteriorLayer
from .weight_functions import MeanFieldNormal

GLOROT = MeanFieldNormal(loc_initializer="glorot_uniform")
ORTHOGONAL = MeanFieldNormal(loc_initializer="orthogonal")
ZEROS = MeanFieldNormal(is_singular=True, loc_initializer="zeros")

_ELSEWHERE = frozenset(  # arguments of Keras' layers that these lack
    {f"{part}_{role}" for part in ("kernel", "recurrent", "bias")
     for role in ("initializer", "regularizer", "constraint")}
    | {"dropout", "recurrent_dropout", "unit_forget_bias"}
)  # fmt: skip


class VariationalRecurrent(PosteriorLayer, keras.layers.RNN, abc.ABC):
    """A recurrent layer whose weights are drawn at each call, once for all its time steps and rows.

    The recurrence and its cell are Keras' own: states, masks, ``go_backwards``, ``stateful`` and
    the rest are as there, and with posteriors of no width so are the outputs. By default the means
    begin where Keras' weights begin. It is no ``keras.layers.LSTM``, since Keras looks into the
    cells of those, and has no path through cuDNN.

    Args:
        units: Of the states and outputs, at least 1.
        activation, recurrent_activation, use_bias: As in Keras.
        kernel_posterior_fn, kernel_posterior_tensor_fn, kernel_prior_fn, kernel_divergence_fn: Of
            the weights of the inputs, as in VariationalLayer.
        recurrent_kernel_posterior_fn, ...: Likewise, of the weights of the states.
        bias_posterior_fn, ...: Likewise; by default a point without a prior. None: no bias.
        num_data: By which divergences are divided. It counts what Keras averages the loss over:
            rows, or where each time step has a loss of its own the steps of all rows.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``,
            ``unroll``, ``activity_regularizer``, and what else ``keras.layers.RNN`` takes.
            Initialisers, regularisers and constraints are arguments of the functions.

    Attributes:
        kernel_posterior, kernel_prior, recurrent_kernel_posterior, recurrent_kernel_prior,
            bias_posterior, bias_prior: Distributions with the present values of their parameters,
            or None.

    Shapes:
        inputs: ``[n, steps, d]``
        kernel: ``[d, gates * units]``
        recurrent_kernel: ``[units, gates * units]``
        outputs: ``[n, units]``, or ``[n, steps, units]`` with ``return_sequences``; then the states
            with ``return_state``.

    Raises:
        OptionsError, ModelError: As in VariationalLayer.
    """

    weight_names: ClassVar[tuple[str, ...]] = ("kernel", "recurrent_kernel", "bias")
    gates: ClassVar[int]

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        kernel_posterior_fn: Function = GLOROT,
        kernel_posterior_tensor_fn: Function = DRAW,
        kernel_prior_fn: Function | None = PRIOR,
        kernel_divergence_fn: Function | None = DIVERGENCE,
        recurrent_kernel_posterior_fn: Function = ORTHOGONAL,
        recurrent_kernel_posterior_tensor_fn: Function = DRAW,
        recurrent_kernel_prior_fn: Function | None = PRIOR,
        recurrent_kernel_divergence_fn: Function | None = DIVERGENCE,
        bias_posterior_fn: Function | None = ZEROS,
        bias_posterior_tensor_fn: Function = DRAW,
        bias_prior_fn: Function | None = None,
        bias_divergence_fn: Function | None = DIVERGENCE,
        num_data: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse_what_is_elsewhere(type(self).__name__, kwargs)
        cell = self.make_cell(
            units=check_whole("units", units),
            activation=activation_from(activation),
            recurrent_activation=activation_from(recurrent_activation),
            use_bias=bool(use_bias) and bias_posterior_fn is not None,
            dtype=kwargs.get("dtype"),
            name="cell",
        )
        super().__init__(num_data=num_data, seed=seed, cell=cell, **kwargs)
        self.input_spec = keras.InputSpec(ndim=3)
        self.units, self.use_bias = cell.units, cell.use_bias
        self.activation, self.recurrent_activation = cell.activation, cell.recurrent_activation
        self.kernel_posterior_fn = kernel_posterior_fn
        self.kernel_posterior_tensor_fn = kernel_posterior_tensor_fn
        self.kernel_prior_fn = kernel_prior_fn
        self.kernel_divergence_fn = kernel_divergence_fn
        self.recurrent_kernel_posterior_fn = recurrent_kernel_posterior_fn
        self.recurrent_kernel_posterior_tensor_fn = recurrent_kernel_posterior_tensor_fn
        self.recurrent_kernel_prior_fn = recurrent_kernel_prior_fn
        self.recurrent_kernel_divergence_fn = recurrent_kernel_divergence_fn
        self.bias_posterior_fn = bias_posterior_fn if use_bias else None
        self.bias_posterior_tensor_fn = bias_posterior_tensor_fn
        self.bias_prior_fn = bias_prior_fn
        self.bias_divergence_fn = bias_divergence_fn

    @abc.abstractmethod
    def make_cell(self, **options: Any) -> keras.layers.Layer:
        """Keras' cell, which will be lent its weights; called before all else."""

    def bias_shape(self) -> Sequence[int]:
        """Of the cell's bias."""
        return [self.gates * self.units]

    def build(self, sequences_shape: Any = None, initial_state_shape: Any = None) -> None:
        """Make the weights, and the states if the layer keeps them.

        Raises:
            ModelError: If the last axis of the inputs is not known.
        """
        columns = self.gates * self.units
        width = width_of(sequences_shape, self)
        self._kernel = self.variational_weight("kernel", [width, columns])
        self._recurrent_kernel = self.variational_weight("recurrent_kernel", [self.units, columns])
        self._bias = None
        if self.use_bias:
            self._bias = self.variational_weight("bias", self.bias_shape())
        NoisyLayer.build(self)
        self.cell.built = True  # it gets drawn weights, and makes none
        keras.layers.RNN.build(self, sequences_shape, initial_state_shape)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = False,
    ) -> Any:
        """Keras' recurrence with weights drawn anew; the divergences become losses."""
        values, divergences = self.drawn_weights(self.next_call())
        add_divergences(self, divergences, training)
        dtype = self.cell.compute_dtype
        drawn = [None if value is None else tf.cast(value, dtype) for value in values]
        with self._cell_with(drawn):
            return super().call(
                sequences, initial_state=initial_state, mask=mask, training=training
            )

    @contextlib.contextmanager
    def _cell_with(self, values: Sequence[tf.Tensor | None]) -> Iterator[None]:
        """Lend the cell its weights for one call; kept longer they would be of another graph."""
        try:
            for name, value in zip(self.weight_names, values, strict=True):
                setattr(self.cell, name, value)
            yield
        finally:
            for name in self.weight_names:
                setattr(self.cell, name, None)

    @property
    def recurrent_kernel_posterior(self) -> tfd.Distribution | None:
        """q(recurrent kernel)."""
        return self.present("recurrent_kernel", "posterior")

    @property
    def recurrent_kernel_prior(self) -> tfd.Distribution | None:
        """p(recurrent kernel)."""
        return self.present("recurrent_kernel", "prior")

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        config = {name: v for name, v in super().get_config().items() if name != "cell"}
        own = configs_of(self, ["activation", "recurrent_activation", "activity_regularizer"])
        return {**config, **own, "units": self.units, "use_bias": self.use_bias}


def _refuse_what_is_elsewhere(kind: str, kwargs: dict[str, Any]) -> None:
    """Raise OptionsError for arguments of Keras' layer that have another place here."""
    given = sorted(_ELSEWHERE & set(kwargs))
    if {"dropout", "recurrent_dropout"} & set(given):
        raise OptionsError(
            f"{kind} drops nothing: its weights are random themselves. To drop inputs, one mask "
            "for all time steps, put MCDropout(rate, noise_shape=(None, 1, None)) before it. "
            f"Received: {', '.join(given)}."
        )
    if given:
        raise OptionsError(
            f"{kind} takes initialisers, regularisers and constraints through the functions that "
            "make its posteriors, such as kernel_posterior_fn=default_mean_field_normal_fn("
            "loc_initializer='glorot_uniform'). "
            f"Received: {', '.join(given)}."
        )
