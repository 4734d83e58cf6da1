"""The side process itself: found by ``.serve.json``, started on demand, ended if it hangs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psutil

from tfbdl.errors import TfbdlError, without_paths
from tfbdl.serving import presence
from tfbdl.serving.presence import Presence

State = Literal["absent", "starting", "ready"]

ADDRESS = "127.0.0.1"
START_SECONDS = 120.0
"""Until the process must be ready; it takes about ten seconds on an idle machine."""

NICENESS = 5
LOG = ".serve.log"
POLL = 0.1
"""Seconds between two looks at a process that starts."""

_lock = threading.Lock()
_children: list[subprocess.Popen[bytes]] = []


class SideError(TfbdlError):
    """The side process refused, failed, or did not answer; the message names no path."""


def ready(root: Path) -> Presence:
    """The side process of a folder, started if there is none, once it is ready.

    Raises:
        SideError: If it ends or is not ready in time.
    """
    deadline = time.monotonic() + START_SECONDS
    with _lock:  # two sessions start one process
        found = living(root)
        if found is None:
            found = _start(root, deadline)
    while state_of(found) != "ready":
        if not found.is_alive():
            raise SideError(f"The side process ended while it started.{_last_words(root)}")
        if time.monotonic() > deadline:
            end(found)
            raise SideError(
                f"The side process was not ready after {START_SECONDS:g} seconds and was ended."
            )
        time.sleep(POLL)
    return found


def _start(root: Path, deadline: float) -> Presence:
    """Start a process in a session of its own, and wait until it can be found."""
    command = [sys.executable, "-m", "tfbdl", "serve", str(root)]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / LOG).open("wb") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        said = without_paths(str(error))
        raise SideError(f"The side process cannot be started: {said}.") from None
    _children.append(child)
    with suppress(psutil.Error):
        psutil.Process(child.pid).nice(NICENESS)
    while True:
        found = living(root)  # its own, or another's that was a moment faster
        if found is not None:
            return found
        if child.poll() is not None:
            raise SideError(f"The side process ended while it started.{_last_words(root)}")
        if time.monotonic() > deadline:
            child.kill()
            raise SideError("The side process did not come up and was ended.")
        time.sleep(POLL)


def living(root: Path) -> Presence | None:
    """The side process that a folder has, if it lives."""
    _children[:] = [child for child in _children if child.poll() is None]  # collects the dead
    found = presence.read(root)
    return found if found is not None and found.is_alive() else None


def state_of(found: Presence | None) -> State:
    """How a side process stands, as it says itself; ``absent`` if it does not answer."""
    said = None if found is None else health(found)
    if said is None:
        return "absent"
    return "ready" if said.get("state") == "ready" else "starting"


def health(found: Presence) -> dict[str, Any] | None:
    """What a side process says of itself, as ``tfbdl.serving.server`` has it; None if nothing."""
    connection = http.client.HTTPConnection(ADDRESS, found.port, timeout=10)
    try:
        connection.request("GET", "/health", headers=headers(found))
        response = connection.getresponse()
        said = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return said if isinstance(said, dict) else None


def end(found: Presence) -> None:
    """End a side process, at once if it does not obey; it may have ended already."""
    if not found.is_alive():
        return
    with suppress(psutil.Error):
        process = psutil.Process(found.pid)
        process.terminate()
        try:
            process.wait(5)
        except psutil.TimeoutExpired:
            process.kill()


def headers(found: Presence) -> dict[str, str]:
    """What each request must bear."""
    return {"Authorization": f"Bearer {found.token}"}


def _last_words(root: Path, most: int = 3) -> str:
    """The end of what the process printed, without paths."""
    try:
        lines = (root / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "".join(f"\n{without_paths(line)}" for line in lines[-most:])
