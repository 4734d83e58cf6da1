"""The metrics of a run, step by step, in a database that others may read while it grows."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .errors import RunError

COMMIT_INTERVAL = 0.5
"""Seconds between two commits: what a killed process may lose."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS metrics (name TEXT NOT NULL, step INTEGER NOT NULL, value REAL, "
    "PRIMARY KEY (name, step)) WITHOUT ROWID"
)
_LAST = "SELECT step, value FROM metrics WHERE name = ? ORDER BY step DESC LIMIT 1"


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


@dataclass(frozen=True, slots=True)
class Summary:
    """A curve in four numbers; of values that are no numbers ``least`` and ``greatest`` know none.

    Attributes:
        step: The last step that has a value.
        last: The value there; NaN stands for one that is none.
        least, greatest: Over all steps.
    """

    step: int
    last: float
    least: float
    greatest: float


def read_metrics(
    path: str | Path,
    *,
    after: int | None = None,
    names: Sequence[str] | None = None,
    most: int | None = None,
) -> dict[str, list[tuple[int, float]]]:
    """Read metrics, also while another process writes them.

    Args:
        path: The database; if it is missing there are no metrics yet.
        after: Only steps beyond this one.
        names: Only these; None: all.
        most: At most so many points of each, at least 2: the last of each of so many equal
            stretches of steps. None: all points.

    Returns:
        Metric name -> ``[(step, value), ...]``, ascending in the step.

    Raises:
        RunError: If the file is no store of metrics.
        ValueError: If ``most`` is less than 2.
    """
    if most is not None and most < 2:
        raise ValueError(f"most must be at least 2. Received: {most}.")
    beyond = -1 if after is None else after
    metrics: dict[str, list[tuple[int, float]]] = {}

    def read(connection: sqlite3.Connection) -> None:
        for name in _names(connection, names):
            rows = _curve(connection, name, beyond, most)
            if rows:
                # SQLite keeps NaN as NULL
                metrics[name] = [(s, math.nan if value is None else value) for s, value in rows]

    _reading(Path(path), read)
    return metrics


def summarise_metrics(path: str | Path, names: Sequence[str] | None = None) -> dict[str, Summary]:
    """Metric name -> its last, least and greatest value; much cheaper than the curves.

    Raises:
        RunError: If the file is no store of metrics.
    """
    found: dict[str, Summary] = {}

    def read(connection: sqlite3.Connection) -> None:
        for name in _names(connection, names):
            extent = connection.execute(
                "SELECT min(value), max(value) FROM metrics WHERE name = ?", (name,)
            ).fetchone()
            last = connection.execute(_LAST, (name,)).fetchone()
            if last is not None:
                values = (math.nan if value is None else value for value in (last[1], *extent))
                found[name] = Summary(last[0], *values)

    _reading(Path(path), read)
    return found


def last_metrics(path: str | Path) -> dict[str, tuple[int, float]]:
    """Metric name -> the last step and the value there; the cheapest look at a store.

    Raises:
        RunError: If the file is no store of metrics.
    """
    found: dict[str, tuple[int, float]] = {}

    def read(connection: sqlite3.Connection) -> None:
        for name in _names(connection, None):
            step, value = connection.execute(_LAST, (name,)).fetchone()
            found[name] = (step, math.nan if value is None else value)

    _reading(Path(path), read)
    return found


def _names(connection: sqlite3.Connection, names: Sequence[str] | None) -> list[str]:
    """All names, by leaps through the index; those asked for stay as they are, sorted."""
    if names is not None:
        return sorted(set(names))
    rows = connection.execute(
        "WITH RECURSIVE found(name) AS (SELECT min(name) FROM metrics UNION ALL "
        "SELECT (SELECT min(name) FROM metrics WHERE name > found.name) FROM found "
        "WHERE found.name IS NOT NULL) SELECT name FROM found WHERE name IS NOT NULL"
    )
    return [name for (name,) in rows]


def _curve(
    connection: sqlite3.Connection, name: str, after: int, most: int | None
) -> list[tuple[int, float | None]]:
    where = "FROM metrics WHERE name = ? AND step > ?"
    if most is None:
        return connection.execute(
            f"SELECT step, value {where} ORDER BY step", (name, after)
        ).fetchall()
    first, last = connection.execute(
        f"SELECT (SELECT min(step) {where}), (SELECT max(step) {where})", (name, after) * 2
    ).fetchone()
    if first is None:
        return []
    width = max(1, -(-(last - first + 1) // most))
    # counted back from the last step, so that it stays; max(step) names the row of the value
    rows = connection.execute(
        f"SELECT max(step), value {where} GROUP BY (? - step) / ?", (name, after, last, width)
    )
    return sorted(rows)


def _reading(path: Path, read: Callable[[sqlite3.Connection], None]) -> None:
    """Let ``read`` look at the database in one moment of it; not at all if it is missing."""
    if not path.is_file():
        return
    address = path.resolve().as_uri() + "?mode=ro"
    closed = not path.with_name(path.name + "-wal").exists()
    # In a folder without permission to write, WAL is readable only as a file that cannot change.
    for uri in (address, f"{address}&immutable=1") if closed else (address,):
        try:
            # the file may be gone by now, or may not be opened
            with closing(sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None)) as one:
                one.execute("BEGIN")
                read(one)
        except sqlite3.OperationalError as error:
            failure: sqlite3.Error = error
            if "no such table" in str(error):
                return
        except sqlite3.DatabaseError as error:
            failure = error
        else:
            return
    raise RunError(f"The metrics in {path} cannot be read: {failure}.") from failure
