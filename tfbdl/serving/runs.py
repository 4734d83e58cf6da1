"""The fits of the runs that are served: read on demand, the last four kept."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from .. import _backend, runs, stored  # noqa: F401 - the gate
from ..data import Dataset
from ..errors import UnknownNameError
from ..fitted import Fit
from ..runs import RunFolder

KEPT = 4
"""Fits in memory."""


class Runs:
    """Finds fits and their data by the ids of runs.

    An id is the name of a folder directly under the root that holds a run, and nothing else; a
    link is none, so an id leads nowhere out of the root.

    Args:
        root: A folder of runs, or of one run, whose only id is its own name.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self._fits: OrderedDict[str, tuple[tuple[int, int], Fit]] = OrderedDict()

    def folder(self, run: str) -> RunFolder:
        """The folder of a run.

        Raises:
            UnknownNameError: If there is no such run; the message has the nearest id.
        """
        own = RunFolder(self.root)
        found = [own] if own.holds_run else runs.list_runs(self.root)
        by_id = {f.path.name: f for f in found if not f.path.is_symlink()}
        if run not in by_id:
            raise UnknownNameError("run", run, by_id)
        return by_id[run]

    def fit(self, run: str) -> Fit:
        """The Fit of a run, read again if the run has a new result since.

        Raises:
            UnknownNameError: If there is no such run.
            RunError: If it is not finished.
            CheckpointError: If a file was altered or cut short.
        """
        path = self.folder(run).path
        changed = _last_change(path / runs.RESULT)
        kept = self._fits.pop(run, None)
        if kept is None or kept[0] != changed:
            kept = changed, stored.load(path)
        self._fits[run] = kept
        while len(self._fits) > KEPT:
            self._fits.popitem(last=False)
        return kept[1]

    def data(self, run: str) -> Dataset | None:
        """The data of a run made by name; None if it was made from objects, or has none.

        Raises:
            UnknownNameError, RunError, CheckpointError: As ``fit``.
            DataError: If the data are no longer there.
        """
        return self.fit(run).dataset()


def _last_change(path: Path) -> tuple[int, int]:
    """When a file was written, and its size; zeros if there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
