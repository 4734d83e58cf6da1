"""Class labels, one logit per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from ..errors import DataError
from .base import Distribution, Likelihood, Tensor, as_outputs, refuse, sum_events

tfd = tfp.distributions


class Categorical(Likelihood):
    """``P(y = c) = softmax(outputs)_c``.

    Shapes:
        outputs: ``[n, ..., classes]``, at least two classes.
        y: labels ``[n, ...]`` or ``[n, ..., 1]`` from 0 to classes - 1, or one-hot
            ``[n, ..., classes]``.
        mean, variance, probs: ``[n, ..., classes]``, those of one-hot targets.

    A label out of range gives an error or NaN in ``log_prob``, never a finite value.

    Example:
        ```python
        tfbdl.likelihoods.Categorical().log_prob(tf.zeros([2, 4]), [0, 3])  # [2], each -log 4
        ```
    """

    name: ClassVar[str] = "categorical"
    is_classification: ClassVar[bool] = True
    is_discrete: ClassVar[bool] = True

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood; the labels are int32."""
        self._checked(parameters)
        return tfd.Categorical(logits=self._logits(outputs, key))

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood."""
        self._checked(parameters)
        logits = self._logits(outputs, key)
        labels = as_labels(y, logits)
        return -sum_events(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood; the class probabilities."""
        return tf.nn.softmax(self._logits(outputs, key))

    def probs(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """The class probabilities ``[n, ..., classes]``."""
        return self.mean(outputs, parameters, key)

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood; ``p (1 - p)``."""
        p = self.mean(outputs, parameters, key)
        return p * (1 - p)

    def _logits(self, outputs: Tensor, key: Any) -> Tensor:
        return at_least_two(self.name, as_outputs(outputs))

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        if size is not None and y.ndim > 1 and y.shape[-1] == size and is_one_hot(y):
            return
        top = "" if size is None else f" to {size - 1}"
        refuse(
            (y != np.floor(y)) | (y < 0) | (y >= (np.inf if size is None else size)),
            y,
            f"Targets of the likelihood {self.name!r} must be integer labels from 0{top}, "
            "or one-hot rows",
        )


def is_one_hot(y: np.ndarray) -> bool:
    """Whether each row of ``y`` is 0 but for a single 1."""
    return bool(np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=-1) == 1))


def at_least_two(name: str, logits: Tensor) -> Tensor:
    """Refuse logits of a single class, whose probability would always be 1.

    Raises:
        DataError: If there is one class.
    """
    if logits.shape[-1] == 1:
        raise DataError(
            f"The likelihood {name!r} needs one output per class, two at least. Received: outputs "
            f"of shape {logits.shape}. Use 'bernoulli' for one logit."
        )
    return logits


def as_labels(y: Any, logits: Tensor) -> Tensor:
    """Labels ``[n, ...]`` in int32 from labels, labels with a last axis of 1, or one-hot rows.

    Raises:
        DataError: If the static shapes do not fit.
    """
    y = tf.convert_to_tensor(y)
    rank, classes = logits.shape.rank, logits.shape[-1]
    labels = y
    if y.shape.rank == rank and y.shape[-1] == 1:
        labels = tf.squeeze(y, -1)
    elif y.shape.rank == rank and y.shape[-1] == classes:
        labels = tf.argmax(y, axis=-1, output_type=tf.int32)
    if not labels.shape.is_compatible_with(logits.shape[:-1]):
        raise DataError(
            f"The targets do not fit the outputs. Expected: labels of shape {logits.shape[:-1]} or "
            f"one-hot targets of shape {logits.shape}. Received: {y.shape}."
        )
    return tf.cast(labels, tf.int32)
