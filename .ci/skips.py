"""Fail if a test was skipped that ``tests/allowed_skips.txt`` does not list.

Usage: python .ci/skips.py JUNIT_XML ALLOWED
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree


def read_allowed(text: str) -> list[str]:
    """The patterns of an allow-list: one a line; ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_skips(report: str) -> list[tuple[str, str]]:
    """(test, reason) of each test that was skipped, in a report in JUnit's format."""
    return [
        (f"{case.get('classname')}::{case.get('name')}", skipped.get("message", ""))
        for case in ElementTree.fromstring(report).iter("testcase")
        for skipped in case.iter("skipped")
    ]


def unlisted(skips: Iterable[tuple[str, str]], allowed: Iterable[str]) -> list[tuple[str, str]]:
    """The skips of which neither the test nor the reason matches a pattern."""
    patterns = list(allowed)
    return [
        (test, reason)
        for test, reason in skips
        if not any(fnmatchcase(text, p) for p in patterns for text in (test, reason))
    ]


def main(report: str, allowed: str) -> int:
    """Print the skips that are not listed; 1 if there are any."""
    skips = read_skips(Path(report).read_text(encoding="utf-8"))
    found = unlisted(skips, read_allowed(Path(allowed).read_text(encoding="utf-8")))
    for test, reason in found:
        print(f"Skipped, but not listed in {allowed}: {test}: {reason}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
