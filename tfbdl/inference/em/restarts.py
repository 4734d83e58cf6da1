"""EM from several starts: the best is kept; progress is reported, stored and gone on with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import ModelError
from ...protocols import Context, Params
from ..driver import Pace, Reporter, from_arrays, to_arrays
from .climb import Climb, EMState

FIRST_CHUNK = 8
KEPT = ("value", "trace", "converged", "finals")  # of the best, beside its parameters

Start = Callable[[int], Params]
"""From the number of a restart to the parameters that it begins with."""


@dataclass(kw_only=True)
class Best:
    """Where the best of the climbs ended.

    Attributes:
        params: Name -> array; empty before the first climb ended.
        value: The objective there, in nats.
        trace: The objective after each of its steps.
        converged: Whether it ended for want of gain.
        finals: The objective at the end of each climb.
    """

    params: dict[str, np.ndarray] = field(default_factory=dict)
    value: float = -math.inf
    trace: list[float] = field(default_factory=list)
    converged: bool = False
    finals: list[float] = field(default_factory=list)


def maximise(
    climb: Climb,
    start: Start,
    context: Context,
    *,
    steps: int,
    restarts: int = 1,
    objective: str = "log_likelihood",
    checkpoint_seconds: float = 30.0,
) -> Best:
    """Climb from each start, or go on from the run's last checkpoint.

    Args:
        climb: The compiled loop.
        start: Gives the parameters that a restart begins with.
        context: Seed, reports and checkpoints of the run.
        steps: Most M-steps of a climb; 0 keeps the start.
        restarts: How many climbs.
        objective: What the trace is called in reports and errors.
        checkpoint_seconds: Minimum time between two checkpoints.

    Raises:
        ModelError: If the objective falls by more than rounding, or is not finite; the message
            names the step.
        CheckpointError: If the checkpoint is of another model.
    """
    run = _Run(climb, start, context, steps, restarts, objective, checkpoint_seconds)
    for restart in run.remaining():
        run.climb_from(restart)
    return run.best


class _Run:
    """The climbs of one run, and what is stored of them."""

    def __init__(
        self,
        climb: Climb,
        start: Start,
        context: Context,
        steps: int,
        restarts: int,
        objective: str,
        checkpoint_seconds: float,
    ) -> None:
        self.climb, self.start, self.context = climb, start, context
        self.steps, self.restarts, self.objective = steps, restarts, objective
        self.reporter = Reporter(context, checkpoint_seconds)
        self.best = Best()
        self.restored: tuple[int, EMState, list[float]] | None = None

    def remaining(self) -> range:
        """The climbs that are not done."""
        found = None if self.context.checkpoints is None else self.context.checkpoints.restore()
        if found is None:
            return range(self.restarts)
        _, arrays, notes = found
        template = self.climb.begin(self.start(0))
        state = from_arrays("state", template, arrays)
        best = dict(notes["best"])
        if best:
            kept = from_arrays("best", dict(template.params), arrays)
            best["params"] = {name: value.numpy() for name, value in kept.items()}
        self.best = Best(**best)
        self.restored = (int(notes["restart"]), state, list(notes["trace"]))
        return range(int(notes["restart"]), self.restarts)

    def climb_from(self, restart: int) -> None:
        """One climb, from its start or from where it was stopped."""
        if self.restored is not None and self.restored[0] == restart:
            _, state, trace = self.restored
        else:
            state, trace = self.climb.begin(self.start(restart)), []
            self._check(float(state.value), [], restart, state.value.dtype)
        pace = Pace(FIRST_CHUNK)
        while int(state.step) < self.steps and not bool(state.converged):
            began, before = time.perf_counter(), float(state.value)
            room = min(pace.size, self.steps - int(state.step))
            state, values = self.climb.advance(state, room)
            pace.took(max(1, len(values)), time.perf_counter() - began)
            self._check(before, values, restart, state.value.dtype, offset=len(trace))
            trace = trace + values
            self._after_chunk(restart, state, trace)
        self._finish(state, trace)
        self._save(restart, state, trace)

    def _finish(self, state: EMState, trace: list[float]) -> None:
        value = float(state.value)
        self.best.finals.append(value)
        if value > self.best.value or not self.best.params:
            self.best.params = {name: np.asarray(part) for name, part in state.params.items()}
            self.best.value, self.best.trace = value, trace
            self.best.converged = bool(state.converged)

    def _after_chunk(self, restart: int, state: EMState, trace: list[float]) -> None:
        def figures() -> Mapping[str, float]:
            return {
                "step": restart * self.steps + int(state.step),
                "steps": self.restarts * self.steps,
                self.objective: float(state.value),
            }

        self.reporter.report(figures, lambda: self._save(restart, state, trace))

    def _save(self, restart: int, state: EMState, trace: list[float]) -> None:
        done = len(self.best.finals) > restart
        best: dict[str, Any] = {}
        if self.best.params:
            best = {name: getattr(self.best, name) for name in KEPT}
        notes = {"restart": restart + done, "trace": [] if done else trace, "best": best}
        step = restart * self.steps + int(state.step)
        self.reporter.store(
            step,
            lambda: to_arrays("state", state) | to_arrays("best", dict(self.best.params)),
            notes,
        )

    def _check(
        self,
        before: float,
        values: list[float],
        restart: int,
        dtype: tf.DType,
        offset: int = 0,
    ) -> None:
        """Raise where the trace falls, or is not finite."""
        name = self.objective.replace("_", " ")
        which = f" of restart {restart}" if self.restarts > 1 else ""
        for place, value in enumerate([before, *values]):
            if not math.isfinite(value):
                raise ModelError(
                    f"The {name} is not finite after step {offset + place}{which}. Expected a "
                    f"finite number. Received: {value}. Begin elsewhere (initial=...), or compute "
                    "in float64."
                )
        if not self.climb.schedule.climbs:
            return
        for place, (old, new) in enumerate(zip([before, *values], values, strict=False), start=1):
            if new < old - self.climb.slack(old, dtype):
                raise ModelError(
                    f"The {name} fell at step {offset + place}{which}, which EM never does. "
                    f"Expected at least {old:.10g}. Received: {new:.10g}. Either e_step, m_step "
                    "and log_likelihood of the model do not belong together, or its numbers lose "
                    "their digits: compute in float64."
                )
