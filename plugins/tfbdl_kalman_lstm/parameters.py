"""Arrays that a user gives as the parameters of a linear Gaussian model, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import OptionsError

from .sequences import numbers, timed
from .system import System

TIME = "a time axis may stand before"


def matrix(name: str, value: Any, rows: int | None, columns: int | None) -> np.ndarray:
    """A matrix ``[a, b]``, or one for each step ``[T, a, b]``; a number stands for ``[1, 1]``.

    Raises:
        OptionsError: If it has another shape, or holds what is no finite number.
    """
    array = numbers(name, value, OptionsError)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    wanted = (rows, columns)
    fits = array.ndim in (2, 3) and all(
        size in (None, found) for size, found in zip(wanted, array.shape[-2:], strict=True)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in wanted)
        raise OptionsError(
            f"{name} must be [{shape}]; {TIME}. Received: shape {list(np.shape(value))}."
        )
    if not np.isfinite(array).all():
        raise OptionsError(f"{name} must be finite. Received: NaN or Inf.")
    return array


def covariance(name: str, value: Any, size: int) -> np.ndarray:
    """A covariance ``[a, a]`` or ``[T, a, a]``, which may be singular.

    Raises:
        OptionsError: If it is not symmetric or has a negative eigenvalue.
    """
    array = matrix(name, value, size, size)
    scale = max(np.abs(array).max(), np.finfo(np.float64).tiny)
    if np.abs(array - np.swapaxes(array, -1, -2)).max() > 1e-8 * scale:
        raise OptionsError(f"{name} must be symmetric. Received: {np.array2string(array)}.")
    least = np.linalg.eigvalsh(array).min()
    if least < -1e-10 * scale:
        raise OptionsError(
            f"{name} must have no negative eigenvalue. Received: smallest eigenvalue {least:g}."
        )
    return 0.5 * (array + np.swapaxes(array, -1, -2))


def vector(name: str, value: Any, size: int) -> np.ndarray:
    """A vector ``[a]``; a number stands for ``[1]``.

    Raises:
        OptionsError: If it has another shape, or holds what is no finite number.
    """
    array = np.atleast_1d(numbers(name, value, OptionsError))
    if array.shape != (size,) or not np.isfinite(array).all():
        raise OptionsError(
            f"{name} must be [{size}] and finite. Received: shape {list(np.shape(value))}."
        )
    return array


class Parameters:
    """Checked parameters of a linear Gaussian model.

    Args:
        A, H, Q, R, m0, P0, B: As KalmanFilter takes them.

    Raises:
        OptionsError: If shapes do not fit together, or a covariance is none.
    """

    def __init__(self, A: Any, H: Any, Q: Any, R: Any, m0: Any, P0: Any, B: Any = None) -> None:
        self.A = matrix("A", A, None, None)
        self.state_dim = self.A.shape[-1]
        self.A = matrix("A", A, self.state_dim, self.state_dim)
        self.H = matrix("H", H, None, self.state_dim)
        self.observation_dim = self.H.shape[-2]
        self.Q = covariance("Q", Q, self.state_dim)
        self.R = covariance("R", R, self.observation_dim)
        self.m0 = vector("m0", m0, self.state_dim)
        self.P0 = covariance("P0", P0, self.state_dim)
        if self.P0.ndim != 2:
            raise OptionsError(f"P0 must be one matrix. Received: shape {list(self.P0.shape)}.")
        self.B: np.ndarray | None = None
        if B is not None:
            constant = np.ndim(B) < 2
            self.B = (
                vector("B", B, self.state_dim) if constant else matrix("B", B, self.state_dim, None)
            )

    @property
    def control_dim(self) -> int | None:
        """Size of a control input; None if the model takes none."""
        return None if self.B is None or self.B.ndim == 1 else int(self.B.shape[-1])

    def system(self, steps: int, control: np.ndarray | None) -> System:
        """The model as tensors for so many steps.

        Args:
            steps: T.
            control: ``[n or 1, T, u]``, or None where the model takes none.

        Raises:
            DataError: If a parameter that varies is given for fewer steps.
        """
        constant = np.zeros(self.state_dim) if self.B is None else self.B
        if control is None:
            offset = constant.reshape(1, 1, -1)
        else:
            offset = np.einsum("...tij,ntj->tni", timed("B", constant, steps), control)
        A, H, Q, R = (timed(name, getattr(self, name), steps) for name in ("A", "H", "Q", "R"))
        arrays = (A, offset, H, Q, R, self.m0, self.P0)
        return System(*(tf.constant(array, tf.float64) for array in arrays))
