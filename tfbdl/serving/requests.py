"""A request to the side process, and what it is answered: an npz, or the text of an error."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ..errors import OptionsError, TfbdlError, UnknownNameError, without_paths

JSON, NPZ = "application/json", "application/x-npz"
JOB_HEADER = "X-Job"
"""By what name ``/health`` shall call a request while it is computed."""


@dataclass
class Job:
    """A request that waits for its turn, and then its answer.

    Attributes:
        task, run, arguments: What was asked for.
        wanted: Whether the one who asked still listens.
        id: What the one who asked calls it.
        began: When its computation began, as ``time.monotonic`` has it.
        done: Set once there is an answer.
        status, kind, body: The answer.
    """

    task: str
    run: str | None
    arguments: Mapping[str, Any]
    wanted: Callable[[], bool]
    id: str = ""
    began: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)
    status: HTTPStatus = HTTPStatus.OK
    kind: str = NPZ
    body: bytes = b""

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self.status, self.kind = status_of(error), JSON
        self.body = error_body(text_of(error, self))


def job_from(body: bytes, wanted: Callable[[], bool]) -> Job:
    """A job from the JSON of a request.

    Raises:
        OptionsError: If it is no request; the message shows the form.
    """
    expected = 'Expected {"task": NAME, "run": ID or null, "arguments": {...}} as JSON.'
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise OptionsError(f"The request is no JSON. {expected}") from None
    known = {"task", "run", "arguments"}
    if not isinstance(asked, dict) or "task" not in asked or not set(asked) <= known:
        raise OptionsError(f"The request is none. {expected}")
    task, run, arguments = asked["task"], asked.get("run"), asked.get("arguments", {})
    texts = isinstance(task, str) and isinstance(run, str | None)
    if not texts or not isinstance(arguments, dict):
        raise OptionsError(f"The request has parts of the wrong type. {expected}")
    return Job(task, run, arguments, wanted)


def status_of(error: BaseException) -> HTTPStatus:
    """Of the answer: 404 for an unknown name, 422 for what was refused, 500 for a fault."""
    if isinstance(error, UnknownNameError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, TfbdlError):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.INTERNAL_SERVER_ERROR


def text_of(error: BaseException, job: Job) -> str:
    """What an error says, without paths; the traceback of one that was not meant is logged."""
    if isinstance(error, TfbdlError):
        return without_paths(str(error))
    traceback.print_exception(error, file=sys.stderr)
    who = f"task {job.task!r}"
    if job.task == "panel":
        who = f"panel {job.arguments.get('name')!r}"
    return without_paths(f"The {who} failed. {type(error).__name__}: {error}")


def error_body(message: str) -> bytes:
    """An error as JSON."""
    return json.dumps({"error": message}).encode()
