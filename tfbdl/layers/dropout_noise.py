"""What the layers of dropout have in common: their rates, and the shape of their noise."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from ..errors import OptionsError


def check_rate(name: str, rate: Any, *, zero: bool = False) -> float:
    """A probability of dropping, below one.

    Args:
        name: Of the argument.
        rate: What was given.
        zero: Whether zero is admitted.

    Raises:
        OptionsError: If it is out of range.
    """
    number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not number or not (0 <= rate < 1) or (rate == 0 and not zero):
        least = "0 or more" if zero else "above 0"
        raise OptionsError(
            f"{name} must be the share of what is dropped: {least}, and below 1. "
            f"Received: {rate!r}."
        )
    return float(rate)


def check_positive(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite number above zero.

    Args:
        name: Of the argument.
        value: What was given.
        zero: Whether zero is admitted.

    Raises:
        OptionsError: If it is something else.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= value < float("inf") or (value == 0 and not zero):
        least = "of at least 0" if zero else "above 0"
        raise OptionsError(f"{name} must be a number {least}. Received: {value!r}.")
    return float(value)


def check_noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    """The shape of noise as Keras' dropout takes it: None, or lengths of at least one and None.

    Raises:
        OptionsError: If it is something else.
    """
    if noise_shape is None:
        return None
    lengths = tuple(noise_shape) if isinstance(noise_shape, Iterable) else (noise_shape,)
    whole = [isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in lengths]
    if not isinstance(noise_shape, Iterable) or not all(
        n is None or (is_whole and n >= 1) for n, is_whole in zip(lengths, whole, strict=True)
    ):
        raise OptionsError(
            "noise_shape must have a length of at least 1 for each axis of the inputs, 1 where the "
            "noise is the same along it, or None for that of the inputs; such as (None, 1, None). "
            f"Received: {noise_shape!r}."
        )
    return tuple(None if n is None else int(n) for n in lengths)


def noise_lengths(noise_shape: tuple[int | None, ...] | None, inputs: tf.Tensor) -> list[Any]:
    """The lengths of the axes of the noise, as numbers or tensors.

    Raises:
        OptionsError: If noise of that shape does not fit the inputs.
    """
    lengths = (None,) * inputs.shape.rank if noise_shape is None else noise_shape
    known = inputs.shape.as_list()
    fits = len(lengths) == len(known) and all(
        n in (None, 1) or size in (None, n) for n, size in zip(lengths, known, strict=False)
    )
    if not fits:
        raise OptionsError(
            f"noise_shape must fit the inputs, whose shape is {tuple(known)}: for each axis 1, its "
            f"length, or None. Received: {noise_shape!r}."
        )
    present = tf.shape(inputs)
    return [
        n if n is not None else present[axis] if size is None else size
        for axis, (n, size) in enumerate(zip(lengths, known, strict=True))
    ]
