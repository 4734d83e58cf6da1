"""The body of a probe process: examine one plugin where no harm can come of it.

TensorFlow and other slow packages are refused here. Who asks for one is reported, even if the
plugin itself catches the refusal, for without the probe that import would have been paid.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from types import FrameType, ModuleType
from typing import Any

from ._examine import PluginError, examine
from .hookspecs import GROUP

HEAVY = ("tensorflow", "keras", "tensorflow_probability", "tf_keras", "streamlit")
"""Packages that no plugin may import before one of its factories is used."""


class Refusal(MetaPathFinder, Loader):
    """Refuses the packages of HEAVY and notes who imported them.

    Looking for one with ``importlib.util.find_spec`` stays allowed: only loading is refused.

    Args:
        package: The plugin's top-level package, to name the line in it that is to blame.

    Attributes:
        seen: One sentence for each import that was refused.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.seen: list[str] = []

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Answer for heavy packages alone."""
        return ModuleSpec(fullname, self) if fullname.partition(".")[0] in HEAVY else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Note the importer and refuse.

        Raises:
            ImportError: Always.
        """
        self.seen.append(f"it imports {spec.name} at once{_blame(self.package)}.")
        raise ImportError(f"{spec.name} may not be imported while plugins are read", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never reached: no module is created."""
        raise ImportError(module.__name__)


def main(request: Mapping[str, Any]) -> None:
    """Examine the entry point of ``request``, leave the report in a file and end the process.

    Args:
        request: ``name`` and ``value`` of the entry point, and the ``report``'s path.
    """
    point = EntryPoint(name=request["name"], value=request["value"], group=GROUP)
    refusal = Refusal(point.module.partition(".")[0])
    sys.meta_path.insert(0, refusal)
    fault: PluginError | None = None
    try:
        examine(point, lambda stage: _write(request["report"], {"stage": stage}))
    except PluginError as error:
        fault = error
    if refusal.seen:
        fault = PluginError(
            fault.stage if fault else "import",
            refusal.seen[0][0].upper() + refusal.seen[0][1:],
            "Import it in the module that a factory's address 'package.module:attribute' names; "
            "that module is imported on first use.",
        )
    _write(request["report"], {"done": True, "fault": list(fault.args) if fault else None})
    os._exit(0)  # neither threads nor atexit functions of the plugin may hold the process


def _blame(package: str) -> str:
    """Where the current import was asked for: the plugin's own line, and the module between."""
    frame: FrameType | None = sys._getframe(2)
    importer = culprit = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(("importlib.", "_frozen_importlib")):
            importer = importer or frame
            if module.partition(".")[0] == package:
                culprit = frame
                break
        frame = frame.f_back
    shown = culprit or importer
    if shown is None:
        return ""
    where = f" in {shown.f_code.co_filename}, line {shown.f_lineno}"
    if shown is not importer and importer is not None:
        where += f", through {importer.f_globals.get('__name__')}"
    return where


def _write(path: str, report: Mapping[str, Any]) -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(report, file)
    os.replace(f"{path}.new", path)
