"""The installed version of tfbdl, read from its distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tfbdl")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"
