"""Starting, stopping and going on: each run is a worker of its own, as from the command line.

A worker has its own session, so that it outlives the page, the browser and this server. All that
is known of it stands in the run's folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tfbdl import registry
from tfbdl.errors import RunError
from tfbdl.manifests import write_atomically
from tfbdl.run_status import Status, is_alive, process_created
from tfbdl.runs import RUN, RunFolder, new_folder
from tfbdl.specs import RunSpec
from tfbdl_dashboard.plain_text import without_paths

LAUNCH = "launch.json"
"""Which process was started for a run: all that is known of it until it writes its status."""

OUTPUT = "worker.txt"
"""What that process printed, also before it could open the run's log."""

TOKEN_VARIABLE = "TFBDL_DASHBOARD_TOKEN"
NICENESS = 5
SAME = 3.0  # seconds within which the same run, asked for again, is the same click
PATIENCE = 3.0  # seconds that a worker has to end when it is told to, before it is made to

_lock = threading.Lock()
_recent: dict[tuple[Path, str], tuple[str, float]] = {}


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A process that was started for a run.

    Attributes:
        pid, process_created: Which one, as in ``Status``; None if it ended at once.
        launched: When it was started, in seconds since 1970.
    """

    pid: int
    process_created: float | None
    launched: float


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a run stands, its launch included.

    Attributes:
        state: A state of ``tfbdl.runs``, or ``starting``: launched, and loading TensorFlow.
        status: What the worker wrote last.
        message: What went wrong, or where the run is; without paths.
    """

    state: str
    status: Status
    message: str = ""

    @property
    def active(self) -> bool:
        """Whether a worker is at it."""
        return self.state in ("starting", "running")

    @property
    def compiling(self) -> bool:
        """Whether the worker is at work and has not reported a step yet."""
        return self.state == "running" and self.status.step is None

    @property
    def silent(self) -> float:
        """Seconds since a worker that is at work gave its last sign of life; else 0."""
        if self.state != "running" or self.status.heartbeat is None:
            return 0.0
        return max(0.0, time.time() - self.status.heartbeat)


def start(root: Path, spec: RunSpec) -> str:
    """Write a run and start its worker; the id of the run.

    The same run asked for again within three seconds is the same click.

    Raises:
        RunError: If the folder cannot be made or the worker cannot be started.
    """
    key = (root.absolute(), spec.model_dump_json())
    with _lock:
        now = time.monotonic()
        for old in [k for k, (_, when) in _recent.items() if now - when >= SAME]:
            del _recent[old]
        if key in _recent:
            return _recent[key][0]
        path = new_folder(root.absolute(), str(spec.model))
        folder = RunFolder(path).create()
        folder.write_spec(spec)
        _launch(folder, ["run", "--from", str(path / RUN), "--out", str(path)])
        _recent[key] = (path.name, time.monotonic())
    return path.name


def resume(folder: RunFolder, draws: int | None = None) -> None:
    """Start a worker that goes on from the last checkpoint; nothing if one is at work.

    Args:
        folder: Of the run.
        draws: How many more of each chain than the run has, or None to reach what it was to have.

    Raises:
        RunError: If the run was made from objects in Python, its engine has no draws to add to, or
            the worker cannot be started.
    """
    why_not = not_resumable(folder) if draws is None else not_extendable(folder)
    if why_not:
        raise RunError(why_not)
    with _lock:
        if standing(folder).active:
            return
        folder.clear_cancel()
        more = [] if draws is None else ["--draws", str(draws)]
        _launch(folder, ["resume", *more, str(folder.path.absolute())])


def not_resumable(folder: RunFolder) -> str:
    """Why a run cannot be gone on with from here, or an empty text."""
    spec = folder.read_spec()
    if spec.model is None or spec.data is None:
        return (
            "This run was made from objects in Python. Go on with it there: "
            "tfbdl.resume(folder, model=..., data=...)."
        )
    return ""


def not_extendable(folder: RunFolder) -> str:
    """Why no draws can be added to a run from here, or an empty text."""
    why_not = not_resumable(folder)
    if why_not:
        return why_not
    spec, known = folder.read_spec(), registry.registry()
    model = known.models.get(str(spec.model))
    engine = known.engines.get(str(spec.engine or (model and model.default_engine)))
    if engine is None or "draws" not in engine.config.model_fields:
        return "The engine of this run has no draws to add to."
    return ""


def cancel(folder: RunFolder) -> None:
    """Ask a run to stop at its next step; a worker that is still loading is ended at once."""
    now = standing(folder)
    if not now.active:
        return
    _forget(folder)
    folder.request_cancel()
    if now.state == "starting":
        launched = _launched(folder)
        if launched is not None and is_alive(launched.pid, launched.process_created):
            with suppress(ProcessLookupError):
                os.kill(launched.pid, signal.SIGTERM)
        folder.clear_cancel()
        before = now.status.step is None
        message = "before the first step" if before else "while it was loading"
        folder.set_state("cancelled", f"Cancelled {message}.", keep_step=True)


def end(folder: RunFolder) -> None:
    """End a worker that gives no sign of life, also one that is stopped; else as ``cancel``.

    What it made since its last checkpoint is lost.

    Raises:
        RunError: If it cannot be ended.
    """
    now = standing(folder)
    if now.state != "running":
        cancel(folder)
        return
    pid, created = now.status.pid, now.status.process_created
    assert pid is not None  # or the run would be lost
    _forget(folder)
    try:
        for signals in ((signal.SIGTERM, signal.SIGCONT), (signal.SIGKILL,)):
            for number in signals:
                if is_alive(pid, created):
                    os.kill(pid, number)
            if _ended(pid, created, PATIENCE):
                break
        else:
            raise RunError(f"The worker, process {pid}, does not end.")
    except ProcessLookupError:
        pass  # by itself meanwhile
    except PermissionError as error:
        raise RunError(f"The worker, process {pid}, cannot be ended: it is another's.") from error
    if folder.status().state == "lost":  # it did not come to its end meanwhile
        folder.clear_cancel()
        folder.set_state("cancelled", "Its worker was ended.", keep_step=True)


def standing(folder: RunFolder) -> Standing:
    """How a run stands now.

    Raises:
        RunError: If the folder holds no run.
    """
    status = folder.status()
    launched = _launched(folder)
    state: str = status.state
    message = status.message
    if launched is not None and _awaits(status, launched):
        if is_alive(launched.pid, launched.process_created):
            state, message = "starting", "The worker is loading TensorFlow."
        else:
            state = "failed"
            message = "The worker ended before it began. What it printed says why."
    return Standing(state=state, status=status, message=without_paths(message))


def output(folder: RunFolder, most: int = 4000) -> str:
    """The end of what the worker printed, without paths."""
    return tail(folder.path / OUTPUT, most)


def tail(path: Path, most: int = 4000) -> str:
    """The last whole lines of a text, at most ``most`` bytes, without paths; empty without it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    if size > most:
        text = text.partition("\n")[2]
    return without_paths(text.replace("\r", "\n").rstrip())


def command(arguments: list[str]) -> list[str]:
    """How the command line is called from here."""
    return [sys.executable, "-m", "tfbdl", *arguments]


def _ended(pid: int, created: float | None, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid, created):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _forget(folder: RunFolder) -> None:
    """Let the same run, asked for again, be another one."""
    with _lock:
        for key in [k for k, (name, _) in _recent.items() if name == folder.path.name]:
            del _recent[key]


def _awaits(status: Status, launch: Launch) -> bool:
    """Whether the launched process has not yet said more than that the run was made."""
    if status.pid == launch.pid:
        return status.state == "created"
    # by another process: an earlier worker, this server, or one that was started elsewhere later
    return status.heartbeat is None or status.heartbeat <= launch.launched


def _launch(folder: RunFolder, arguments: list[str]) -> None:
    launched = time.time()
    environment = {name: v for name, v in os.environ.items() if name != TOKEN_VARIABLE}
    try:
        with (folder.path / OUTPUT).open("ab") as printed:
            process = subprocess.Popen(
                command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
    except OSError as error:
        raise RunError(f"The worker cannot be started: {error.strerror}.") from error
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, min(19, own + NICENESS))
    launch = Launch(
        pid=process.pid, process_created=process_created(process.pid), launched=launched
    )
    write_atomically(folder.path / LAUNCH, json.dumps(asdict(launch)) + "\n", durable=False)
    # collected when it ends, so that it leaves no entry in the system's table of processes
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()


def _launched(folder: RunFolder) -> Launch | None:
    try:
        return Launch(**json.loads((folder.path / LAUNCH).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
