"""Array and Arrays: options that are vectors and matrices, as plain nested tuples of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import core_schema


class Array:
    """The type of an option that is a number, or nested lists of numbers of one shape.

    NumPy arrays and tensors are taken too. The value is a float or a nested tuple of floats,
    which compares, hashes and goes through JSON; ``numpy.asarray`` makes an array of it.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_nested, core_schema.any_schema())


class Arrays:
    """The type of an option that holds arrays by name: a mapping from texts to ``Array`` values."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_named, core_schema.any_schema())


def to_plain(value: Any) -> Any:
    """NumPy arrays and tensors anywhere in ``value`` as lists; all else as it is."""
    if isinstance(value, Mapping):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_plain(part) for part in value)
    if hasattr(value, "numpy"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


def _named(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("Expected a mapping from names to numbers")
    return {name: _nested(part) for name, part in value.items()}


def _nested(value: Any) -> Any:
    plain = _tuples(to_plain(value))
    _shape(plain)
    return plain


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"Expected finite numbers, but {value!r} is none")
    return float(value)


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    shapes = {_shape(part) for part in value}
    if len(shapes) != 1:
        raise ValueError("Expected lists of equal lengths, at least one number in each")
    return (len(value), *shapes.pop())
