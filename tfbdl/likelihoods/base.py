"""The base class of all likelihoods: what one datum says, given the outputs of a net."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from ..errors import DataError, ModelError, OptionsError
from ..protocols import Parameter

tfd = tfp.distributions
Tensor: TypeAlias = tf.Tensor
Distribution: TypeAlias = tfp.distributions.Distribution


class Likelihood(abc.ABC):
    """A conditional distribution of the targets, given the outputs of a net.

    Shapes:
        outputs: ``[n, units]`` or ``[n, ..., units]``, computed in float32 at least.
        y: ``[n, ..., d]``, or ``[n, ...]`` where ``d`` is 1; a subclass may take more.
        log_prob: ``[n]``, summed over everything but the first axis.

    Attributes:
        name: The word users type.
        is_classification: Whether ``probs`` gives class probabilities.
        is_discrete: Whether ``log_prob`` is a log probability rather than a log density.
    """

    name: ClassVar[str] = ""
    is_classification: ClassVar[bool] = False
    is_discrete: ClassVar[bool] = False

    def outputs_for(self, size: int) -> int:
        """How many units the net's last layer needs.

        Args:
            size: Dimensions of a target, or the number of classes.
        """
        return size

    def size_for(self, num_outputs: int) -> int:
        """Dimensions of a target (or number of classes) behind so many units of the last layer.

        Raises:
            DataError: If no size needs so many units.
        """
        return num_outputs

    @property
    def lattice(self) -> tuple[float, float] | None:
        """First value and spacing of a discrete likelihood; None: whole numbers from 0."""
        return None

    def parameters(self, dtype: str = "float32") -> Mapping[str, Parameter]:
        """The parameters to be learned beside the net, by name; their priors are of ``dtype``."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The options in plain values; ``likelihoods.get(name, options)`` builds it again."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build it from ``get_config()``.

        Raises:
            OptionsError: If an option is unknown or its value is not admitted.
        """
        known = list(inspect.signature(cls).parameters)
        for option in config:
            if option not in known:
                listed = ", ".join(known) or "none"
                raise OptionsError(
                    f"The likelihood {cls.name!r} has no option {option!r}. Known: {listed}."
                )
        return cls(**config)

    @abc.abstractmethod
    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """The distribution of each element of a target, with scalar events.

        Use it for ``cdf``, ``quantile`` and ``entropy``; its batch shape is a target's shape.

        Args:
            outputs: The net's outputs.
            parameters: The learned parameters, constrained, by name.
            key: The key ``[2]`` of a likelihood that draws noise; others leave it unread.
        """

    @abc.abstractmethod
    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """The log likelihood of each datum, in nats: ``[n]``.

        Raises:
            DataError: If the (static) shapes of outputs and targets do not fit.
            ModelError: If a learned parameter is missing.
        """

    @abc.abstractmethod
    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """The conditional mean; of one-hot targets for classes."""

    @abc.abstractmethod
    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """The conditional variance, of the shape of ``mean``: what is aleatoric."""

    def distribution(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """The distribution of a target: batch shape ``[n]``, the rest of its shape is the event."""
        single = self.elementwise(outputs, parameters, key)
        return tfd.Independent(single, reinterpreted_batch_ndims=len(single.batch_shape) - 1)

    def check_targets(self, y: Any, num_outputs: int | None = None) -> None:
        """Refuse targets that this likelihood cannot have produced.

        Args:
            y: All targets, in NumPy.
            num_outputs: Units of the net's last layer, where they are known.

        Raises:
            DataError: If a value is missing, infinite or outside the support, or the shape is
                not that of the outputs.
        """
        y = np.asarray(y)
        if y.dtype.kind not in "biuf" or y.ndim == 0:
            raise DataError(
                f"Targets of the likelihood {self.name!r} must be an array of numbers [n, ...]. "
                f"Received: dtype {y.dtype}, shape {y.shape}."
            )
        refuse(~np.isfinite(y), y, "Targets must be finite, without missing values")
        self._check_values(y, None if num_outputs is None else self.size_for(num_outputs))

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        if size is not None and size > 1 and (y.ndim < 2 or y.shape[-1] != size):
            raise DataError(
                f"The outputs of the net are those of {size} target dimensions. Expected: targets "
                f"of shape [n, ..., {size}]. Received: shape {y.shape}."
            )

    def _checked(self, parameters: Mapping[str, Any] | None) -> Mapping[str, Any]:
        given, declared = dict(parameters or {}), set(self.parameters())
        if set(given) != declared:
            raise ModelError(
                f"The likelihood {self.name!r} learns the parameters {sorted(declared)}. "
                f"Received: {sorted(given)}."
            )
        return given

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({options})"


def refuse(bad: np.ndarray, y: np.ndarray, rule: str) -> None:
    """Raise DataError with ``rule`` and the first value where ``bad`` holds, if any does."""
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{rule}. Received: {y[where]} at index {list(where)} ({int(bad.sum())} such values)."
        )


def as_outputs(outputs: Any) -> Tensor:
    """Outputs as a float tensor of 32 bits at least, ``[n, ..., units]``.

    Raises:
        DataError: If there is no axis of units.
    """
    outputs = tf.convert_to_tensor(outputs)
    if outputs.dtype not in (tf.float32, tf.float64):
        outputs = tf.cast(outputs, tf.float32)
    if outputs.shape.rank is not None and outputs.shape.rank < 2:
        raise DataError(
            f"A likelihood needs outputs of shape [n, ..., units]. Received: {outputs.shape}."
        )
    return outputs


def as_tensor(value: Any, dtype: tf.DType) -> Tensor:
    """``value`` as a tensor of ``dtype``; Python numbers pass through NumPy, in 64 bits."""
    if isinstance(value, (bool, int, float, list, tuple)):
        value = np.asarray(value)
    return tf.cast(tf.convert_to_tensor(value), dtype)


def as_targets(y: Any, like: Tensor) -> Tensor:
    """Targets cast and, where the last axis is 1 and absent, expanded to the shape of ``like``.

    Nothing is broadcast: targets ``[n, 1]`` beside outputs ``[n, 3]`` are an error.

    Raises:
        DataError: If the static shapes do not fit.
    """
    y = as_tensor(y, like.dtype)
    if y.shape.rank is None or like.shape.rank is None:
        return tf.reshape(y, tf.shape(like))
    expanded = y
    if like.shape[-1] == 1 and y.shape.rank == like.shape.rank - 1:
        expanded = y[..., tf.newaxis]
    if not expanded.shape.is_compatible_with(like.shape):
        also = f" or {like.shape[:-1]}" if like.shape[-1] == 1 else ""
        raise DataError(
            f"The targets do not fit the outputs. Expected: targets of shape {like.shape}{also}. "
            f"Received: {y.shape}."
        )
    return expanded


def sum_events(terms: Tensor) -> Tensor:
    """Sum over every axis but the first."""
    return tf.reduce_sum(terms, axis=list(range(1, terms.shape.rank)))
