"""How a run stands: what its worker says of itself, and whether that worker is still alive."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import RunError
from .manifests import write_atomically

State = Literal["created", "running", "done", "failed", "cancelled", "lost"]
WRITTEN = tuple(name for name in get_args(State) if name != "lost")
"""The states that a worker writes."""

_CLOCK_TOLERANCE = 2.0  # seconds; the boot time that creation times rest on may be corrected


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How a run stands.

    Attributes:
        state: ``lost`` is never written: it is a ``running`` whose process is gone.
        pid: Of the process that wrote this.
        process_created: When that process began, in seconds since 1970; with ``pid`` it names
            one process, though numbers are used again.
        heartbeat: When this was written, in seconds since 1970.
        message: What went wrong, or where the run is.
        step: How far the run is; None before its first report.
        steps: How long it will be; None where that is not known.
        started: When this worker reported first, in seconds since 1970.
        first_step: The step of that report; a resumed run does not begin at 0.
    """

    state: State
    pid: int | None = None
    process_created: float | None = None
    heartbeat: float | None = None
    message: str = ""
    step: int | None = None
    steps: int | None = None
    started: float | None = None
    first_step: int | None = None

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at this worker's mean pace; None before two reports."""
        if self.step is None or self.steps is None or self.heartbeat is None:
            return None
        if self.started is None or self.first_step is None:
            return None
        made, seconds = self.step - self.first_step, self.heartbeat - self.started
        if made <= 0 or seconds <= 0:
            return None
        return max(self.steps - self.step, 0) * seconds / made


class Progress:
    """What a worker knows of its own pace between two writings of its status."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.steps: int | None = None
        self.started: float | None = None
        self.first_step: int | None = None

    def reached(self, step: float | None, steps: float | None = None) -> None:
        """Note a step; what is no finite number is not known."""
        self.steps = _whole(steps)
        self.step = _whole(step)
        if self.started is None and self.step is not None:
            self.started, self.first_step = time.time(), self.step


def write_status(path: Path, state: State, message: str, progress: Progress) -> None:
    """Write a status as this process.

    Raises:
        RunError: If no run is ever written in this state.
    """
    if state not in WRITTEN:
        raise RunError(
            f"No run is ever written as {state!r}. Expected one of {', '.join(WRITTEN)}."
        )
    status = Status(
        state=state,
        pid=os.getpid(),
        process_created=process_created(os.getpid()),
        heartbeat=time.time(),
        message=message,
        **vars(progress),
    )
    write_atomically(path, json.dumps(asdict(status)) + "\n", durable=False)


def to_status(content: dict[str, Any]) -> Status:
    """A status from what was read; a ``running`` whose process is gone is ``lost``.

    Fields that this version does not know are passed over.

    Raises:
        RunError: If it is no status.
    """
    known = {field.name for field in fields(Status)}
    try:
        status = Status(**{name: value for name, value in content.items() if name in known})
    except TypeError as error:
        raise RunError(f"It is no status: {error}.") from error
    if status.state == "running" and not is_alive(status.pid, status.process_created):
        status = replace(status, state="lost")
    return status


def process_created(pid: int) -> float | None:
    """When a living process began; None for one that is gone, or ended and not yet collected."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_alive(pid: int | None, created: float | None) -> bool:
    """Whether the process that began then under this number still is."""
    if pid is None or created is None:
        return False
    found = process_created(pid)
    return found is not None and abs(found - created) < _CLOCK_TOLERANCE


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) else None
