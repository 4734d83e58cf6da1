"""The pytest plugin: markers under --strict-markers, and data sets or a skip with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import sys
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.gpu, pytest.mark.browser, pytest.mark.replicas]

def test_data(tfbdl_data):
    assert (tfbdl_data / "mnist.npz").is_file()

def test_start_leaves_tensorflow_out():
    assert not {"tensorflow", "keras"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ("here", "2 passed"),
        ("", "TFBDL_DATA is not set to a folder of data sets."),
        ("elsewhere", "TFBDL_DATA names no folder: 'elsewhere'."),
    ],
)
def test_pytest_plugin_knows_the_markers_and_finds_or_skips_data(
    data: str, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "mnist.npz").write_bytes(b"x")
    folder = str(tmp_path) if data == "here" else data
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tfbdl.pytest_plugin", "--strict-markers", "-rs",
         "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TFBDL_DATA": folder},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert outcome in done.stdout
