"""Plugins written into a folder as an installer would, for the tests of discovery."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tfbdl.registry import Registry, discover, load

PRIOR = 'tfbdl.PriorSpec(name="{name}", summary="A prior.", factory="a.b:C")'


def install(
    folder: Path, name: str, source: str, *, distribution: str | None = None, version: str = "1.0"
) -> None:
    """Write a distribution with one module and one entry point, as an installer leaves it."""
    distribution = distribution or f"dist-{name}"
    module = f"plugin_{distribution.replace('-', '_')}_{name}"
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    with open(info / "entry_points.txt", "a") as file:
        file.write(f"[tfbdl]\n{name} = {module}\n")


def giving(name: str, prior: str | None = None) -> str:
    """A plugin that gives one prior."""
    spec = PRIOR.format(name=prior or name)
    return f"import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors():\n    return [{spec}]\n"


def load_from(*folders: Path, **arguments: object) -> Registry:
    return load(discover([str(folder) for folder in folders])[0], **arguments)
