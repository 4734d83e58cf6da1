"""The same run as a command line and as Python, to copy."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

from tfbdl import registry
from tfbdl.config import OptionField, fields_of
from tfbdl.planning import FILE_DATASET
from tfbdl.specs import RunSpec, Spec
from tfbdl_dashboard.option_widgets import list_text

WIDTH = 88
"""Characters of a line; a longer command goes on in the next."""

_GROUPS = ("model", "engine", "prior", "data")
_OPTIONS = tuple(f"{group}_options" for group in _GROUPS)


def command_line(spec: RunSpec, width: int = WIDTH) -> str:
    """``tfbdl run ...`` for a POSIX shell.

    Args:
        spec: A run made of names, which can be planned.
        width: Characters; a longer line is broken before each flag.
    """
    parts = [["tfbdl", "run", str(spec.model)]]
    names = {"--data": spec.data, "--engine": spec.engine, "--prior": spec.prior}
    parts += [_flag(flag, name) for flag, name in names.items() if name is not None]
    for group in _GROUPS:
        fields = _fields(spec, group)
        for name, value in getattr(spec, f"{group}_options").items():
            parts.append(_flag(f"--{group}.{name}", option_text(fields.get(name), value)))
    if spec.seed:
        parts.append(["--seed", str(spec.seed)])
    quoted = [shlex.join(part) for part in parts]
    line = " ".join(quoted)
    return line if len(line) <= width else " \\\n  ".join(quoted)


def python_text(spec: RunSpec) -> str:
    """``fit = tfbdl.fit(...)``, with the import that it needs."""
    given = {name: getattr(spec, name) for name in ("engine", "prior", *_OPTIONS, "seed")}
    arguments = [literal(spec.model), literal(spec.data)]
    arguments += [f"{name}={literal(value)}" for name, value in given.items() if value]
    line = f"fit = tfbdl.fit({', '.join(arguments)})"
    if len(line) > WIDTH:
        arguments = [literal(spec.model), literal(spec.data)]
        arguments += [f"{name}={_broken(value)}" for name, value in given.items() if value]
        line = "fit = tfbdl.fit(\n" + "".join(f"    {text},\n" for text in arguments) + ")"
    return f"import tfbdl\n\n{line}\n"


def literal(value: Any) -> str:
    """A plain value as Python, its texts in double quotes where that needs no escapes."""
    if isinstance(value, str):
        simple = value.isprintable() and not set('"\\') & set(value)
        return f'"{value}"' if simple else repr(value)
    if isinstance(value, Mapping):
        items = (f"{literal(name)}: {literal(part)}" for name, part in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value!r}")'
    return repr(value)


def _broken(value: Any) -> str:
    """A mapping that is too long for a line with one item in each."""
    text = literal(value)
    if not isinstance(value, Mapping) or len(text) <= WIDTH - 24:
        return text
    items = (f"        {literal(name)}: {literal(part)},\n" for name, part in value.items())
    return f"{{\n{''.join(items)}    }}"


def option_text(field: OptionField | None, value: Any) -> str:
    """A plain value as the command line reads it.

    Args:
        field: The option; None if it is not known, and the value alone must tell.
        value: Plain: None, a boolean, a number, a text, a list or a mapping.
    """
    kind = None if field is None else field.kind
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)) and kind == "list":
        return list_text(value, ",") if value else "[]"
    if isinstance(value, (list, tuple, Mapping)) or kind in ("array", "arrays"):
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else str(value)


def _flag(flag: str, value: str) -> list[str]:
    """A flag and its value; one that looks like a flag itself stays with it."""
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _fields(spec: RunSpec, group: str) -> dict[str, OptionField]:
    found = _owner(spec, group)
    return {} if found is None else {field.name: field for field in fields_of(found.config)}


def _owner(spec: RunSpec, group: str) -> Spec | None:
    """Whose options a group holds, if it is known."""
    known = registry.registry()
    model = known.models.get(str(spec.model))
    if group == "model":
        return model
    if group == "data":
        return known.datasets.get(str(spec.data)) or known.datasets.get(FILE_DATASET)
    default = getattr(model, f"default_{group}", None)
    name = str(getattr(spec, group) or default)
    return known.engines.get(name) if group == "engine" else known.priors.get(name)
