"""The metrics of a run: read while they are written, whole after a kill."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfbdl import runs
from tfbdl.errors import RunError

WRITE = """
import sys, time
from tfbdl.runs import MetricsWriter
writer = MetricsWriter(sys.argv[1])
for step in range(10):
    writer.write(step, {"loss": 10.0 - step})
writer.flush()
print("ready", flush=True)
for step in range(10, 10_000):
    writer.write(step, {"loss": 0.5})
    time.sleep(0.01)
"""


def test_metrics_are_read_while_another_process_writes_and_after_it_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / runs.METRICS
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        assert runs.read_metrics(path)["loss"][:10] == [(s, 10.0 - s) for s in range(10)]
        deadline = time.monotonic() + 10
        while len(runs.read_metrics(path)["loss"]) <= 10 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    rows = runs.read_metrics(path)["loss"]
    assert len(rows) > 10
    assert [step for step, _ in rows] == list(range(len(rows)))
    with runs.MetricsWriter(path) as writer:
        writer.truncate(4)
    assert [step for step, _ in runs.read_metrics(path)["loss"]] == [0, 1, 2, 3, 4]


def test_metrics_wait_for_the_next_commit_and_close_writes_them(tmp_path: Path) -> None:
    path = tmp_path / runs.METRICS
    with runs.MetricsWriter(path) as writer:
        writer.write(0, {"loss": 1.0})
        for step in range(1, 50):
            writer.write(step, {"loss": 1.0})
        assert len(runs.read_metrics(path)["loss"]) < 50
    assert len(runs.read_metrics(path)["loss"]) == 50
    assert [step for step, _ in runs.read_metrics(path, after=47)["loss"]] == [48, 49]


def test_metrics_keep_nan_and_infinity(tmp_path: Path) -> None:
    path = tmp_path / runs.METRICS
    with runs.MetricsWriter(path) as writer:
        writer.write(0, {"a": math.nan, "b": math.inf, "c": np.float32(0.5)})
        writer.write(0, {"c": 0.25})
    found = runs.read_metrics(path)
    assert math.isnan(found["a"][0][1])
    assert found["b"] == [(0, math.inf)]
    assert found["c"] == [(0, 0.25)]  # written again: replaced


def test_metrics_of_a_foreign_file_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / runs.METRICS
    assert runs.read_metrics(path) == {}
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(RunError, match="cannot be read"):
        runs.read_metrics(path)
    with pytest.raises(RunError, match="cannot be written"):
        runs.MetricsWriter(path)
