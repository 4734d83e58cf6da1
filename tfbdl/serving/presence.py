"""How a side process is found: ``.serve.json`` in the folder that it serves."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from ..errors import RunError
from ..run_status import is_alive, process_created

FILE = ".serve.json"
LOCK = ".serve.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """A side process, as others find it.

    Attributes:
        port: Of 127.0.0.1.
        token: What each request must bear.
        pid: Of the process.
        process_created: When it began, in seconds since 1970; with ``pid`` it names one process.
    """

    port: int
    token: str
    pid: int
    process_created: float

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return is_alive(self.pid, self.process_created)


def read(folder: Path) -> Presence | None:
    """What ``.serve.json`` says, or None if there is none that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Presence(
            port=int(found["port"]),
            token=str(found["token"]),
            pid=int(found["pid"]),
            process_created=float(found["process_created"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def announce(folder: Path, port: int, token: str) -> Presence:
    """Write ``.serve.json`` for this process, readable by its user alone.

    Raises:
        RunError: If another side process lives there, or the folder cannot be written.
    """
    pid = os.getpid()
    own = Presence(
        port=port, token=token, pid=pid, process_created=process_created(pid) or time.time()
    )
    try:
        with filelock.FileLock(folder / LOCK, timeout=10):
            other = read(folder)
            if other is not None and other.is_alive():
                raise RunError(
                    f"{folder} is served already, by process {other.pid}. Use that one, or end "
                    "it first."
                )
            temporary = folder / f"{FILE}.{pid}.tmp"
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(own), file)
            os.replace(temporary, folder / FILE)
    except (OSError, filelock.Timeout) as error:
        raise RunError(f"{folder} cannot be served: {error}.") from error
    return own


def withdraw(folder: Path, own: Presence) -> None:
    """Remove ``.serve.json`` if it is still that of ``own``."""
    if read(folder) == own:
        with contextlib.suppress(OSError):
            (folder / FILE).unlink()
