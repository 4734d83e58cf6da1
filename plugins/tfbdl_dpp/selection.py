"""K diverse items of a table, of arrays or of images.

``python -m tfbdl_dpp FILE -k 10`` does this for a file or a folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfbdl.config import check_choice
from tfbdl.errors import DataError, did_you_mean
from tfbdl.standardization import standardised

from .batch_process import EXACT_ITEMS, batch_process, fourier_features
from .checks import check_size
from .greedy import greedy_map
from .kernels import chosen_length_scale, rbf
from .observed import items_of

CHOICES = ("draw", "greedy")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
SIDE = 24  # pixels that images of a folder are shrunk to, before they are compared


@dataclass(frozen=True, eq=False)
class Items:
    """What there is to choose from.

    Attributes:
        table: What is shown of each item, a row each.
        features: What tells them apart, ``[n, d]``.
        by: The same in words.
    """

    table: pd.DataFrame
    features: np.ndarray
    by: str


def select(
    x: Any,
    k: int,
    *,
    how: str = "draw",
    kernel: str = "rbf",
    length_scale: float | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Choose k items that differ.

    Args:
        x: Items ``[n, ...]``; columns are standardised.
        k: How many.
        how: ``draw``: by chance, a draw of the k-DPP, other ones by other seeds; ``greedy``: each
            next item is the one furthest from those taken, without chance.
        kernel: ``rbf`` or ``linear``. Of more than 3,000 items ``rbf`` is approximated by random
            features.
        length_scale: Of ``rbf``, in standard deviations; None: the median distance.
        seed: Of the draw.

    Returns:
        Indices ``[k]``: sorted, or in the order of the greedy choice.

    Raises:
        DataError: If x is no array of finite numbers with rows.
        OptionsError: If k is above the number of items or the rank of their kernel.
    """
    check_choice("how", how, CHOICES)
    items = standardised(items_of(x))
    check_size(k, len(items))
    if how == "draw":
        process = batch_process(items, k, kernel=kernel, length_scale=length_scale, seed=seed)
        return np.asarray(process.sample(1, seed)[0])
    check_choice("kernel", kernel, ("rbf", "linear"))
    if kernel == "linear":
        return greedy_map(features=items, k=k)
    scale = chosen_length_scale(length_scale, items)
    if len(items) <= EXACT_ITEMS:
        return greedy_map(rbf(items, length_scale=scale), k)
    return greedy_map(features=fourier_features(items, max(512, 8 * k), scale, seed), k=k)


def read(path: str | Path, columns: list[str] | None = None) -> Items:
    """The items of a table, of an ``.npz`` file with x, or of a folder of images.

    Args:
        path: A ``.csv``, ``.tsv``, ``.parquet`` or ``.npz`` file, or a folder.
        columns: Of a table: those that tell items apart; None: all that hold numbers.

    Raises:
        DataError: If it is missing, cannot be read, or holds no such columns.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _of_images(path)
    if not path.is_file():
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"There is no file {str(path)!r}.{did_you_mean(path.name, near)}")
    kind = path.suffix.lower()
    if kind == ".npz":
        return _of_arrays(path)
    if kind not in (*SEPARATORS, ".parquet"):
        raise DataError(
            f"Expected a file .csv, .tsv, .parquet or .npz, or a folder of images. Received: {path}"
        )
    try:
        frame = (
            pd.read_parquet(path) if kind == ".parquet" else pd.read_csv(path, sep=SEPARATORS[kind])
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    numbers = _numbers(frame, columns)
    return Items(frame, numbers.to_numpy(np.float64), ", ".join(map(str, numbers.columns)))


def _numbers(frame: pd.DataFrame, columns: list[str] | None) -> pd.DataFrame:
    """The columns that tell items apart, checked."""
    for name in columns or ():
        if name not in frame.columns:
            raise DataError(
                f"There is no column {name!r}.{did_you_mean(name, map(str, frame.columns))} "
                f"Expected some of {', '.join(map(str, frame.columns))}."
            )
    numeric = frame[columns] if columns else frame.select_dtypes("number")
    if numeric.shape[1] == 0 or len(numeric) == 0:
        raise DataError("Items are told apart by columns of numbers. Received: none, or no rows.")
    try:
        values = numeric.to_numpy(np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"Columns {', '.join(map(str, numeric.columns))} must hold numbers."
        ) from None
    bad = numeric.columns[~np.isfinite(values).all(axis=0)]
    if len(bad):
        raise DataError(
            "Columns must have a number in each row. Received: missing ones in "
            f"{', '.join(map(str, bad))}. Fill them, or name other columns."
        )
    return numeric


def _of_arrays(path: Path) -> Items:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an .npz file: {error}") from None
    if "x" not in arrays:
        raise DataError(f"{path} must hold an array x. Received: {', '.join(arrays) or 'none'}.")
    x = items_of(arrays["x"])
    shown = {"row": np.arange(len(x))}
    if "y" in arrays and arrays["y"].shape == (len(x),):
        shown["y"] = arrays["y"]
    return Items(pd.DataFrame(shown), x, "the array x")


def _of_images(folder: Path) -> Items:
    import tensorflow as tf

    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)
    if not files:
        raise DataError(f"There are no images ({', '.join(IMAGES)}) in {folder}.")
    found = []
    for file in files:
        try:
            pixels = tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False)
        except tf.errors.InvalidArgumentError:
            raise DataError(f"{file} cannot be read as an image.") from None
        found.append(tf.image.resize(pixels, [SIDE, SIDE], antialias=True).numpy() / 255.0)
    return Items(
        pd.DataFrame({"file": [file.name for file in files]}), items_of(np.stack(found)), "pixels"
    )
