"""What a plugin, a file or a user says, made safe to show: text, never markup, and no paths."""

from __future__ import annotations

import re

from tfbdl import errors

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$<>:&=^@])")


def escaped(text: object) -> str:
    """``text`` for a place that reads Markdown, such as a label, a help text or ``st.error``.

    Every mark of Markdown is escaped, so that no picture is fetched, no link is hidden behind
    other words, and no formula is set.
    """
    return _MARKUP.sub(r"\\\1", str(text)).replace("\n", "  \n")


def without_paths(text: object) -> str:
    """``text`` with the last part alone of each path: ``'/a/b.csv'`` becomes ``'b.csv'``."""
    return errors.without_paths(str(text))
