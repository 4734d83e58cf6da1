"""The folder of downloaded data, which the environment variable TFBDL_DATA names."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from tfbdl.errors import DataError
from tfbdl.specs import DATA_VARIABLE


def data_folder() -> Path | None:
    """The folder, or None if the variable is not set.

    Raises:
        DataError: If the variable names no folder.
    """
    text = os.environ.get(DATA_VARIABLE, "")
    if not text:
        return None
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise DataError(f"{DATA_VARIABLE} must name a folder. Received: {text!r}.")
    return folder


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named arrays of a file.

    Raises:
        DataError: If the file cannot be read, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = set(arrays.files)
            missing = [name for name in names if name not in held]
            if not missing:
                return {name: arrays[name] for name in names}
    except (OSError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}") from None
    raise DataError(
        f"{path} must hold the arrays {', '.join(names)}. "
        f"Received: {', '.join(sorted(held)) or 'none'}."
    )
