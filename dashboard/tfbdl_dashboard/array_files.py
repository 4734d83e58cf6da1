"""Arrays in an npz file: looked at by their headers before any number is read."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import IO

import numpy as np
import pandas as pd

from tfbdl.errors import DataError
from tfbdl_dashboard.column_checks import ColumnCheck, check_columns

MAX_BYTES = 500 * 2**20
"""Of all arrays together, uncompressed."""

MAX_MEMBERS = 50
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_USED = ("x", "y", "sample_weight", "x_test", "y_test")
_PREVIEW_ROWS, _PREVIEW_COLUMNS = 20, 50


@dataclass(frozen=True, kw_only=True)
class ArrayCheck:
    """One array.

    Attributes:
        name: Under which it is stored.
        shape: Of the array.
        dtype: In words of NumPy.
        missing, infinite: How many of its numbers are NaN or infinite.
        used: Whether a run reads it.
        head: The first rows of a vector or a matrix that a run reads, else None.
        column: Of targets that have one value in each row: what there is to know of them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    missing: int
    infinite: int
    used: bool
    head: pd.DataFrame | None = None
    column: ColumnCheck | None = None


def read_array_file(content: bytes) -> tuple[ArrayCheck, ...]:
    """Check an npz file and its arrays.

    Raises:
        DataError: If it holds anything but arrays of numbers, an array is cut short, they are too
            large together, or ``x`` is missing or has not as many rows as its targets.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            checks = tuple(_check(archive, member) for member in members)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise DataError(f"This is no whole npz file: {error}.") from None
    _check_together({check.name: check for check in checks})
    return checks


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    expected = "Expected an npz file of arrays of numbers, as numpy.savez makes it."
    if not members:
        raise DataError(f"The archive is empty. {expected}")
    if len(members) > MAX_MEMBERS:
        raise DataError(f"The archive holds {len(members)} files. {expected}")
    for member in members:
        name = member.filename
        if not name.endswith(".npy") or set("/\\:") & set(name) or name.startswith("."):
            raise DataError(f"The archive holds {name!r}. {expected}")
        if member.compress_type not in _METHODS or member.flag_bits & 1:
            raise DataError(f"{name!r} is encrypted or packed in an unusual way. {expected}")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise DataError(f"Two arrays have one name. {expected}")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise DataError(
            f"The arrays take {total / 2**20:,.0f} MB. Expected at most "
            f"{MAX_BYTES / 2**20:,.0f} MB."
        )


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayCheck:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        shape, dtype = _header(stream, name, member.file_size)
    with archive.open(member) as stream:
        try:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"The array {name!r} cannot be read: {error}.") from None
    floats, used = dtype.kind == "f", name in _USED
    single = name == "y" and math.prod(shape[1:]) == 1 and len(shape) > 0
    return ArrayCheck(
        name=name,
        shape=shape,
        dtype=str(dtype),
        missing=int(np.isnan(array).sum()) if floats else 0,
        infinite=int(np.isinf(array).sum()) if floats else 0,
        used=used,
        head=_head(name, array) if used and len(shape) in (1, 2) else None,
        column=check_columns(pd.DataFrame({name: array.reshape(-1)}))[0] if single else None,
    )


def _head(name: str, array: np.ndarray) -> pd.DataFrame:
    """The first rows, the columns named ``x[0]``, ``x[1]``, ...; a vector is one column."""
    if array.ndim == 1:
        return pd.DataFrame({name: array[:_PREVIEW_ROWS]})
    part = array[:_PREVIEW_ROWS, :_PREVIEW_COLUMNS]
    return pd.DataFrame(part, columns=[f"{name}[{i}]" for i in range(part.shape[1])])


def _header(
    stream: IO[bytes], name: str, size: int
) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Shape and dtype, before a number is read."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version} of the format is not known")
        size -= stream.tell()
    except (ValueError, SyntaxError, TypeError) as error:
        raise DataError(f"The array {name!r} has no header that can be read: {error}.") from None
    texts = dtype.kind == "U" and name in ("y", "y_test")
    if dtype.hasobject or not (dtype.kind in "biuf" or texts):
        raise DataError(
            f"The array {name!r} holds {dtype}. Expected numbers"
            f"{'; objects are never read' if dtype.hasobject else ''}."
        )
    if math.prod(shape) * dtype.itemsize > size:
        raise DataError(f"The array {name!r} is cut short: its header says shape {shape}.")
    return shape, dtype


def _check_together(checks: dict[str, ArrayCheck]) -> None:
    if "x" not in checks:
        raise DataError(
            f"There is no array x. Expected x, and y for targets. Received: {', '.join(checks)}."
        )
    shapes = {name: check.shape for name, check in checks.items() if check.used}
    for name, shape in shapes.items():
        if not shape or 0 in shape:
            raise DataError(
                f"{name} has the shape {shape}. Expected rows, and a length of at least 1 on each "
                "axis."
            )
    _check_pairs(shapes)
    for first, second in (("x", "y"), ("x", "sample_weight"), ("x_test", "y_test")):
        if first in shapes and second in shapes and shapes[first][0] != shapes[second][0]:
            raise DataError(
                f"{first} has the shape {shapes[first]}, and {second} {shapes[second]}. "
                "Expected equally many rows."
            )
    for first, second in (("x", "x_test"), ("y", "y_test")):
        if second in shapes and not _alike(shapes[first], shapes[second]):
            raise DataError(
                f"{first} has the shape {shapes[first]}, and {second} {shapes[second]}. "
                "Expected rows of one form."
            )
    if len(shapes.get("sample_weight", (0,))) != 1:
        raise DataError(
            f"sample_weight has the shape {shapes['sample_weight']}. Expected one for each row."
        )


def _check_pairs(shapes: dict[str, tuple[int, ...]]) -> None:
    """What is there must have beside it what a run needs to use it."""
    needed = {"y_test": ("y", "x_test"), "sample_weight": ("y",)}
    for name, others in needed.items():
        lacking = [other for other in others if other not in shapes]
        if name in shapes and lacking:
            raise DataError(
                f"There is an array {name}, and no {' and no '.join(lacking)}. Expected "
                f"{' and '.join(others)} beside it, or no {name}."
            )


def _alike(training: tuple[int, ...], test: tuple[int, ...]) -> bool:
    """Whether held-out rows go with those of training; axes between are for the model to judge."""
    return len(training) == len(test) and training[1:][-1:] == test[1:][-1:]
