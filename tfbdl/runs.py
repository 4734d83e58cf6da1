"""The folder of a run: what it is, how it stands, and what it left."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic

from .checkpoints import CheckpointStore
from .errors import RunCancelled, RunError
from .manifests import MANIFEST, verify_manifest, write_atomically, write_manifest
from .metrics_store import MetricsWriter, Summary, last_metrics, read_metrics, summarise_metrics
from .run_status import Progress, State, Status, to_status, write_status
from .specs import RunSpec

__all__ = [
    "CHECKPOINTS", "LOG", "MANIFEST", "METRICS", "MODEL", "POSTERIOR", "RESULT", "RUN", "STATUS",
    "WEIGHTS", "CheckpointStore", "MetricsWriter", "RunFolder", "State", "Status", "list_runs",
    "new_folder", "read_metrics", "read_run_file", "verify_manifest", "write_manifest",
]  # fmt: skip

RUN = "run.json"
STATUS = "status.json"
CANCEL = "cancel"
LOCK = ".lock"
METRICS = "metrics.sqlite"
RESULT = "metrics.json"
LOG = "log.txt"
CHECKPOINTS = "checkpoints"
POSTERIOR = "posterior.nc"
WEIGHTS = "weights.npz"
MODEL = "model.keras"

_VERSIONED = ("tfbdl", "tensorflow", "keras", "tensorflow-probability", "numpy")
_HEARTBEAT_INTERVAL = 1.0  # seconds


class RunFolder:
    """One run on disk. Nothing is read or written before a method is called.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._last_heartbeat = 0.0
        self._progress = Progress()

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def holds_run(self) -> bool:
        """Whether a run was made here."""
        return (self.path / RUN).is_file() or (self.path / STATUS).is_file()

    @property
    def log_path(self) -> Path:
        """What the command line printed while it was the worker; absent for a run from Python."""
        return self.path / LOG

    @property
    def metrics_path(self) -> Path:
        """The store that MetricsWriter fills."""
        return self.path / METRICS

    def create(self, *, pending: bool = False) -> RunFolder:
        """Make the folder for a new run.

        Args:
            pending: Accept a run that was written here but never started.

        Raises:
            RunError: If the folder already holds a run, holds anything else, or cannot be made.
        """
        if self.holds_run:
            state = self.status().state
            if not (pending and state == "created"):
                raise RunError(
                    f"{self.path} already holds a run ({state}). Resume it with "
                    f"'tfbdl resume {self.path}', or choose another folder."
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            strangers = [] if self.holds_run else sorted(p.name for p in self.path.iterdir())
        except OSError as error:
            raise RunError(f"The folder {self.path} cannot be made: {error}.") from error
        if strangers:
            raise RunError(
                f"{self.path} is not empty and holds no run. Choose a new or an empty folder. "
                f"Received a folder with {strangers[0]!r}."
            )
        self.set_state("created")
        return self

    # What the run is

    def write_spec(
        self,
        spec: RunSpec,
        providers: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Write ``run.json``; the time of creation outlives a second writing.

        Args:
            spec: The run.
            providers: Kind -> who provided it (a dataclass or a mapping of plain values).
            extra: Further plain values, such as ``data_info``.
        """
        known = self.read_record() if (self.path / RUN).is_file() else {}
        record = {
            "spec": spec.model_dump(mode="json"),
            "versions": _versions(),
            "providers": {kind: _plain_provider(p) for kind, p in (providers or {}).items()},
            "created": known.get("created", datetime.now(UTC).isoformat(timespec="seconds")),
            **(extra or {}),
        }
        write_atomically(self.path / RUN, json.dumps(record, indent=2) + "\n")

    def note(self, **extra: Any) -> None:
        """Add plain values to ``run.json`` and leave the rest of it as it is."""
        write_atomically(self.path / RUN, json.dumps(self.read_record() | extra, indent=2) + "\n")

    def read_record(self) -> dict[str, Any]:
        """All of ``run.json``: spec, versions, providers, created and what else was given.

        Raises:
            RunError: If there is none, or it cannot be read.
        """
        path = self.path / RUN
        if not path.is_file():
            raise RunError(f"{self.path} holds no run: {RUN} is missing.")
        return _read_object(path)

    def read_spec(self) -> RunSpec:
        """The run in plain values.

        Raises:
            RunError: If there is none, or it is not valid.
        """
        return _to_spec(self.read_record(), self.path / RUN)

    # How it stands

    def set_state(self, state: State, message: str = "", *, keep_step: bool = False) -> None:
        """Write ``status.json`` as this process.

        Args:
            state: How the run stands.
            message: Why, in words.
            keep_step: Take over how far another process has written that the run is.
        """
        if keep_step:
            written = self.status()
            self._progress.reached(written.step, written.steps)
        self._last_heartbeat = time.monotonic()
        write_status(self.path / STATUS, state, message, self._progress)

    def heartbeat(
        self, message: str = "", *, step: float | None = None, steps: float | None = None
    ) -> None:
        """Say that the worker is alive; cheap, since it writes at most once a second.

        Args:
            message: Where the run is, in words.
            step: How far it is.
            steps: How long it will be, if that is known.
        """
        self._progress.reached(step, steps)
        if time.monotonic() - self._last_heartbeat >= _HEARTBEAT_INTERVAL:
            self.set_state("running", message)

    def status(self) -> Status:
        """How the run stands now; a worker that died reads as ``lost``.

        Raises:
            RunError: If the folder holds no run.
        """
        path = self.path / STATUS
        if not path.is_file():
            if self.holds_run:
                return Status(state="created")
            raise RunError(f"{self.path} holds no run: {RUN} and {STATUS} are missing.")
        try:
            return to_status(_read_object(path))
        except RunError as error:
            return Status(state="lost", message=f"{STATUS} cannot be read: {error}")

    def request_cancel(self) -> None:
        """Ask the worker to stop at its next step."""
        (self.path / CANCEL).touch()

    def cancel_requested(self) -> bool:
        """Whether the worker was asked to stop; cheap enough for every step."""
        return os.path.exists(self.path / CANCEL)

    def clear_cancel(self) -> None:
        """Take the request back."""
        (self.path / CANCEL).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other worker out of this folder, also those of this process.

        Raises:
            RunError: If another worker is at work here; the message names its pid.
        """
        import filelock

        holder = self.path / f"{LOCK}.pid"
        lock = filelock.FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            pid = holder.read_text().strip() if holder.is_file() else "unknown"
            raise RunError(
                f"{self.path} is in use by process {pid}. Wait for it, or cancel that run first."
            ) from None
        try:
            write_atomically(holder, str(os.getpid()), durable=False)
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Hold the lock and keep the status while a run is carried out.

        The state is ``running`` inside, and afterwards ``done``, ``cancelled`` (RunCancelled or
        Ctrl-C) or ``failed``. A cancel that was asked for before the first start still counts; one
        left over from an earlier worker does not.

        Raises:
            RunError: If another worker is at work here.
        """
        with self.lock():
            if self.status().state != "created":
                self.clear_cancel()
            self._progress = Progress()
            self.set_state("running")
            try:
                yield
            except (RunCancelled, KeyboardInterrupt) as error:
                self.clear_cancel()
                self.set_state("cancelled", str(error))
                raise
            except BaseException as error:
                self.set_state("failed", f"{type(error).__name__}: {error}")
                raise
            self.clear_cancel()  # one that came too late
            self.set_state("done")

    # What it left

    def checkpoints(self, keep: int = 2) -> CheckpointStore:
        """The store of the run's checkpoints."""
        return CheckpointStore(self.path / CHECKPOINTS, keep)

    def read_metrics(
        self,
        *,
        after: int | None = None,
        names: Sequence[str] | None = None,
        most: int | None = None,
    ) -> dict[str, list[tuple[int, float]]]:
        """Metric name -> ``[(step, value), ...]``; empty before the first step.

        Args:
            after: Only steps beyond this one.
            names: Only these; None: all.
            most: At most so many points of each, evenly spread; None: all.
        """
        return read_metrics(self.metrics_path, after=after, names=names, most=most)

    def last_metrics(self) -> dict[str, tuple[int, float]]:
        """Metric name -> the last step and the value there."""
        return last_metrics(self.metrics_path)

    def summarise_metrics(self, names: Sequence[str] | None = None) -> dict[str, Summary]:
        """Metric name -> its last, least and greatest value, without reading the curves."""
        return summarise_metrics(self.metrics_path, names)

    def read_result(self) -> dict[str, float]:
        """The metrics of the finished run, or an empty mapping."""
        path = self.path / RESULT
        return dict(_read_object(path).get("metrics", {})) if path.is_file() else {}

    def read_diagnostics(self) -> list[str] | None:
        """What is wrong with the draws of a finished run, None if they are of no Markov chain."""
        path = self.path / RESULT
        found = _read_object(path).get("diagnostics") if path.is_file() else None
        return None if found is None else [str(verdict) for verdict in found]


def list_runs(root: str | Path) -> list[RunFolder]:
    """The runs directly under ``root``, the latest first; a missing ``root`` has none.

    Hidden folders are none, and neither is one that is removed meanwhile.
    """
    root = Path(root)
    if not root.is_dir():
        return []
    found = []
    for entry in root.iterdir():
        if entry.name.startswith("."):
            continue
        try:
            about = (entry / RUN).stat()
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode):
            found.append((-about.st_mtime_ns, entry.name, RunFolder(entry)))
    return [folder for *_, folder in sorted(found, key=lambda run: run[:2])]


def read_run_file(path: str | Path) -> RunSpec:
    """Read a run from a ``run.json`` of a run's folder, or from a RunSpec as JSON alone.

    Raises:
        RunError: If the file is missing, is no JSON, or describes no run.
    """
    path = Path(path)
    if not path.is_file():
        raise RunError(f"There is no file {path}. Expected a {RUN} or a run's options as JSON.")
    return _to_spec(_read_object(path), path)


def new_folder(root: str | Path, label: str) -> Path:
    """Make an empty folder ``<UTC time>-<label>`` under ``root``, which no other process has.

    Raises:
        RunError: If it cannot be made.
    """
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label}"
    path, number = Path(root) / stem, 2
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            path, number = Path(root) / f"{stem}-{number}", number + 1
        except OSError as error:
            raise RunError(f"The folder {path} cannot be made: {error}.") from error
        else:
            return path


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} must hold a JSON object. Received: {type(content).__name__}.")
    return content


def _to_spec(content: Mapping[str, Any], path: Path) -> RunSpec:
    try:
        return RunSpec.model_validate(content.get("spec", content))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise RunError(f"{path} describes no run: {where}: {first['msg']}.") from None


def _versions() -> dict[str, str | None]:
    import importlib.metadata

    versions: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _plain_provider(provider: Any) -> Any:
    if is_dataclass(provider) and not isinstance(provider, type):
        return asdict(provider)
    return dict(provider) if isinstance(provider, Mapping) else provider
