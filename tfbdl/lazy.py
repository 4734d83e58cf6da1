"""Names of a package that are imported when they are first asked for.

A plugin's package is imported for its hooks, which need no TensorFlow; what users call does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .errors import did_you_mean


def on_demand(
    package: str, homes: Mapping[str, str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Args:
        package: Its ``__name__``.
        homes: Name -> the module of the package that holds it; None: the name is that of a module.

    Example:
        ```python
        __getattr__, __dir__ = on_demand(__name__, {"GAN": "gan"})
        ```
    """

    def load(name: str) -> Any:
        if name not in homes:
            hint = "" if name.startswith("_") else did_you_mean(name, homes)
            raise AttributeError(f"module {package!r} has no attribute {name!r}.{hint}", name=name)
        home = homes[name]
        if home is None:
            return import_module(f".{name}", package)
        return getattr(import_module(f".{home}", package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names
