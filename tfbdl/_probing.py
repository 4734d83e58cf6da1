"""Run the probe processes of third parties' plugins, in parallel, and remember what they found."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from ._examine import PluginError
from ._version import __version__
from .errors import OptionsError

SECONDS = 10.0
SECONDS_VARIABLE = "TFBDL_PROBE_SECONDS"
FAULTS_KEPT_SECONDS = 3600.0
"""A fault may be of the machine, not the plugin: after this time it is looked at again."""

_PARALLEL = 16
_WHOLE_BYTES, _TOTAL_BYTES = 256_000, 8_000_000
# -P and the parent's sys.path: the probe imports exactly what this process would import.
_BOOT = (
    "import json, sys; request = json.load(sys.stdin); sys.path[:] = request['path']; "
    "from tfbdl._probe import main; main(request)"
)


def probe(
    points: Sequence[EntryPoint],
    *,
    seconds: float | None = None,
    cache: Path | None = None,
) -> list[PluginError | None]:
    """Examine each plugin in a process of its own.

    Args:
        points: Entry points.
        seconds: Time limit for each; by default TFBDL_PROBE_SECONDS, or else 10.
        cache: Folder of remembered results; by default that of the user.

    Returns:
        For each point its fault, or None if it passed.
    """
    if not points:
        return []
    limit = time_limit() if seconds is None else seconds
    folder = cache_folder() if cache is None else cache
    with ThreadPoolExecutor(min(len(points), _PARALLEL)) as pool:
        return list(pool.map(lambda point: _remembered(point, limit, folder), points))


def time_limit() -> float:
    """The time limit of a probe in seconds.

    Raises:
        OptionsError: If TFBDL_PROBE_SECONDS is set to something else than a positive number.
    """
    text = os.environ.get(SECONDS_VARIABLE) or str(SECONDS)
    try:
        limit = float(text)
    except ValueError:
        limit = float("nan")
    if not 0 < limit < 1e6:
        raise OptionsError(f"{SECONDS_VARIABLE} must be a number above 0. Received: {text!r}.")
    return limit


def cache_folder() -> Path | None:
    """The user's folder for results of probes, or None if there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        places = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}
        base = os.path.expanduser(places.get(sys.platform, "~/.cache"))
    return Path(base, "tfbdl", "probes") if os.path.isabs(base) else None


def contents(point: EntryPoint) -> str:
    """A hash of the plugin's files: those its distribution lists and its package's sources.

    The latter matter for an editable install, whose distribution does not list them.
    """
    digest, budget = hashlib.sha256(), _TOTAL_BYTES
    for path in sorted({str(path) for path in _files(point)}):
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            digest.update(f"\0{path}\0{stat.st_size}\0".encode())
            if stat.st_size <= min(_WHOLE_BYTES, budget):
                digest.update(Path(path).read_bytes())
                budget -= stat.st_size
            else:
                digest.update(str(stat.st_mtime_ns).encode())
    return digest.hexdigest()


def _files(point: EntryPoint) -> Iterator[Path]:
    listed, spec = None, None
    with contextlib.suppress(Exception):  # a list of files that cannot be read
        listed = point.dist.files if point.dist else None
    for file in listed or ():
        if file.suffix != ".pyc":
            yield Path(str(file.locate()))
    with contextlib.suppress(Exception):  # an import hook of others that fails
        spec = importlib.util.find_spec(point.module.partition(".")[0])
    if spec is None:
        return
    if spec.origin and os.path.isfile(spec.origin):
        yield Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        yield from Path(folder).rglob("*.py")


def _remembered(point: EntryPoint, seconds: float, folder: Path | None) -> PluginError | None:
    if folder is None:
        return _run(point, seconds)[0]
    identity = [
        point.dist.name if point.dist else "",
        point.name,
        point.value,
        sys.prefix,
    ]
    path = folder / f"{_hash(identity)[:32]}.json"
    version = point.dist.version if point.dist else ""
    key = _hash(
        [
            __version__,
            sys.version,
            identity,
            version,
            contents(point),
            seconds,
            _stamp(),
        ]
    )
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(path.read_text(encoding="utf-8"))
        fresh = time.time() - known["time"] < FAULTS_KEPT_SECONDS
        if known["key"] == key and known["fault"] is None:
            return None
        if known["key"] == key and fresh:
            return PluginError(*known["fault"])
    fault, lasting = _run(point, seconds)
    if lasting:
        outcome = list(fault.args) if fault else None
        _store(path, {"key": key, "time": time.time(), "fault": outcome})
    return fault


def _run(point: EntryPoint, seconds: float) -> tuple[PluginError | None, bool]:
    """The fault of a plugin, and whether the finding is worth remembering."""
    with tempfile.TemporaryDirectory(prefix="tfbdl-probe-", ignore_cleanup_errors=True) as folder:
        report = Path(folder, "report.json")
        request = {
            "name": point.name, "value": point.value, "report": str(report),
            "path": [os.path.abspath(entry) for entry in sys.path],
        }  # fmt: skip
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-c", _BOOT], input=json.dumps(request).encode(),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            stage = _read(report).get("stage", "import")
            advice = f"On a slow machine set {SECONDS_VARIABLE} to more seconds."
            return PluginError(
                stage, f"{_doing(stage)} did not end in {seconds:g} s.", advice
            ), True
        except OSError as error:
            message = f"No probe process could be started: {error}."
            return PluginError("import", message, "Check that sys.executable can be run."), False
        found = _read(report)
    if found.get("done"):
        return (PluginError(*found["fault"]) if found["fault"] else None), True
    stage = found.get("stage", "import")
    message = f"{_doing(stage)} ends the process (exit code {ended.returncode})."
    advice = "A plugin must not end the process, by os._exit or by a crash of compiled code."
    return PluginError(stage, message, advice), ended.returncode >= 0


def _doing(stage: str) -> str:
    return {"hooks": "Reading its hooks", "specs": "Calling its hooks"}.get(stage, "Importing it")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _store(path: Path, value: dict[str, Any]) -> None:
    """Write whole or not at all; a folder that cannot be written only costs the next probe."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".new")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(value, file)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)


def _stamp() -> list[int]:
    """Changes when anything is installed or removed, for a fault may lie in a dependency."""
    places: Iterable[str] = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return [os.stat(place).st_mtime_ns for place in places if os.path.isdir(place)]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
