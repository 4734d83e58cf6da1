"""A new plugin as a distribution of its own, copied from ``templates/plugin``."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from .errors import OptionsError, RunError

TEMPLATE = Path(__file__).parent / "templates" / "plugin"
PLACEHOLDER = "plugin_name"
"""The package's name in the template; ``plugin-name`` stands for the distribution's."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def new_plugin(name: str, parent: str | Path = ".") -> Path:
    """Copy the template under a new name.

    Args:
        name: Of the package, the entry point and the example prior: lower case letters, digits
            and underscores, and no module that is already installed.
        parent: The folder in which the folder ``name`` is made.

    Returns:
        The folder of the new distribution.

    Raises:
        OptionsError: If ``name`` cannot be the name of a new package.
        RunError: If the folder exists already, or cannot be made.
    """
    check_plugin_name(name)
    folder = Path(parent) / name
    if folder.exists():
        raise RunError(f"{folder} exists already. Choose another name, or another --dir.")
    try:
        for source in sorted(TEMPLATE.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                _copy(source, folder / _rename(str(source.relative_to(TEMPLATE)), name), name)
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be made: {error}.") from error
    return folder


def check_plugin_name(name: str) -> None:
    """Raise OptionsError unless ``name`` may name a new package and what it provides."""
    expected = "Expected lower case letters, digits and underscores, beginning with a letter"
    if not _NAME.fullmatch(name):
        raise OptionsError(f"{name!r} cannot name a plugin. {expected}.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise OptionsError(f"{name!r} cannot name a plugin: it is a keyword of Python. {expected}.")
    if name == PLACEHOLDER or name in sys.stdlib_module_names or _is_installed(name):
        raise OptionsError(
            f"{name!r} cannot name a plugin: a module of that name exists already. "
            f"Choose a name of your own, such as 'tfbdl_{name}'."
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # half installed is taken, too
        return True


def _rename(text: str, name: str) -> str:
    return text.replace(PLACEHOLDER, name).replace(
        PLACEHOLDER.replace("_", "-"), name.replace("_", "-")
    )


def _copy(source: Path, target: Path, name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_rename(source.read_text(encoding="utf-8"), name), encoding="utf-8")
