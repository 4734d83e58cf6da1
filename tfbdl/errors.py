"""Every error that tfbdl raises on purpose: what is wrong, what was expected, what was received."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_QUOTED_PATH = re.compile(
    r"""(?<=['"])(?:(?i:file:)|[A-Za-z]:|~[\w.-]*)?[\\/][^'"\n]*[\\/](?=[^'"\n]*['"])"""
)
_WORD = r"""[^\s'"<>|:\\/]+"""
_PATH = re.compile(
    rf"""
    (?<![\w./\\-])      # neither within a word nor within another path
    (?!(?<=:)//(?!/))   # nor the host of an address such as https://
    (?:
        ~[A-Za-z_][\w.-]*[\\/]+                                          # ~ada/
        |
        (?: (?i:file):/+ | [A-Za-z]:[\\/]+ | \\{{2,}}(?=[\w.?]) | ~?/+(?=[\w.~]) )
        (?:
            (?i:home|users)[\\/]+{_WORD}(?:(?<![,;.])[ ]{_WORD}){{0,2}}[\\/]+  # ada de souza/
            |
            {_WORD}[\\/]+
        )
    )
    (?:{_WORD}(?:(?<![,;.])[ ](?=[A-Z0-9(]){_WORD}){{0,3}}[\\/]+)*          # My Data/
    """,
    re.VERBOSE,
)
"""A path to its last part. In one that is not quoted a space ends it, unless it stands in what
follows the folder of the users, or before a capital letter or a figure."""


class TfbdlError(Exception):
    """Base class of all errors raised on purpose by tfbdl."""

    def __str__(self) -> str:  # KeyError would quote the message
        return str(self.args[0]) if self.args else ""


class UnknownNameError(TfbdlError, KeyError, ValueError):
    """A name (of a model, an engine, a prior, ...) that nothing installed provides."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        listed = ", ".join(known) or "none"
        super().__init__(
            f"No {kind} is named {name!r}.{did_you_mean(name, known)} Known: {listed}."
        )
        self.kind, self.name, self.known = kind, name, known

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return (type(self), (self.kind, self.name, self.known))


class OptionsError(TfbdlError, ValueError):
    """An option that does not exist, or whose value has the wrong type or range."""


class SpecError(TfbdlError, ValueError):
    """A plugin's specification is malformed; its author must mend it."""


class CapabilityError(TfbdlError, ValueError):
    """A model and an engine that cannot work together."""


class DataError(TfbdlError, ValueError):
    """Data that cannot be trained on or predicted from."""


class ModelError(TfbdlError, ValueError):
    """A model that cannot be made, or cannot do what was asked of it."""


class RunError(TfbdlError, RuntimeError):
    """A run that cannot be started, read, resumed or extended."""


class RunCancelled(TfbdlError):  # noqa: N818 - a request that was met, not a fault
    """The run was asked to stop; its last checkpoint is whole."""


class CheckpointError(TfbdlError, OSError):
    """A stored file that is missing, cut short or altered."""


class BackendError(TfbdlError, RuntimeError):
    """Keras does not run on TensorFlow."""


class MissingDependencyError(TfbdlError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class TfbdlWarning(UserWarning):
    """What to know of a result that stands, such as that a component collapsed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'nuts'?"`` for the nearest of ``known``, or an empty text."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def without_paths(text: str) -> str:
    """A text in which each path of this machine is cut down to its last part.

    For what is shown to someone who need not know where files lie, such as in a browser.
    """
    return _PATH.sub("", _QUOTED_PATH.sub("", text))
