"""EmbeddingReparameterization: a table of vectors, drawn once a call."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from ..config import check_whole
from .defaults import DIVERGENCE, DRAW, POSTERIOR, PRIOR
from .noise import NoisyLayer
from .num_data import add_divergences
from .posterior_layer import Function, PosteriorLayer


@keras.saving.register_keras_serializable(package="tfbdl")
class EmbeddingReparameterization(PosteriorLayer):
    """A vector for each index, from a table that is drawn anew at each call.

    The table is the kernel of a dense layer over one-hot inputs, and its functions bear that name.
    All indices of a call look into one drawn table: a word that occurs twice has one vector. The
    divergence is that of the whole table, divided by ``num_data`` if that is given, whichever
    indices occur.

    Args:
        input_dim: Number of indices, at least 1.
        output_dim: Length of the vectors, at least 1.
        mask_zero: Whether index 0 is padding, which the layers after it leave out.
        kernel_posterior_fn, kernel_posterior_tensor_fn, kernel_prior_fn, kernel_divergence_fn:
            As in VariationalLayer.
        num_data: As in VariationalLayer.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs: ``[...]``, integers from 0 to ``input_dim - 1``.
        kernel: ``[input_dim, output_dim]``
        outputs: ``[..., output_dim]``

    Raises:
        OptionsError, ModelError: As in VariationalLayer.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", section 2.4.

    Example:
        ```python
        embedding = tfbdl.layers.EmbeddingReparameterization(5000, 32, num_data=len(x))
        ```
    """

    weight_names: ClassVar[tuple[str, ...]] = ("kernel",)

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_zero: bool = False,
        kernel_posterior_fn: Function = POSTERIOR,
        kernel_posterior_tensor_fn: Function = DRAW,
        kernel_prior_fn: Function | None = PRIOR,
        kernel_divergence_fn: Function | None = DIVERGENCE,
        num_data: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False  # half precision would round indices
        super().__init__(num_data=num_data, seed=seed, **kwargs)
        self.input_dim = check_whole("input_dim", input_dim)
        self.output_dim = check_whole("output_dim", output_dim)
        self.mask_zero = self.supports_masking = bool(mask_zero)
        self.kernel_posterior_fn = kernel_posterior_fn
        self.kernel_posterior_tensor_fn = kernel_posterior_tensor_fn
        self.kernel_prior_fn = kernel_prior_fn
        self.kernel_divergence_fn = kernel_divergence_fn

    def build(self, input_shape: Any = None) -> None:
        """Make the table."""
        self._kernel = self.variational_weight("kernel", [self.input_dim, self.output_dim])
        NoisyLayer.build(self)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """The vectors of the indices; the divergence becomes a loss."""
        indices = tf.convert_to_tensor(inputs)
        if indices.dtype not in (tf.int32, tf.int64):
            indices = tf.cast(indices, tf.int32)
        (table,), divergences = self.drawn_weights(self.next_call())
        add_divergences(self, divergences, training)
        return tf.cast(tf.gather(table, indices), self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Where the index is not 0, if that is padding."""
        return keras.ops.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``[..., output_dim]``."""
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Vectors of the dtype of computation, whatever that of the indices is."""
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        names = ("input_dim", "output_dim", "mask_zero")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
