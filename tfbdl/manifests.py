"""Files that are whole or absent: atomic writing, and a sha256 manifest beside what was written."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import CheckpointError

MANIFEST = "manifest.json"


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it.

    Args:
        path: The file; its folder exists.
        content: A text is written as UTF-8.
        durable: Whether to wait until the content is on the disk.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk, where the system allows it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: str | Path, files: Iterable[str]) -> Path:
    """Record size and sha256 of files, to find a file that was cut short or altered.

    Args:
        folder: Where the files are; ``manifest.json`` is written there.
        files: Names relative to ``folder``, separated by "/".

    Returns:
        The path of the manifest.

    Raises:
        CheckpointError: If a file is missing.
    """
    folder = Path(folder)
    entries: dict[str, dict[str, Any]] = {}
    for name in files:
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing, so no manifest can name it.")
        entries[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
    write_atomically(folder / MANIFEST, json.dumps({"files": entries}, indent=2) + "\n")
    return folder / MANIFEST


def verify_manifest(folder: str | Path) -> tuple[str, ...]:
    """Check every file that a manifest names.

    Args:
        folder: A folder with a ``manifest.json``.

    Returns:
        The names that the manifest vouches for.

    Raises:
        CheckpointError: If the manifest is missing or unreadable, or a file is missing, was cut
            short, or has another sha256 than recorded.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
        expected = {
            str(name): (int(entry["bytes"]), str(entry["sha256"]))
            for name, entry in entries.items()
        }
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: nothing vouches for the files here.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no manifest of tfbdl: {error}.") from error
    for name, (size, digest) in expected.items():
        _verify_file(folder, name, size, digest)
    return tuple(expected)


def _verify_file(folder: Path, name: str, size: int, digest: str) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise CheckpointError(f"{folder / MANIFEST} names a file outside its folder: {name!r}.")
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{path} is missing.")
    found = path.stat().st_size
    if found != size:
        raise CheckpointError(
            f"{path} was cut short or extended: {size} bytes expected, {found} found."
        )
    received = _sha256(path)
    if received != digest:
        raise CheckpointError(
            f"{path} was altered: its checksum does not match. "
            f"Expected sha256 {digest[:12]}..., received {received[:12]}...."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
