"""Expectation maximisation: the compiled climb, and restarts that can be watched and resumed."""

from ... import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .climb import Climb, EMState, Schedule
from .restarts import Best, maximise
from .sums import sum_over_rows

__all__ = ["Best", "Climb", "EMState", "Schedule", "maximise", "sum_over_rows"]
