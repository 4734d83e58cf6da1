"""Markers and fixtures for the tests of tfbdl and of plugins; pytest loads it by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .specs import DATA_VARIABLE

MARKERS = {
    "slow": "takes more than a few seconds",
    "gpu": "needs a GPU",
    "browser": "drives the dashboard in a browser",
    "replicas": "splits the machine into several logical devices",
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that ``--strict-markers`` accepts them."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Split the CPU for the whole session if a chosen test has the marker ``replicas``.

    TensorFlow takes this before its first operation only. Where no test module has imported it
    yet, ``tfbdl.testing`` splits the CPU itself when the first check asks for it.
    """
    if "tensorflow" in sys.modules and any(
        item.get_closest_marker("replicas") for item in session.items
    ):
        from tfbdl.testing import two_logical_cpus

        two_logical_cpus()


@pytest.fixture(scope="session")
def tfbdl_data() -> Path:
    """The folder of data sets that are too large to ship, named by TFBDL_DATA.

    A test that asks for it is skipped, with the reason, where there is no such folder.
    """
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        pytest.skip(f"{DATA_VARIABLE} is not set to a folder of data sets.")
    folder = Path(named).expanduser()
    if not folder.is_dir():
        pytest.skip(f"{DATA_VARIABLE} names no folder: {named!r}.")
    return folder
