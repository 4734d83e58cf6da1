"""The metrics of a run, step by step, in a database that others may read while it grows."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .errors import RunError

COMMIT_INTERVAL = 0.5
"""Seconds between two commits: what a killed process may lose."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS metrics (name TEXT NOT NULL, step INTEGER NOT NULL, value REAL, "
    "PRIMARY KEY (name, step)) WITHOUT ROWID"
)


class MetricsWriter:
    """Appends metrics to a store; one process writes, any number reads.

    Commits at most twice a second, and on ``flush`` and ``close``. A step that is written again
    replaces what stood there.

    Args:
        path: The database, made if it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._pending: list[tuple[str, int, float]] = []
        self._committed = -math.inf
        try:
            self._connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise RunError(f"The metrics in {self.path} cannot be written: {error}.") from error

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Note the metrics after ``step``; NaN and infinity are kept as they are."""
        self._pending += [(name, int(step), float(value)) for name, value in metrics.items()]
        if time.monotonic() - self._committed >= COMMIT_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Commit what is pending."""
        if self._pending:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(
                    "INSERT OR REPLACE INTO metrics (name, step, value) VALUES (?, ?, ?)",
                    self._pending,
                )
            self._pending.clear()
        self._committed = time.monotonic()

    def truncate(self, step: int) -> None:
        """Remove what lies beyond ``step``, when a run goes on from there."""
        self.flush()
        self._connection.execute("DELETE FROM metrics WHERE step > ?", (int(step),))

    def close(self) -> None:
        """Commit and close."""
        try:
            self.flush()
        finally:
            self._connection.close()

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(
    path: str | Path, *, after: int | None = None
) -> dict[str, list[tuple[int, float]]]:
    """Read all metrics, also while another process writes them.

    Args:
        path: The database; if it is missing there are no metrics yet.
        after: Only steps beyond this one.

    Returns:
        Metric name -> ``[(step, value), ...]``, ascending in the step.

    Raises:
        RunError: If the file is no store of metrics.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    rows = _select(path, -1 if after is None else after)
    metrics: dict[str, list[tuple[int, float]]] = {}
    for name, step, value in rows:
        # SQLite keeps NaN as NULL
        metrics.setdefault(name, []).append((step, math.nan if value is None else value))
    return metrics


def _select(path: Path, after: int) -> list[tuple[str, int, float | None]]:
    address = path.resolve().as_uri() + "?mode=ro"
    closed = not path.with_name(path.name + "-wal").exists()
    # In a folder without permission to write, WAL is readable only as a file that cannot change.
    for uri in (address, f"{address}&immutable=1") if closed else (address,):
        connection = sqlite3.connect(uri, uri=True, timeout=10.0)
        try:
            return connection.execute(
                "SELECT name, step, value FROM metrics WHERE step > ? ORDER BY name, step", (after,)
            ).fetchall()
        except sqlite3.OperationalError as error:
            failure: sqlite3.Error = error
            if "no such table" in str(error):
                return []
        except sqlite3.DatabaseError as error:
            failure = error
        finally:
            connection.close()
    raise RunError(f"The metrics in {path} cannot be read: {failure}.") from failure
