"""The runs that there are, by their ids, and the rows of their table.

An id is the name of a run's folder directly under the root. It is looked up among those found
there and never joined to a path, so that nothing outside can be named.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tfbdl import registry
from tfbdl.errors import RunError, did_you_mean
from tfbdl.metrics_store import Summary
from tfbdl.runs import METRICS, RESULT, RUN, STATUS, RunFolder, list_runs
from tfbdl_dashboard import jobs
from tfbdl_dashboard.jobs import Standing
from tfbdl_dashboard.plain_text import without_paths
from tfbdl_dashboard.uploads import data_label

ARCHIVE = ".archive"
"""The hidden folder under the root that keeps what was put away."""

GRAVE = ".deleted-"
"""How the name of a folder begins that is being removed."""

OBJECTIVES = {
    "elbo": max,
    "log_likelihood": max,
    "bound": max,
    "score": max,
    "loss": min,
    "r_hat": min,
}
"""Curves of which a run has a best and a last figure: the first it has, and which end is best."""

_FILES = (RUN, STATUS, RESULT, METRICS, f"{METRICS}-wal", jobs.LAUNCH)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run as its table shows it.

    Attributes:
        id: Of the run.
        standing: How it stands; None where it cannot be read.
        model, data, engine: Names, or in brackets what stands in their place.
        seed: Of the run.
        created: ISO time, or empty.
        objective: The name of its curve, or empty.
        best, last: Of that curve.
        figures: Final figures.
        message: What is wrong, without paths.
    """

    id: str
    standing: Standing | None = None
    model: str = ""
    data: str = ""
    engine: str = ""
    seed: int = 0
    created: str = ""
    objective: str = ""
    best: float | None = None
    last: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    message: str = ""

    @property
    def state(self) -> str:
        """In one word."""
        return "unreadable" if self.standing is None else self.standing.state


_lock = threading.Lock()
_removing = threading.Lock()
_rows: dict[Path, tuple[tuple[int, ...], Row]] = {}


def folders(root: Path) -> dict[str, RunFolder]:
    """Id -> run, the latest first."""
    return {folder.path.name: folder for folder in list_runs(root)}


def archived(root: Path) -> dict[str, RunFolder]:
    """Id -> run that was put away, the latest first."""
    return folders(root / ARCHIVE)


def find(root: Path, run_id: str) -> RunFolder | None:
    """The run of this id, or None."""
    return folders(root).get(run_id)


def rows(root: Path) -> list[Row]:
    """One row for each run, the latest first; files are read again only if they changed."""
    return [row_of(folder) for folder in folders(root).values()]


def archive(root: Path, run_id: str) -> None:
    """Put a run away, into a hidden folder under the root.

    Raises:
        RunError: If there is no such run, or it is at work.
    """
    folder = _idle(root, run_id)
    (root / ARCHIVE).mkdir(exist_ok=True)
    _move(folder.path, root / ARCHIVE)


def restore(root: Path, run_id: str) -> None:
    """Take a run back from the archive.

    Raises:
        RunError: If the archive has no such run, or another one has its name by now.
    """
    kept = archived(root)
    if run_id not in kept:
        raise RunError(f"No run named {run_id!r} is in the archive.{did_you_mean(run_id, kept)}")
    _move(kept[run_id].path, root)


def delete(root: Path, run_id: str) -> None:
    """Remove a run, from the root or else from the archive, for good.

    Raises:
        RunError: If there is no such run, it is at work, or it cannot be removed.
    """
    kept = archived(root)
    folder = kept[run_id] if run_id in kept and find(root, run_id) is None else _idle(root, run_id)
    grave = root / f"{GRAVE}{uuid.uuid4().hex}"  # gone at once from every list
    with _removing:
        try:
            os.replace(folder.path, grave)
            grave.unlink() if grave.is_symlink() else shutil.rmtree(grave)
        except OSError as error:
            raise RunError(f"The run {run_id!r} cannot be removed: {error.strerror}.") from error
        for old in root.glob(f"{GRAVE}*"):  # of a server that ended before it was done with them
            shutil.rmtree(old, ignore_errors=True)
    with _lock:
        _rows.pop(folder.path, None)


def _idle(root: Path, run_id: str) -> RunFolder:
    known = folders(root)
    if run_id not in known:
        raise RunError(f"There is no run named {run_id!r}.{did_you_mean(run_id, known)}")
    if jobs.standing(known[run_id]).active:
        raise RunError(f"The run {run_id!r} is at work. Cancel it first.")
    return known[run_id]


def _move(path: Path, into: Path) -> None:
    target = into / path.name
    if target.exists():
        raise RunError(f"There is already a run named {path.name!r} where this one would go.")
    try:
        os.replace(path, target)
    except OSError as error:
        raise RunError(f"The run {path.name!r} cannot be moved: {error.strerror}.") from error


def row_of(folder: RunFolder) -> Row:
    """The row of one run; its files are read again only if they changed."""
    stamp = tuple(_changed(folder.path / name) for name in _FILES)
    with _lock:
        known = _rows.get(folder.path)
    if known is not None and known[0] == stamp and not _is_active(known[1]):
        return known[1]
    row = _read_row(folder)
    with _lock:
        _rows[folder.path] = (stamp, row)
    return row


def _is_active(row: Row) -> bool:
    """Whether a row may change without a file that says so: a worker can die."""
    return row.standing is not None and row.standing.active


def _read_row(folder: RunFolder) -> Row:
    run_id = folder.path.name
    try:
        record, spec = folder.read_record(), folder.read_spec()
        standing, figures = jobs.standing(folder), folder.read_result()
        curves = folder.summarise_metrics(list(OBJECTIVES))
    except RunError as error:
        return Row(id=run_id, message=without_paths(error))
    objective, best, last = _objective(curves)
    return Row(
        id=run_id,
        standing=standing,
        model=spec.model or "(object)",
        data=data_label(spec.data) if spec.data else "(object)",
        engine=spec.engine or _default_engine(spec.model),
        seed=spec.seed,
        created=str(record.get("created", "")),
        objective=objective,
        best=best,
        last=last,
        figures=figures,
        message=standing.message,
    )


def _objective(curves: dict[str, Summary]) -> tuple[str, float | None, float | None]:
    for name, best_of in OBJECTIVES.items():
        if name in curves:
            curve = curves[name]
            return name, curve.greatest if best_of is max else curve.least, curve.last
    return "", None, None


def _default_engine(model: str | None) -> str:
    models = registry.registry().models
    if model is None or model not in models:
        return "(default)"
    return models[model].default_engine


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
