"""A table in text: how its columns are parted, and whether each row has as many as the header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

import pandas as pd

from tfbdl.errors import DataError

MAX_COLUMNS = 2_000
MAX_CELLS = 20_000_000
MAX_CELL_LENGTH = 1_000
"""Characters."""

SEPARATORS = (",", ";", "\t")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
FIRST_UNNAMED = "Unnamed: 0"
"""What the first column is called by who reads it, if its name is empty."""

_SNIFFED = 50  # rows that tell how columns are parted


def read_text_table(content: bytes) -> tuple[pd.DataFrame, str]:
    """Read a table with a header.

    Args:
        content: UTF-8, columns parted by comma, semicolon or tab.

    Returns:
        The table, and what parts its columns.

    Raises:
        DataError: If it is no such text, a row has more or fewer cells than the header, a name of a
            column is missing or stands twice, or there are no rows or too many.
    """
    text = _decoded(content)
    separator = _separator(text)
    _check_rows(text, separator)
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator, skipinitialspace=True)
    except (ValueError, OverflowError) as error:  # parser errors are ValueErrors
        raise DataError(f"This text cannot be read as a table: {error}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError("The rows have one cell more than the header. Expected a name for each.")
    frame.columns = pd.Index(stripped(frame.columns))
    return frame, separator


def stripped(names: Iterable[object]) -> list[str]:
    """Names of columns without the spaces around them, as a run reads them too."""
    return [str(name).strip() or f"Unnamed: {i}" for i, name in enumerate(names)]


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("The text is in UTF-16. Expected UTF-8: save it as 'CSV UTF-8'.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"Byte {error.start + 1} is no text in UTF-8. Expected a table in text (saved as 'CSV "
            "UTF-8'), a Parquet file or an npz file."
        ) from None
    odd = next((c for c in text if c < " " and c not in "\t\r\n\f\v"), None)
    if odd is not None:
        raise DataError(
            f"The text holds the control character {odd!r}: it is no table. Expected a table in "
            "text, a Parquet file or an npz file."
        )
    if not text.strip():
        raise DataError("The file is empty. Expected a header and rows of numbers.")
    return text


def _separator(text: str) -> str:
    """What parts the columns: what stands equally often, and most often, in the first rows."""
    best, most = ",", 1
    for separator in SEPARATORS:
        rows = [row for row, _ in zip(_rows(text, separator), range(_SNIFFED), strict=False)]
        widths = {len(row) for _, row in rows}
        if len(widths) == 1 and max(widths) > most:
            best, most = separator, max(widths)
    if most > 1:
        return best
    header = next(iter(text.splitlines()), "")
    return max(SEPARATORS, key=lambda separator: (header.count(separator), separator == ","))


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the line in which each ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} cannot be read: {error}.") from None


def _check_rows(text: str, separator: str) -> None:
    rows = _rows(text, separator)
    _, header = next(rows)
    _check_header([name.strip() for name in header])
    count = 0
    for line, row in rows:
        count += 1
        if len(row) != len(header):
            raise DataError(
                f"Line {line} has {len(row)} cell{'s' * (len(row) != 1)}, and the header has "
                f"{len(header)}. Expected "
                f"equally many, parted by {_NAMES[separator]}; a cell that holds one of these "
                "itself must stand in double quotes."
            )
        longest = max(map(len, row))
        if longest > MAX_CELL_LENGTH:
            raise DataError(
                f"Line {line} has a cell of {longest:,} characters. Expected at most "
                f"{MAX_CELL_LENGTH:,}."
            )
        if count * len(header) > MAX_CELLS:
            raise DataError(f"The table has over {MAX_CELLS:,} cells. Expected fewer rows.")
    if count == 0:
        raise DataError("The file holds a header alone. Expected rows below it.")


def _check_header(names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise DataError(f"The table has {len(names):,} columns. Expected at most {MAX_COLUMNS:,}.")
    if all(_is_number(name) for name in names):
        raise DataError(
            "The first line holds numbers alone. Expected the names of the columns there: "
            f"add a line such as {', '.join(f'x{i}' for i in range(1, min(len(names), 4) + 1))!r}."
        )
    for number, name in enumerate(names, 1):
        if not name and number > 1:  # pandas writes its index without a name into the first
            raise DataError(f"Column {number} has no name. Expected a name for each column.")
        if len(name) > MAX_CELL_LENGTH:
            raise DataError(f"The name of column {number} has {len(name):,} characters.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(map(repr, twice[:5]))
        raise DataError(f"Two columns are named {listed}. Expected a name of its own for each.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
