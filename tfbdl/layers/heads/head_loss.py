"""HeadLoss: the loss of a head, for ``compile``, stored with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ...likelihoods.base import Tensor

if TYPE_CHECKING:
    from .head import Head


@keras.saving.register_keras_serializable(package="tfbdl")
class HeadLoss:
    """``loss(y_true, outputs)``: a head's loss of each example, by default ``-log p(y | x)``.

    Keras averages it over the examples, weights them by ``sample_weight`` and divides it rightly
    among replicas. It needs the head's configuration alone, so a stored model finds it again.

    Args:
        head: A Head; its outputs are the model's.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self.name = f"{head.name}_loss"

    def __call__(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each example, ``[...]``, from targets and the head's outputs."""
        return self.head.example_loss(y_true, _with_units(y_pred, self.head.num_params))

    def get_config(self) -> dict[str, Any]:
        """The configuration of the head, without what that adds to the loss."""
        stored = keras.saving.serialize_keras_object(self.head)
        bare = {k: v for k, v in stored["config"].items() if k != "activity_regularizer"}
        return {"head": {**stored, "config": bare, "build_config": None}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HeadLoss:
        """The inverse of ``get_config``."""
        stored = {k: v for k, v in config["head"].items() if v is not None}
        return cls(keras.saving.deserialize_keras_object(stored))


def _with_units(outputs: Any, width: int | None) -> Any:
    """Outputs with their last axis of one unit, which Keras takes away to match the targets."""
    if width != 1:
        return outputs
    outputs = tf.convert_to_tensor(outputs)
    return outputs if outputs.shape[-1:] == [1] else outputs[..., tf.newaxis]
