"""A peer library in a process of its own, in another environment: one JSON line in, one out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self


class Peer:
    """The process of ``peer.py`` in a benchmark's folder, while the context lasts.

    Args:
        python: Of the peer's environment; a path from the present folder or a whole one.
        folder: That holds ``peer.py``.
    """

    def __init__(self, python: str, folder: Path) -> None:
        self.python, self.folder = Path(python).absolute(), folder

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [self.python, "peer.py"],
            cwd=self.folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **question: Any) -> Any:
        """One line there, one back."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())
