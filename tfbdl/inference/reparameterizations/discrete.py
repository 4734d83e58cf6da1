"""What the estimators ask of a family of discrete variables, and the two there are."""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from ...errors import DataError, UnknownNameError
from . import bernoulli, categorical


class Discrete(Protocol):
    """A family: a module of functions of logits, of one variable or many."""

    def noise(self, shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
        """What perturbs the logits."""

    def perturbed(self, logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Perturbed logits z."""

    def hard(self, z: tf.Tensor) -> tf.Tensor:
        """b, a function of z."""

    def soft(self, z: tf.Tensor, temperature: Any) -> tf.Tensor:
        """What nears b as the temperature falls to 0."""

    def score(self, logits: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """The gradient of ``log p(b)`` in the logits."""

    def conditional(self, logits: tf.Tensor, b: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Perturbed logits given b."""

    def coupled(self, logits: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """The noise at which ``conditional`` gives z back."""


FAMILIES: dict[str, Discrete] = {"bernoulli": bernoulli, "categorical": categorical}


def family(name: str) -> Discrete:
    """A family by its name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in FAMILIES:
        raise UnknownNameError("family of discrete variables", name, FAMILIES)
    return FAMILIES[name]


def checked_logits(logits: Any) -> tf.Tensor:
    """Logits as a tensor.

    Raises:
        DataError: If they are whole numbers, half precision, or hold NaN or plus infinity.
    """
    logits = tf.convert_to_tensor(logits)
    if logits.dtype not in (tf.float32, tf.float64) or not logits.shape.rank:
        raise DataError(
            "Logits are float32 or float64, of at least one axis. "
            f"Received: {logits.dtype.name} of shape {tuple(logits.shape)}."
        )
    static = tf.get_static_value(logits)
    if static is not None and not (static < float("inf")).all():
        raise DataError("Logits must be numbers or minus infinity. Received: NaN or plus infinity.")
    return logits
