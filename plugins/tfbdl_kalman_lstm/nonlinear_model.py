"""A nonlinear state-space model with Gaussian noise, as a user gives it, checked.

``x_1 ~ N(m0, P0)``, ``x_t+1 = f(x_t, u_t) + w_t``, ``y_t = h(x_t, u_t) + v_t``. The functions take
one state; here they are made to take many.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import OptionsError

from .controls import control_inputs
from .parameters import covariance, vector
from .sequences import timed

_REQUIRED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class StateFunction:
    """A function of one state, for many.

    Attributes:
        name: What to call it in an error.
        function: ``[d]``, or ``[d]`` and ``[u]``, to ``[size]``.
        size: Of what it gives.
        takes_control: Whether it has a second argument, the control input.
    """

    name: str
    function: Callable[..., Any]
    size: int
    takes_control: bool

    @classmethod
    def of(cls, name: str, function: Any, size: int) -> StateFunction:
        """Take a user's function.

        Raises:
            OptionsError: If it cannot be called, or needs neither one nor two arguments.
        """
        if not callable(function):
            raise OptionsError(
                f"{name} must be a function of one state. Received: {type(function).__name__}."
            )
        try:
            given = list(inspect.signature(function).parameters.values())
        except ValueError:  # a compiled function that does not tell
            given = []
        needed = [p for p in given if p.kind in _REQUIRED and p.default is p.empty]
        if len(needed) > 2:
            raise OptionsError(
                f"{name} must take a state, or a state and a control input. Received: a function "
                f"of {len(needed)} arguments: {', '.join(p.name for p in needed)}."
            )
        return cls(name, function, size, len(needed) == 2)

    def one(self, state: tf.Tensor, control: tf.Tensor | None) -> tf.Tensor:
        """Of one state ``[d]``: ``[size]``.

        Raises:
            OptionsError: If the function gives something else.
        """
        arguments = (state, control) if self.takes_control else (state,)
        try:
            value = tf.convert_to_tensor(self.function(*arguments), state.dtype)
        except (TypeError, ValueError) as error:
            raise OptionsError(
                f"{self.name} must be a TensorFlow function that keeps the precision float64 of "
                f"its state {list(state.shape)}. Received: {error}"
            ) from error
        if value.shape.num_elements() != self.size or value.shape.rank > 1:
            raise OptionsError(
                f"{self.name} must give [{self.size}] for a state {list(state.shape)}. "
                f"Received: {list(value.shape)}."
            )
        return tf.reshape(value, [self.size])

    def __call__(self, states: tf.Tensor, control: Any = None) -> tf.Tensor:
        """Of each state.

        Args:
            states: ``[..., n, d]``.
            control: ``[n, u]``, for the states at each place of the axis n; None where none is
                taken.

        Returns:
            ``[..., n, size]``.
        """
        flat = tf.reshape(states, [-1, states.shape[-1]])
        if self.takes_control:
            lead = tf.concat([tf.shape(states)[:-1], [control.shape[-1]]], 0)
            each = tf.reshape(tf.broadcast_to(control, lead), [-1, control.shape[-1]])
            values = tf.vectorized_map(lambda pair: self.one(*pair), (flat, each))
        else:
            values = tf.vectorized_map(lambda state: self.one(state, None), flat)
        return tf.reshape(values, tf.concat([tf.shape(states)[:-1], [self.size]], 0))


class NonlinearModel:
    """Checked functions and parameters.

    Args:
        f, h, Q, R, m0, P0: As ExtendedKalmanFilter takes them.

    Raises:
        OptionsError: If shapes do not fit together, a covariance is none, or a function gives no
            state or observation.
    """

    def __init__(self, f: Any, h: Any, Q: Any, R: Any, m0: Any, P0: Any) -> None:
        self.state_dim = int(np.size(m0))
        self.observation_dim = int(np.shape(R)[-1]) if np.ndim(R) else 1
        self.f = StateFunction.of("f", f, self.state_dim)
        self.h = StateFunction.of("h", h, self.observation_dim)
        self.Q = covariance("Q", Q, self.state_dim)
        self.R = covariance("R", R, self.observation_dim)
        self.m0 = vector("m0", m0, self.state_dim)
        self.P0 = covariance("P0", P0, self.state_dim)
        if self.P0.ndim != 2:
            raise OptionsError(f"P0 must be one matrix. Received: shape {list(self.P0.shape)}.")
        self._checked_control: int | None = -1
        if not self.takes_control:
            self._check(None)

    @property
    def takes_control(self) -> bool:
        """Whether one of the functions has a control input."""
        return self.f.takes_control or self.h.takes_control

    def parameters(self, steps: int) -> tuple[tf.Tensor, ...]:
        """Q, R ``[T or 1, ., .]``, m0 and P0 as tensors.

        Raises:
            DataError: If a parameter that varies is given for fewer steps.
        """
        arrays = (timed("Q", self.Q, steps), timed("R", self.R, steps), self.m0, self.P0)
        return tuple(tf.constant(array, tf.float64) for array in arrays)

    def control(self, u: Any, count: int, steps: int) -> tf.Tensor | None:
        """Control inputs with time first, ``[T, n, u]``, or None where none is taken.

        Args:
            u: ``[T, u]``, or ``[n, T, u]`` for each sequence its own; ``[T]`` where it is a number.
            count: n.
            steps: T, at least so many are expected.

        Raises:
            DataError: If it is missing, superfluous, or its shape does not fit.
        """
        values = control_inputs(
            u,
            taken=self.takes_control,
            size=None,
            count=count,
            steps=steps,
            why="f and h have none",
        )
        if values is None:
            return None
        size = values.shape[-1]
        if size != self._checked_control:
            self._check(size)
        by_time = np.moveaxis(values, 1, 0)
        return tf.constant(np.broadcast_to(by_time, (steps, count, size)))

    def _check(self, control_dim: int | None) -> None:
        """Call both functions once, so that errors come before anything is compiled."""
        control = None if control_dim is None else tf.zeros(control_dim, tf.float64)
        for function in (self.f, self.h):
            function.one(tf.constant(self.m0), control)
        self._checked_control = control_dim
