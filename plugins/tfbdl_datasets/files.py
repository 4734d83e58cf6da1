"""A table or arrays in a file of the user."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfbdl.data import Dataset, as_dataset
from tfbdl.data.reading import current
from tfbdl.errors import DataError, did_you_mean

from .config import TEST_FRACTION, FileOptions
from .splits import random_split

_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}
_ARRAYS = ("x", "y", "sample_weight", "x_test", "y_test")


def file(options: FileOptions) -> Dataset:
    """Read, check and split the file.

    A table's columns are features but for the target. For a model without targets, and unless
    the options say otherwise, all columns are features and no rows are held out. An ``.npz`` file
    holds ``x``, and may hold ``y``, ``sample_weight``, ``x_test`` and ``y_test``; held-out rows of
    its own are used as they are.

    Raises:
        DataError: If the file is missing, of no known kind, cannot be read, or its data cannot be
            trained on.
    """
    path = Path(options.path).expanduser()
    if not path.is_file():
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"There is no file {options.path!r}.{did_you_mean(path.name, near)}")
    kind = path.suffix.lower()
    if kind == ".npz":
        data = _read_arrays(path, options)
        return data if data.x_test is not None else _split(data, options)
    if kind == ".parquet" or kind in _TEXT:
        return _split(_read_table(path, kind, options), options)
    raise DataError(
        f"Expected a file .npz, .parquet, {', '.join(_TEXT)}. Received: {options.path!r}."
    )


def _split(data: Dataset, options: FileOptions) -> Dataset:
    share = options.test_fraction
    if share is None:
        share = TEST_FRACTION if current().targets else 0.0
    return random_split(data, share, options.split)


def _read_table(path: Path, kind: str, options: FileOptions) -> Dataset:
    frame = _frame(path, kind, options.sep)
    target, features = _stripped(options.target), _stripped(options.features)
    if target is None and not current().targets:
        target = ()
    if target is None:
        if frame.shape[1] < 2:
            hint = f", separated by {options.sep or _TEXT[kind]!r}" if kind in _TEXT else ""
            raise DataError(
                f"{path} has {frame.shape[1]} column{hint}. Expected features and a target: set "
                "sep if columns are parted otherwise, or target to an empty list for no target."
            )
        target = (str(frame.columns[-1]),)
    return as_dataset(
        frame,
        target=target or None,
        features=features,
        task=options.task if target else None,
        name=path.stem,
    )


def _frame(path: Path, kind: str, sep: str | None) -> Any:
    import pandas as pd

    try:
        if kind == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, sep=sep or _TEXT[kind], skipinitialspace=True)
    except (OSError, ValueError) as error:  # parser and Arrow errors are ValueErrors
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    names = _stripped(map(str, frame.columns)) or ()
    frame.columns = pd.Index([name or f"Unnamed: {i}" for i, name in enumerate(names)])
    return frame


def _stripped(names: Iterable[str] | None) -> tuple[str, ...] | None:
    """Names of columns without the spaces around them; a command line cannot say those."""
    return None if names is None else tuple(name.strip() for name in names)


def _read_arrays(path: Path, options: FileOptions) -> Dataset:
    for option, value in (("target", options.target), ("features", options.features)):
        if value is not None:
            raise DataError(
                f"{option} names columns of a table. An .npz file holds arrays x and y instead. "
                f"Received: {value}."
            )
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name in _ARRAYS}
            held = ", ".join(stored.files)
    except (OSError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}") from None
    if "x" not in arrays:
        raise DataError(f"{path} must hold an array x, and y for targets. Received: {held}.")
    return as_dataset(
        (arrays["x"], arrays.get("y"), arrays.get("sample_weight")),
        x_test=arrays.get("x_test"),
        y_test=arrays.get("y_test"),
        task=options.task if "y" in arrays else None,
        name=path.stem,
    )
