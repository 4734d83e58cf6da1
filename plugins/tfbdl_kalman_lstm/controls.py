"""Control inputs beside sequences, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfbdl.errors import DataError

from .sequences import arrange, numbers, unequal

CONTROL = "Control inputs"


class Matched(NamedTuple):
    """Sequences and the control inputs beside them.

    Attributes:
        values: Observations ``[n, T, m]``, NaN where one is missing.
        single: Whether one sequence alone was given.
        ends: Steps of each sequence before it was filled up, ``[n]``.
        u: Control inputs, 0 after the end of a sequence; None if none were given.
    """

    values: np.ndarray
    single: bool
    ends: np.ndarray
    u: np.ndarray | None


def matched(y: Any, u: Any, size: int, ahead: int = 0) -> Matched:
    """Sequences with their control inputs, each as long as it is.

    Args:
        y: As ``arrange`` takes them.
        u: Control inputs ``[T, u]``, ``[n, T, u]`` or a list of ``[T_i, u]``; or None.
        size: m.
        ahead: Steps after the end of each sequence for which u is given too.

    Raises:
        DataError: If shapes do not fit.
    """
    values, single = arrange(y, size)
    full = np.full(len(values), values.shape[1])
    ends = np.array([len(part) for part in y]) if unequal(y, "Observations") else full
    return Matched(values, single, ends, None if u is None else _ended(u, ends + ahead))


def control_inputs(
    u: Any, *, taken: bool, size: int | None, count: int, steps: int, why: str
) -> np.ndarray | None:
    """Control inputs ``[n or 1, T, u]``, or None where none are taken.

    Args:
        u: ``[T, u]``, or ``[n, T, u]`` for each sequence its own; ``[T]`` where it is a number.
        taken: Whether the model takes any.
        size: Of one; None: any.
        count, steps: n and T; more steps than T are left out.
        why: What tells that a model takes none, for an error.

    Raises:
        DataError: If they are missing, superfluous, or their shape does not fit.
    """
    if (u is None) == taken:
        wanted = "a control input" if taken else f"no control input, for {why}"
        raise DataError(f"The model takes {wanted}. Received: {'none' if u is None else 'u'}.")
    if u is None:
        return None
    control, _ = arrange(u, size, CONTROL)
    if len(control) not in (1, count) or control.shape[1] < steps:
        width = "u" if size is None else size
        raise DataError(
            f"{CONTROL} must be [{steps}, {width}] or [{count}, {steps}, {width}]. "
            f"Received: shape {list(np.shape(u))}."
        )
    if np.isnan(control[:, :steps]).any():
        sequence, step = np.argwhere(np.isnan(control[:, :steps]))[0][:2]
        raise DataError(
            f"{CONTROL} must be known at all steps. Received: NaN at step {step} of sequence "
            f"{sequence}."
        )
    return control[:, :steps]


def _ended(u: Any, ends: np.ndarray) -> np.ndarray:
    """Control inputs with 0 after the end of each sequence, where nothing depends on them."""
    if unequal(u, CONTROL):
        values, _ = arrange(u, None, CONTROL)
        lengths = np.array([len(part) for part in u])
        if len(lengths) != len(ends) or (lengths < ends).any():
            raise DataError(
                f"{CONTROL} must be as long as their sequences, {ends.tolist()} steps. "
                f"Received: {lengths.tolist()}."
            )
    else:
        values = numbers(CONTROL, u)
        if values.ndim != 3 or len(values) != len(ends):
            return values
    over = np.arange(values.shape[1]) >= ends[:, np.newaxis]
    return np.where(over[..., np.newaxis], 0.0, values)
