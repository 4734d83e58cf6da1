"""EM from several starts: the best is kept; progress is reported, stored and gone on with."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import ModelError, TfbdlWarning
from ...protocols import Context, Params
from ..driver import Pace, Reporter, from_arrays, to_arrays
from .climb import Climb, EMState

FIRST_CHUNK = 8
KEPT = ("value", "trace", "converged", "degenerate", "finals", "failures")
"""Of the best, beside its parameters."""

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
        degenerate: Whether the model says that its objective means little there; a climb that
            ended elsewhere is better, whatever the objective.
        finals: The objective at the end of each climb that had one.
        failures: What went wrong in the others.
    """

    params: dict[str, np.ndarray] = field(default_factory=dict)
    value: float = -math.inf
    trace: list[float] = field(default_factory=list)
    converged: bool = False
    degenerate: bool = False
    finals: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


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
        ModelError: If in all climbs the objective falls by more than rounding, or is not finite;
            the message names the step. A warning says so of some of the climbs.
        CheckpointError: If the checkpoint is of another model.
    """
    run = _Run(climb, start, context, steps, restarts, objective, checkpoint_seconds)
    for restart in run.remaining():
        run.climb_from(restart)
    if not run.best.params:
        raise ModelError(run.best.failures[0])
    for failure in run.best.failures:
        warnings.warn(f"{failure} The other climbs stand.", TfbdlWarning, stacklevel=3)
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
        try:
            state, trace = self._climbed(restart)
        except ModelError as error:
            self.best.failures.append(str(error))
            return
        value, degenerate = float(state.value), self._is_degenerate(state)
        self.best.finals.append(value)
        place = (not degenerate, value)
        if place > (not self.best.degenerate, self.best.value) or not self.best.params:
            self.best.params = {name: np.asarray(part) for name, part in state.params.items()}
            self.best.value, self.best.trace = value, trace
            self.best.converged, self.best.degenerate = bool(state.converged), degenerate
        self._save(restart, state, trace)

    def _climbed(self, restart: int) -> tuple[EMState, list[float]]:
        """The end of a climb, and its trace."""
        if self.restored is not None and self.restored[0] == restart:
            _, state, trace = self.restored
        else:
            state, trace = self.climb.begin(self.start(restart)), []
            self._check(state, float(state.value), [], restart)
        pace = Pace(FIRST_CHUNK)
        while int(state.step) < self.steps and not bool(state.converged):
            began, before = time.perf_counter(), float(state.value)
            room = min(pace.size, self.steps - int(state.step))
            state, values = self.climb.advance(state, room)
            pace.took(max(1, len(values)), time.perf_counter() - began)
            self._check(state, before, values, restart, offset=len(trace))
            trace = trace + values
            self._after_chunk(restart, state, trace)
        return state, trace

    def _is_degenerate(self, state: EMState) -> bool:
        own = getattr(self.climb.model, "degenerate", None)
        params = {name: np.asarray(value) for name, value in state.params.items()}
        return own is not None and bool(own(params))

    def _after_chunk(self, restart: int, state: EMState, trace: list[float]) -> None:
        def figures() -> Mapping[str, float]:
            return {
                "step": restart * self.steps + int(state.step),
                "steps": self.restarts * self.steps,
                self.objective: float(state.value),
            }

        self.reporter.report(figures, lambda: self._save(restart, state, trace))

    def _save(self, restart: int, state: EMState, trace: list[float]) -> None:
        done = len(self.best.finals) + len(self.best.failures) > restart
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
        self, state: EMState, before: float, values: list[float], restart: int, offset: int = 0
    ) -> None:
        """Raise where the trace falls, or is not finite."""
        name = self.objective.replace("_", " ")
        which = f" of restart {restart}" if self.restarts > 1 else ""
        double = all(part.dtype != tf.float32 for part in tf.nest.flatten(state.params))
        finer = "" if double else ", or compute in float64"
        for place, value in enumerate([before, *values]):
            if not math.isfinite(value):
                raise ModelError(
                    f"The {name} is not finite after step {offset + place}{which}. Expected a "
                    f"finite number. Received: {value}. Begin elsewhere (initial=...){finer}."
                )
        if not self.climb.schedule.climbs:
            return
        slack = self.climb.slack(state)
        for place, (old, new) in enumerate(zip([before, *values], values, strict=False), start=1):
            if new < old - slack:
                raise ModelError(
                    f"The {name} fell at step {offset + place}{which}, which EM never does. "
                    f"Expected at least {old:.10g}. Received: {new:.10g}. Either e_step, m_step "
                    "and log_likelihood of the model do not belong together, or its numbers lose "
                    f"their digits: scale the data{finer}."
                )
