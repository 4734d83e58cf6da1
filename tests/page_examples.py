"""The Python examples of the documentation, found in its pages and run as one script a page.

Every block that is fenced as ``python`` runs, in order, in one namespace for the whole page. Two
comments in a page's source, which readers do not see, change that:

- ``<!-- setup``, lines of Python, ``-->``: what the examples take for granted, such as ``x``;
- ``<!-- not run: REASON -->`` directly before a block: that block alone is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES = ("README.md", "docs/**/*.md", "plugins/*/README.md")
GENERATED = ("docs/plugins/", "docs/reference/options.md")
PART = re.compile(
    r"^<!-- setup\n(?P<setup>.*?)^-->$"
    r"|^<!-- not run: (?P<reason>\S.*?) -->\n+(?=```python\n)"
    r"|^```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A part of a page that is Python.

    Attributes:
        line: Of the page, before the first line of the code.
        code: The code.
        shown: Whether it stands in the page, and is no set-up.
        reason: Why it is not run, or an empty text.
    """

    line: int
    code: str
    shown: bool = True
    reason: str = ""


def name_of(page: Path) -> str:
    """The path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def pages() -> list[Path]:
    """All pages, but for those that are made while the site is built."""
    found = {page for source in SOURCES for page in ROOT.glob(source)}
    return [page for page in sorted(found) if not name_of(page).startswith(GENERATED)]


def examples(text: str) -> list[Example]:
    """The set-ups and examples of a page, in order."""
    found: list[Example] = []
    reason = ""
    for part in PART.finditer(text):
        if part["reason"]:
            reason = part["reason"]
            continue
        kind = "setup" if part["setup"] is not None else "code"
        if kind == "setup" or part["language"] == "python":
            line = text.count("\n", 0, part.start(kind))
            found.append(Example(line, part[kind], shown=kind == "code", reason=reason))
        reason = ""
    return found


def run(page: Path) -> list[dict[str, Any]]:
    """Run a page; what is defined after each of its examples that ran, set-ups left aside."""
    names: dict[str, Any] = {"__name__": "page"}
    after = []
    for example in examples(page.read_text(encoding="utf-8")):
        if example.reason:
            continue
        # The page itself is the source, for tracebacks and for what reads a function's code.
        code = "\n" * example.line + example.code
        exec(compile(code, str(page), "exec"), names)
        if example.shown:
            after.append(dict(names))
    return after
