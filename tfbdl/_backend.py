"""The gate of every heavy module: importing this one checks that Keras runs on TensorFlow.

Keras reads its backend once, when it is first imported, from ``KERAS_BACKEND`` or else from its
configuration file. Where neither speaks, the variable is set here. XLA reads ``XLA_FLAGS`` once,
before it first compiles; here it is asked to make small loops one kernel each.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .errors import BackendError

VARIABLE = "KERAS_BACKEND"
XLA_VARIABLE = "XLA_FLAGS"
XLA_OPTION = "xla_cpu_small_while_loop_byte_threshold"
SMALL_LOOP = 65536
"""Bytes that a pass of a loop touches, up to which XLA on a CPU makes the loop one kernel."""


def check() -> None:
    """Make sure that Keras runs, or will run, on TensorFlow.

    Raises:
        BackendError: If it runs or would run on another backend; the message says which variable
            or file to change.
    """
    keras = sys.modules.get("keras")
    named, source = _configured()
    if keras is not None and hasattr(keras, "config"):
        running = keras.config.backend()
        if running == "tensorflow":
            return
        because = f" {source} says so." if named == running else ""
        raise BackendError(
            f"tfbdl needs Keras on TensorFlow, but Keras was imported on {running!r}.{because} "
            f"{_remedy(source)} Then start Python anew: Keras cannot change its backend."
        )
    if named not in (None, "tensorflow"):
        raise BackendError(
            f"tfbdl needs Keras on TensorFlow, but {source} names {named!r}. {_remedy(source)}"
        )
    os.environ[VARIABLE] = "tensorflow"


def compile_small_loops_whole() -> None:
    """Raise XLA's bound on loops that are one kernel on a CPU (1 KiB), unless the user sets it.

    The chains of a small model then run five times as fast. It has no effect after XLA's first
    compilation in this process, and none on other devices.
    """
    flags = os.environ.get(XLA_VARIABLE, "")
    if "xla_backend_extra_options" in flags or (flags and not flags.lstrip().startswith("-")):
        return  # the user's own, or the name of a file of flags
    os.environ[XLA_VARIABLE] = (
        f"{flags} --xla_backend_extra_options={XLA_OPTION}={SMALL_LOOP}".lstrip()
    )


def _configured() -> tuple[str | None, str]:
    """The backend that is asked for, or None, and where: the variable or a file."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE], f"the environment variable {VARIABLE}"
    path = _config_path()
    try:
        found = json.loads(path.read_text())
        named = found.get("backend") if isinstance(found, dict) else None
    except (OSError, ValueError):
        named = None
    return (str(named), f"the file {path}") if named else (None, "")


def _remedy(source: str) -> str:
    if source.startswith("the file"):
        path = source.removeprefix("the file ")
        return f'Write "backend": "tensorflow" into {path}, or set {VARIABLE}=tensorflow.'
    return f"Set {VARIABLE}=tensorflow before keras is imported."


def _config_path() -> Path:
    """Where Keras looks: ``KERAS_HOME``, else the home folder, else /tmp."""
    folder = os.environ.get("KERAS_HOME")
    if folder is None:
        home = os.path.expanduser("~")
        folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(folder, "keras.json").expanduser()


check()
compile_small_loops_whole()
