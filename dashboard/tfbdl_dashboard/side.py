"""The client of the side process, which computes with TensorFlow what pages show.

One process serves all runs of the runs' folder. It is started on demand, is found again by
``.serve.json`` (also by another page, or after a restart of the dashboard) and ends when idle.
"""

from __future__ import annotations

import http.client
import io
import json
import selectors
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from tfbdl.errors import TfbdlError, without_paths
from tfbdl.runs import RESULT
from tfbdl.serving.presence import Presence
from tfbdl.serving.requests import JOB_HEADER, JSON
from tfbdl_dashboard import side_process
from tfbdl_dashboard import state as pages
from tfbdl_dashboard.answers import Answers, Key
from tfbdl_dashboard.side_process import SideError, State

TIMEOUT = 120.0
"""Seconds for one computation; waiting for its turn does not count."""

LOOK = 1.0
"""Seconds between two looks at whether one's turn has come."""

STARTING = "Starting the side process, about ten seconds"
COMPUTING = "Computing; what is asked for the first time is compiled before"

_answers = Answers()


def state() -> State:
    """How the side process of the runs' folder stands."""
    return side_process.state_of(side_process.living(pages.runs_root()))


def compute(
    task: str, run: str | None = None, *, timeout: float = TIMEOUT, **arguments: Any
) -> dict[str, np.ndarray]:
    """Compute a task in the side process, which is started if there is none.

    Args:
        task: A name of ``tfbdl.serving.tasks.TASKS``.
        run: The id of a run, or None.
        timeout: Seconds; a process that computes longer is ended. Waiting for those that asked
            before does not count, unless one that nobody listens to any more takes as long.
        **arguments: Plain values, as JSON takes them.

    Returns:
        Arrays by name.

    Raises:
        SideError: If it could not be computed; the message says why, without paths.
    """
    return _Request(task, run, arguments, timeout).answer()


def computed(task: str, run: str | None = None, **arguments: Any) -> dict[str, np.ndarray] | None:
    """For pages: compute with a spinner, keep the answer, show an error in its place.

    An answer is kept until the run's result changes. While it waits, the page may be left or a
    slider moved on: Streamlit then runs the page anew, and the request in flight is abandoned, so
    that the last one wins.

    Args:
        task, run, **arguments: As in ``compute``.

    Returns:
        Arrays by name, or None if there was an error, which is shown then.
    """
    root = pages.runs_root()
    key = _key(root, task, run, arguments)
    kept = _answers.get(key)
    if kept is not None:
        return kept
    request = _Request(task, run, arguments, TIMEOUT)
    slot = st.empty()
    try:
        request.start()
        if not request.is_ready:
            with slot, st.spinner(STARTING, show_time=True):
                _wait(request, lambda: request.is_ready)
        with slot, st.spinner(COMPUTING):
            _wait(request)
        found = request.answer()
    except TfbdlError as error:
        st.error("This could not be computed.")
        st.text(str(error))
        return None
    finally:
        request.abandon()
    _answers.put(key, found)
    return found


class _Request:
    """One request to the side process, which can be waited for in parts and abandoned."""

    def __init__(
        self, task: str, run: str | None, arguments: Mapping[str, Any], timeout: float
    ) -> None:
        body = {"task": task, "run": run, "arguments": dict(arguments)}
        try:
            self._body = json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise SideError(f"The arguments of {task!r} are no plain values: {error}.") from None
        self._root, self._timeout, self._id = pages.runs_root(), timeout, uuid.uuid4().hex
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._ready, self._done = threading.Event(), threading.Event()
        self._abandoned = False
        self._answer: dict[str, np.ndarray] | None = None
        self._error: Exception | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the process has loaded all it needs."""
        return self._ready.is_set()

    @property
    def is_done(self) -> bool:
        """Whether there is an answer or an error."""
        return self._done.is_set()

    def start(self) -> None:
        """Ask, in a thread of its own; a warm process may have answered when this returns."""
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        self.wait(side_process.POLL)

    def wait(self, seconds: float) -> None:
        """Wait for the answer, or as long."""
        self._done.wait(seconds)

    def abandon(self) -> None:
        """Listen no more: what waits for its turn in the side process is then left out."""
        self._abandoned = True
        connection = self._connection
        if connection is not None and not self.is_done and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def answer(self) -> dict[str, np.ndarray]:
        """The answer, once it is there.

        Raises:
            SideError: If there was an error instead.
        """
        if self._thread is None:
            self.start()
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def _ask(self) -> None:
        try:
            try:
                self._answer = self._asked_once()
            except (ConnectionError, http.client.BadStatusLine):
                if self._abandoned:
                    raise
                self._ready.clear()  # it ended just now, being idle: once more, with another
                self._answer = self._asked_once()
        except TfbdlError as error:
            self._error = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = without_paths(str(error)) or type(error).__name__
            self._error = SideError(f"The side process ended before it answered: {said}.")
        except Exception as error:  # nothing may leave a page waiting
            self._error = SideError(f"{type(error).__name__}: {without_paths(str(error))}")
        finally:
            self._done.set()

    def _asked_once(self) -> dict[str, np.ndarray]:
        found = side_process.ready(self._root)
        self._ready.set()
        self._connection = http.client.HTTPConnection(
            side_process.ADDRESS, found.port, timeout=self._timeout
        )
        if self._abandoned:
            raise SideError("The request was abandoned.")
        try:
            headers = side_process.headers(found) | {"Content-Type": JSON, JOB_HEADER: self._id}
            self._connection.request("POST", "/compute", self._body, headers)
            self._await(found, self._connection.sock)
            response = self._connection.getresponse()
            content = response.read()
        except TimeoutError:
            side_process.end(found)
            raise SideError(
                f"This took longer than {self._timeout:g} seconds, so the side process was ended. "
                "The next request starts a new one."
            ) from None
        finally:
            self._connection.close()
        if response.status != http.client.OK:
            raise SideError(_said(content, response.status))
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def _await(self, found: Presence, connection: socket.socket) -> None:
        """Wait until the answer begins; end the process if what it computes takes too long.

        Raises:
            TimeoutError: If this request was computed too long, or the process says nothing.
            ConnectionError: If the process has ended; also if it was ended here, because of one
                that nobody listens to any more.
        """
        left = self._timeout
        with selectors.DefaultSelector() as answers:
            answers.register(connection, selectors.EVENT_READ)
            while not answers.select(left):
                said = side_process.health(found)
                job = (said or {}).get("job") or {}
                own, seconds = job.get("id") == self._id, float(job.get("seconds", 0.0))
                if said is None and not found.is_alive():
                    raise ConnectionError("it said nothing more")
                if said is None or (own and seconds >= self._timeout):
                    raise TimeoutError
                if not own and seconds >= self._timeout and not job.get("wanted", True):
                    side_process.end(found)
                    raise ConnectionError("it computed too long what nobody waits for")
                left = max(self._timeout - seconds, side_process.POLL) if own else LOOK


def _wait(request: _Request, until: Callable[[], bool] = lambda: False) -> None:
    """Wait for an answer, or until something else is so.

    Streamlit looks whether the page is to be run anew where a script asks for session state.
    """
    while not (request.is_done or until()):
        st.session_state.get(__name__)
        request.wait(side_process.POLL)


def _key(root: Path, task: str, run: str | None, arguments: Mapping[str, Any]) -> Key:
    """What an answer depends on: the request, and the last change of the run's result."""
    changed = 0
    if run is not None:
        with suppress(OSError):
            changed = (root / run / RESULT).stat().st_mtime_ns
    return (str(root), task, run, changed, json.dumps(arguments, sort_keys=True, default=str))


def _said(content: bytes, status: int) -> str:
    """The text of an answer that is an error."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return f"The side process answered with status {status}."
