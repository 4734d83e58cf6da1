"""Files from a browser: their contents decide what they are, and their digest what they are called.

A file that is no table and no archive of number arrays is refused by name of what it is. Models
and code are never taken.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tfbdl.errors import DataError
from tfbdl.runs import RUN
from tfbdl_dashboard.array_files import ArrayCheck, read_array_file
from tfbdl_dashboard.column_checks import ColumnCheck, check_columns
from tfbdl_dashboard.text_tables import (
    MAX_CELL_LENGTH,
    MAX_CELLS,
    MAX_COLUMNS,
    SEPARATORS,
    read_text_table,
    stripped,
)

FOLDER = ".uploads"
"""Under the folder of runs."""

KEPT_SECONDS = 24 * 3600
"""An upload that no run names is kept as long."""

MAX_BYTES = 50 * 2**20
PREVIEW = 20
"""Rows."""

_EXPECTED = "Expected a table (CSV, TSV, Parquet) or an npz file of number arrays."
_MAX_TEXT_BYTES = 500 * 2**20
_MAX_UNPACKED = 500 * 2**20
_MAGIC: Mapping[bytes, str] = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as stored models are",
    b"\x93NUMPY": "a single NumPy array; save it with numpy.savez(file, x=...)",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save the sheet as CSV",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x7fELF": "a program",
    b"#!": "a script",
    b"{": "JSON",
    b"<": "a page of HTML or XML",
}
_MEMBERS: Mapping[str, str] = {
    "model.weights.h5": "a Keras model",
    "config.json": "a Keras model",
    "data.pkl": "a stored PyTorch model",
    "[Content_Types].xml": "an Excel or Word file; save the sheet as CSV",
    "META-INF/MANIFEST.MF": "a Java archive",
}
_REFUSED_SUFFIXES: Mapping[str, str] = {
    ".keras": "a Keras model",
    ".h5": "a stored model",
    ".hdf5": "a stored model",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".joblib": "a pickle",
    ".pt": "a PyTorch model",
    ".pth": "a PyTorch model",
    ".py": "code",
    ".ipynb": "code",
    ".whl": "code",
}

_STORED = re.compile(r"\b[0-9a-f]{64}(?=\.)")  # the digest in the name of an upload
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")

Suffix = Literal["csv", "parquet", "npz"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file holds.

    Attributes:
        suffix: Of the kind of file, as tfbdl reads it.
        separator: What parts the columns of a text, else None.
        rows: How many.
        columns: Of a table; empty for arrays.
        arrays: Of an npz file; empty for a table.
        head: The first rows of a table, None for arrays.
    """

    suffix: Suffix
    separator: str | None
    rows: int
    columns: tuple[ColumnCheck, ...] = ()
    arrays: tuple[ArrayCheck, ...] = ()
    head: pd.DataFrame | None = None


def inspect(content: bytes, name: str = "") -> Inspection:
    """Find out what a file holds, from its contents.

    Args:
        content: The whole file.
        name: What it is called; used to refuse models and code alone, never to admit or to store.

    Raises:
        DataError: If it is too large, of no known kind, malformed, or a model or code.
    """
    suffix = suffix_of(content, name)
    if suffix == "parquet":
        return _table(_read_parquet(content), suffix, None)
    if suffix == "npz":
        arrays = read_array_file(content)
        rows = next(check.shape[0] for check in arrays if check.name == "x")
        return Inspection(suffix=suffix, separator=None, rows=rows, arrays=arrays)
    frame, separator = read_text_table(content)
    return _table(frame, suffix, separator)


def suffix_of(content: bytes, name: str = "") -> Suffix:
    """The kind of a file by its first bytes; the rest of it is not looked at.

    Args:
        content, name: As in ``inspect``.

    Raises:
        DataError: If it is empty, too large, a model, code, or of another kind that is known.
    """
    if len(content) > MAX_BYTES:
        raise DataError(
            f"The file has {len(content) / 2**20:,.0f} MB. Expected at most "
            f"{MAX_BYTES / 2**20:,.0f} MB: give larger ones as a path of this machine."
        )
    _refuse(content, name)
    if content.startswith(b"PAR1"):
        return "parquet"
    return "npz" if content.startswith(_ZIP) else "csv"


def keep(root: Path, content: bytes, suffix: Suffix) -> Path:
    """Store a file that was inspected, under its digest; the same contents are stored once.

    Args:
        root: The folder of runs.
        content: The whole file.
        suffix: What the inspection found.

    Raises:
        DataError: If it cannot be written.
    """
    folder = root / FOLDER
    path = folder / f"{hashlib.sha256(content).hexdigest()}.{suffix}"
    if path.is_file() and path.stat().st_size == len(content):
        with suppress(OSError):
            os.utime(path)  # it is in use again
        return path
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"The file cannot be stored: {error.strerror}.") from None
    return path


def tidy(root: Path, now: float | None = None) -> int:
    """Remove uploads older than a day that no run names; how many.

    Args:
        root: The folder of runs.
        now: Seconds since the epoch; None: the present.
    """
    before = (time.time() if now is None else now) - KEPT_SECONDS
    named: set[str] = set()
    try:
        held = sorted((root / FOLDER).iterdir())
        for pattern in (f"*/{RUN}", f"*/*/{RUN}"):  # those in the archive too
            for run in root.glob(pattern):
                named |= set(_STORED.findall(run.read_text(encoding="utf-8", errors="replace")))
        old = [path for path in held if path.is_file() and path.stat().st_mtime < before]
    except OSError:  # what a run names cannot be told
        return 0
    unused = [path for path in old if _STORED.match(path.name) and path.name[:64] not in named]
    for path in unused:
        with suppress(OSError):
            path.unlink()
    return len(unused)


def data_label(data: str) -> str:
    """What to call the data of a run: a data set's name, a file's, or ``upload 2288849f.csv``."""
    name = Path(data).name
    kept = re.fullmatch(r"([0-9a-f]{8})[0-9a-f]{56}(\.\w+)", name)
    return f"upload {kept[1]}{kept[2]}" if kept else name


def _refuse(content: bytes, name: str) -> None:
    """Raise DataError for what is known and not admitted."""
    what = _REFUSED_SUFFIXES.get(Path(name).suffix.lower())
    if not content:
        raise DataError("The file is empty. Expected a header and rows of numbers.")
    if what is None and content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05":
        what = "a pickle"
    if what is None:
        what = next((text for magic, text in _MAGIC.items() if content.startswith(magic)), None)
    if what is None and content.startswith(_ZIP):
        what = _archive(content)
    if what is not None:
        raise DataError(f"This is {what}. {_EXPECTED}")


def _archive(content: bytes) -> str | None:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return None  # the reader of npz files says what is wrong with it
    for name in names:
        for member, text in _MEMBERS.items():
            if name == member or name.endswith(f"/{member}"):
                return text
    return None


def _table(frame: pd.DataFrame, suffix: Suffix, separator: str | None) -> Inspection:
    columns = check_columns(frame)
    if not any(column.numeric for column in columns):
        hint = (
            " Its numbers have commas where points are expected."
            if any(column.decimal_commas for column in columns)
            else ""
        )
        raise DataError(f"No column of this table holds numbers.{hint} Expected one at least.")
    return Inspection(
        suffix=suffix,
        separator=separator if separator in SEPARATORS else None,
        rows=len(frame),
        columns=columns,
        head=frame.head(PREVIEW),
    )


def _read_parquet(content: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        schema = file.schema_arrow
        _check_schema(list(schema), file.metadata.num_rows)
        _check_unpacked(file.metadata)
        texts = [field.name for field in schema if _is_text(field.type)]
        table = pq.read_table(io.BytesIO(content), read_dictionary=texts)
        for name in texts:
            _check_texts(table.column(name), name)
        frame: pd.DataFrame = table.to_pandas(date_as_object=False)
        frame.columns = pd.Index(stripped(frame.columns))
        return frame
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"This is no whole Parquet file: {str(error)[:200]}.") from None


def _check_schema(fields: Sequence[Any], rows: int) -> None:
    if rows == 0:
        raise DataError("The table has no rows. Expected one at least.")
    if len(fields) > MAX_COLUMNS or rows * len(fields) > MAX_CELLS:
        raise DataError(
            f"The table has {rows:,} rows and {len(fields):,} columns. Expected at most "
            f"{MAX_COLUMNS:,} columns and {MAX_CELLS:,} cells."
        )
    names = stripped(field.name for field in fields)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"Two columns are named {', '.join(map(repr, twice[:5]))}.")
    for field in fields:
        if field.type.num_fields:
            raise DataError(
                f"The column {field.name!r} holds {field.type}. Expected one value in each cell."
            )
        if not _is_known(field.type):
            raise DataError(
                f"The column {field.name!r} holds {field.type}. Expected numbers, true or false, "
                "dates or texts: leave it out of the file."
            )


def _check_unpacked(metadata: Any) -> None:
    """What repeats takes little room in the file, and all of it once it is read."""
    total = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if total > _MAX_UNPACKED:
        raise DataError(
            f"The table takes {total / 2**20:,.0f} MB once it is unpacked. Expected at most "
            f"{_MAX_UNPACKED / 2**20:,.0f} MB."
        )


def _is_known(kind: Any) -> bool:
    """Whether cells of a type have a bounded size, or are texts, whose size is looked at."""
    import pyarrow as pa

    of = pa.types
    bounded = (of.is_boolean, of.is_integer, of.is_floating, of.is_decimal, of.is_temporal)
    return _is_text(kind) or of.is_null(kind) or any(test(kind) for test in bounded)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind) in ("string", "large_string", "string_view")


def _check_texts(column: Any, name: str) -> None:
    """Texts that repeat are stored once in the file, and not in memory once they are read."""
    import pyarrow.compute as pc

    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary)
        longest = pc.max(lengths).as_py() or 0
        if longest > 4 * MAX_CELL_LENGTH:
            raise DataError(
                f"The column {name!r} has a text of {longest:,} bytes. Expected at most "
                f"{4 * MAX_CELL_LENGTH:,}."
            )
        total += pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0
    if total > _MAX_TEXT_BYTES:
        raise DataError(f"The texts of the column {name!r} take {total / 2**20:,.0f} MB.")
