"""Markers and fixtures for the tests of tfbdl and of plugins; pytest loads it by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA_VARIABLE = "TFBDL_DATA"
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
