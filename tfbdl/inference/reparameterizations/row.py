"""A row of the table: a law as a function g of parameters and of noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ... import random
from ...errors import OptionsError, UnknownNameError
from .tensors import as_dtype

DOMAINS = {"real": 0, "positive": 0, "vector": 1, "matrix": 2}
"""Where a parameter lies -> how many of its last axes belong to one variable."""

Parameters = Mapping[str, tf.Tensor]
NoiseDraw = Callable[[Any, tf.Tensor, tf.DType, Parameters], tf.Tensor]


def _uniform(shape: Any, key: tf.Tensor, dtype: tf.DType, _: Parameters) -> tf.Tensor:
    return random.uniform(shape, key, dtype)


def _normal(shape: Any, key: tf.Tensor, dtype: tf.DType, _: Parameters) -> tf.Tensor:
    return random.normal(shape, key, dtype)


@dataclass(frozen=True)
class Noise:
    """The law of the noise of a row.

    Attributes:
        law: In words.
        draw: From a shape, a key, a dtype and the row's parameters to noise of that shape.
        low, high: Between which it lies.
        parts: Numbers of noise for each variable; more than one stand on a last axis.
    """

    law: str
    draw: NoiseDraw
    low: float = -math.inf
    high: float = math.inf
    parts: int = 1


UNIFORM = Noise("U(0, 1)", _uniform, 0.0, 1.0)
TWO_UNIFORMS = Noise("U(0, 1), two", _uniform, 0.0, 1.0, parts=2)
CENTRED_UNIFORM = Noise("U(-1/2, 1/2)", lambda *args: _uniform(*args) - 0.5, -0.5, 0.5)
NORMAL = Noise("N(0, 1)", _normal)


@dataclass(frozen=True, kw_only=True)
class Reparameterization:
    """A law whose draws are ``g(noise, parameters)``, differentiable in the parameters.

    Attributes:
        name: In the table.
        law: Of the draws.
        formula: Of g, in the symbols of ``parameters``; e is the noise.
        noise: Its law.
        parameters: Name -> one of ``DOMAINS``.
        transform: g: of noise and, by keyword, the parameters.
        mended: What a widely used table prints instead, and why that is wrong; or empty.

    Example:
        ```python
        laplace = reparameterizations.get("laplace")
        z = laplace.sample(100, random.key(0), loc=0.0, scale=2.0)
        ```
    """

    name: str
    law: str
    formula: str
    noise: Noise
    parameters: Mapping[str, str]
    transform: Callable[..., tf.Tensor]
    mended: str = ""

    def __call__(self, noise: Any, **parameters: Any) -> tf.Tensor:
        """Draws of given noise.

        Args:
            noise: Of the row's noise law, ``[..., *batch]``, or ``[..., *batch, parts]``.
            **parameters: Of the row; numbers or tensors ``[*batch]``.

        Returns:
            ``[..., *batch]``, of the dtype of the noise.

        Raises:
            OptionsError: If a parameter is missing or out of its domain, or noise of its range.
            UnknownNameError: If the row has no such parameter.
        """
        noise = tf.convert_to_tensor(noise)
        given = self._checked(parameters, noise.dtype)
        values = tf.get_static_value(noise)
        low, high = self.noise.low, self.noise.high
        if values is not None and not np.all((values > low) & (values < high)):
            outside = values[~((values > low) & (values < high))].flat[0]
            raise OptionsError(
                f"The noise of {self.name!r} is {self.noise.law}: finite, above {low} and below "
                f"{high}. Received: {outside}."
            )
        if self.noise.parts > 1 and noise.shape[-1:] != [self.noise.parts]:
            raise OptionsError(
                f"The noise of {self.name!r} has {self.noise.parts} numbers for each variable, on "
                f"the last axis. Received: noise of shape {tuple(noise.shape)}."
            )
        return self.transform(noise, **given)

    def sample(self, n: int, key: tf.Tensor, dtype: Any = None, **parameters: Any) -> tf.Tensor:
        """Draws ``[n, *batch]``, or ``[n, *batch, d]`` of vectors.

        Args:
            n: How many of each batch member.
            key: ``[2]``, of ``tfbdl.random.key``.
            dtype: Of the draws; None: the widest of the parameters' (of plain numbers float32).
            **parameters: As for a call.

        Raises:
            OptionsError, UnknownNameError: As a call.
        """
        given = self._checked(parameters, dtype or _widest(parameters.values()))
        dtype = next((value.dtype for value in given.values()), tf.as_dtype(dtype or "float32"))
        return self.transform(self._draw(n, key, dtype, given), **given)

    def draw_noise(self, n: int, key: tf.Tensor, dtype: Any = None, **parameters: Any) -> tf.Tensor:
        """The noise of which ``sample`` makes its draws, for the same arguments."""
        given = self._checked(parameters, dtype or _widest(parameters.values()))
        dtype = next((value.dtype for value in given.values()), tf.as_dtype(dtype or "float32"))
        return self._draw(n, key, dtype, given)

    def _draw(self, n: int, key: tf.Tensor, dtype: tf.DType, given: Parameters) -> tf.Tensor:
        shape: tuple[Any, ...] = (n, *self._batch(given))
        if self.noise.parts > 1:
            shape = (*shape, self.noise.parts)
        return self.noise.draw(shape, key, dtype, given)

    def _batch(self, given: Parameters) -> tuple[int, ...]:
        """The shape of one draw."""
        shape = tf.TensorShape([])
        vectors = {value.shape[-1] for name, value in given.items() if self._rank(name)}
        try:
            for name, value in given.items():
                members = value.shape[: value.shape.rank - self._rank(name)]
                shape = tf.broadcast_static_shape(shape, members)
            if len(vectors) > 1:
                raise ValueError
        except ValueError:
            shapes = ", ".join(f"{name} {tuple(v.shape)}" for name, v in given.items())
            raise OptionsError(
                f"The parameters of {self.name!r} do not fit together. Received: {shapes}."
            ) from None
        return (*shape.as_list(), *vectors)

    def _rank(self, name: str) -> int:
        return DOMAINS[self.parameters[name]]

    def _checked(self, parameters: Mapping[str, Any], dtype: Any) -> dict[str, tf.Tensor]:
        for name in parameters:
            if name not in self.parameters:
                raise UnknownNameError(f"parameter of {self.name!r}", name, self.parameters)
        missing = [name for name in self.parameters if name not in parameters]
        if missing:
            raise OptionsError(
                f"{self.name!r} has the parameters {', '.join(self.parameters)}. "
                f"Missing: {', '.join(missing)}."
            )
        return {name: self._parameter(name, parameters[name], dtype) for name in self.parameters}

    def _parameter(self, name: str, given: Any, dtype: Any) -> tf.Tensor:
        value = as_dtype(given, tf.as_dtype(dtype))
        domain, static = self.parameters[name], tf.get_static_value(value)
        if static is not None:
            good = np.isfinite(static) & ((static > 0) if domain == "positive" else True)
            if not np.all(good):
                bad = static[~good].flat[0] if static.ndim else static
                sort = "positive and finite" if domain == "positive" else "finite"
                raise OptionsError(f"{name} of {self.name!r} must be {sort}. Received: {bad}.")
        rank = self._rank(name)
        if value.shape.rank < rank or (rank == 2 and value.shape[-1] != value.shape[-2]):
            expected = {1: "[..., d]", 2: "[..., d, d]"}[rank]
            raise OptionsError(
                f"{name} of {self.name!r} has the shape {expected}. Received: {tuple(value.shape)}."
            )
        return value


def _widest(values: Any) -> tf.DType:
    kinds = [
        np.dtype(getattr(v.dtype, "as_numpy_dtype", v.dtype)) for v in values if hasattr(v, "dtype")
    ]
    floats = [kind for kind in kinds if kind.kind == "f"]
    return tf.as_dtype(np.result_type(*floats)) if floats else tf.float32
