"""How a run reads its data: in which precision, and whether values may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a model asks of the way its data are read.

    Attributes:
        dtype: Of floats; None: ``keras.config.floatx()``.
        allow_nan: Whether NaN stands for a missing value.
        targets: Whether the model takes any; one without has no use for rows held out either.
    """

    dtype: str | None = None
    allow_nan: bool = False
    targets: bool = True


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(wanted: Reading) -> Iterator[None]:
    """Let ``as_dataset`` read so wherever it is called, also by the factory of a data set."""
    token = _current.set(wanted)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Reading:
    """How data are read here."""
    return _current.get() or Reading()
