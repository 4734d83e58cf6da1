"""A fit as bytes and back, so that an estimator can be pickled: a run's folder in one archive."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from ..api import load
from ..fitted import Fit


def to_bytes(fit: Fit) -> bytes:
    """The folder that ``fit.save`` writes, as a zip archive: arrays and plain values alone."""
    path, buffer = fit.path, io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        try:
            fit.path = None
            fit.save(Path(folder) / "fit")
        finally:
            fit.path = path
        files = sorted(file for file in (Path(folder) / "fit").rglob("*") if file.is_file())
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(Path(folder) / "fit"))
    return buffer.getvalue()


def from_bytes(archive: bytes) -> Fit:
    """The inverse of ``to_bytes``.

    Raises:
        CheckpointError: If a file in the archive was altered.
    """
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(archive)) as stored:
            stored.extractall(folder)
        fit: Fit = load(Path(folder))
    fit.path = None
    return fit
