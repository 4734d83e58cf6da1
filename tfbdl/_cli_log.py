"""The log of a run: what its worker prints goes to the terminal and to a file."""

from __future__ import annotations

import io
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from .errors import TfbdlError

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Tee(io.TextIOBase):
    """A stream that writes to another one and, without colours, to a log.

    Args:
        stream: What was written to before.
        log: An open text file.
    """

    def __init__(self, stream: Any, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        """Write to both; the log is whole after each call, since its worker may be killed."""
        self.stream.write(text)
        self.log.write(_ESCAPES.sub("", text))
        self.log.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the stream before."""
        self.stream.flush()

    def isatty(self) -> bool:
        """As the stream before."""
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        """Of the stream before."""
        return int(self.stream.fileno())

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        """Of the stream before."""
        return getattr(self.stream, "encoding", "utf-8")


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what is printed inside, and what is raised, to the file at ``path``."""
    with (
        path.open("a", encoding="utf-8") as log,
        redirect_stdout(Tee(sys.stdout, log)),
        redirect_stderr(Tee(sys.stderr, log)),
    ):
        try:
            yield
        except BaseException as error:
            ours = isinstance(error, (TfbdlError, KeyboardInterrupt))
            log.write(f"{type(error).__name__}: {error}\n" if ours else traceback.format_exc())
            raise
