"""A dashboard's server in a process of its own, and what is installed beside it, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tfbdl.serving import presence

ADDRESS = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def write_distribution(site: Path, name: str, version: str, entries: Mapping[str, str]) -> None:
    """Write into a folder what an installer leaves of a distribution beside its modules."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{entry} = {module}" for entry, module in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[tfbdl]", *lines, ""]))


@dataclass
class Dashboard:
    """A server that runs, and the folder of runs that it shows."""

    root: Path
    port: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        """Start, and wait until the port answers."""
        arguments = ["--port", str(self.port), "--runs", str(self.root)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tfbdl_dashboard", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """End at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def libraries(self) -> set[str]:
        """The files that the server's process has mapped."""
        assert self.process is not None
        return {Path(part.path).name for part in psutil.Process(self.process.pid).memory_maps()}

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((ADDRESS, self.port)) == 0


@contextmanager
def serving(root: Path, **environment: str) -> Iterator[Dashboard]:
    """A dashboard of a folder of runs, ended with all that it started."""
    found = Dashboard(root, free_port(), environment)
    found.start()
    try:
        yield found
    finally:
        found.kill()
        _end_what_it_started(root)


def _end_what_it_started(root: Path) -> None:
    """End the side process and the workers, which outlive the server; each by its own id."""
    side = presence.read(root)
    if side is not None and side.is_alive():
        psutil.Process(side.pid).kill()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "tfbdl" in words and any(str(root) in word for word in words):
            process.kill()
