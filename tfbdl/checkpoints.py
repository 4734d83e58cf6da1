"""Checkpoints of a run: arrays and plain values, each whole, the last few kept."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError
from .manifests import sync_folder, verify_manifest, write_manifest

if TYPE_CHECKING:
    import numpy as np

ARRAYS = "arrays.npz"
NOTES = "notes.json"


class CheckpointStore:
    """The folder ``checkpoints/`` of a run; fulfils ``protocols.Checkpoints``.

    A checkpoint is a folder ``<step>`` with ``arrays.npz``, ``notes.json`` and a manifest. It is
    written under another name and moved, so a process that is killed leaves none half written.

    Args:
        folder: Made on the first save.
        keep: How many to keep, at least one.

    Attributes:
        warnings: What ``restore`` had to pass over, one sentence each.
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1. Received: {keep}.")
        self.folder = Path(folder)
        self.keep = keep
        self.warnings: list[str] = []

    def steps(self) -> list[int]:
        """The steps of the stored checkpoints, ascending; none of them is read."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(entry.name)
            for entry in self.folder.iterdir()
            if entry.name.isdecimal() and entry.is_dir()
        )

    def path(self, step: int) -> Path:
        """The folder of the checkpoint after ``step``."""
        return self.folder / f"{step:09d}"

    def save(self, step: int, arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> None:
        """Write the state after ``step``, and remove what is older than the last few.

        Checkpoints beyond ``step`` belong to a course that was given up; they go too.

        Args:
            step: Steps done, at least 0.
            arrays: Name -> array of numbers, booleans or text.
            notes: Plain values, allowed in JSON.

        Raises:
            CheckpointError: If an array or a note cannot be stored without loss.
        """
        if step < 0:
            raise CheckpointError(f"A checkpoint's step must be at least 0. Received: {step}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob(".*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary = self.folder / f".{step:09d}.{os.getpid()}.tmp"
        temporary.mkdir()
        try:
            _write_arrays(temporary / ARRAYS, arrays)
            _write_notes(temporary / NOTES, notes)
            write_manifest(temporary, [ARRAYS, NOTES])
            self._publish(temporary, self.path(step))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        stored = self.steps()
        past = [s for s in stored if s <= step]
        for old in set(stored) - set(past[-self.keep :]):
            shutil.rmtree(self.path(old))

    def restore(self) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
        """Read the latest checkpoint that is whole.

        Returns:
            Step, arrays and notes; None if nothing was ever saved. ``warnings`` names each later
            checkpoint that was damaged.

        Raises:
            CheckpointError: If there are checkpoints and none is whole.
        """
        self.warnings = []
        steps = self.steps()
        for step in reversed(steps):
            path = self.path(step)
            try:
                verify_manifest(path)
                arrays, notes = _read(path)
            except CheckpointError as error:
                self.warnings.append(f"The checkpoint of step {step} is damaged: {error}")
                continue
            if self.warnings:
                self.warnings.append(f"The run goes on from the checkpoint of step {step} instead.")
            return step, arrays, notes
        if not steps:
            return None
        raise CheckpointError(
            f"None of the checkpoints in {self.folder} is whole. {' '.join(self.warnings)}"
        )

    def _publish(self, temporary: Path, final: Path) -> None:
        if final.exists():  # a folder cannot be moved over a filled one
            old = final.with_name(f".{final.name}.old.tmp")
            os.replace(final, old)
            os.replace(temporary, final)
            shutil.rmtree(old)
        else:
            os.replace(temporary, final)
        sync_folder(self.folder)


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what ``numpy.load`` reads; ``numpy.savez`` would refuse an array named "file"."""
    import numpy as np

    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, value in arrays.items():
                array = np.asarray(value)
                if array.dtype.kind not in "biufcSUmM":  # objects, bfloat16: .npy loses their type
                    raise CheckpointError(
                        f"{name!r} has the dtype {array.dtype}, which a checkpoint cannot hold. "
                        "Expected numbers, booleans or text; convert it, for example to float32."
                    )
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _write_notes(path: Path, notes: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(dict(notes), default=_plain)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"The notes of a checkpoint must be plain values: {error}."
        ) from error
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not allowed in JSON")


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import numpy as np

    try:
        with np.load(path / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return arrays, json.loads((path / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
