"""The four option groups on the command line: ``--engine.draws 2000`` to a RunSpec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import registry
from .config import from_text, make
from .errors import OptionsError, RunError, did_you_mean
from .planning import FILE_DATASET
from .specs import ModelSpec, RunSpec, Spec

GROUPS = ("model", "engine", "prior", "data")
_FLAG = re.compile(r"--([A-Za-z_]+)\.([A-Za-z_]\w*)(?:=(.*))?", re.DOTALL)

Texts = Mapping[str, Mapping[str, str]]
"""Group -> option -> the text that was typed."""


def split_groups(args: Sequence[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Part the flags of the option groups from the rest of a command line.

    ``--model.hidden 50,50`` and ``--model.hidden=50,50`` are the same; a flag without a value
    stands for ``true``. What follows ``--`` is left alone.

    Returns:
        The rest, and group -> option -> text.

    Raises:
        OptionsError: If a flag names no group, or is given twice.
    """
    texts: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    rest: list[str] = []
    waiting = list(args)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        match = _FLAG.fullmatch(argument)
        if match is None:
            rest.append(argument)
            continue
        group, name, value = match.groups()
        if group not in GROUPS:
            raise OptionsError(
                f"No option group is named {group!r}.{did_you_mean(group, GROUPS)} "
                f"Known: {', '.join(f'--{g}.NAME' for g in GROUPS)}. Received: {argument!r}."
            )
        if name in texts[group]:
            raise OptionsError(f"--{group}.{name} was given twice. Expected it once.")
        if value is None:
            is_value = bool(waiting) and not waiting[0].startswith("--")
            value = waiting.pop(0) if is_value else "true"
        texts[group][name] = value
    return rest, texts


def run_spec(
    base: RunSpec | None,
    names: Mapping[str, str | None],
    texts: Texts,
    seed: int | None,
) -> RunSpec:
    """Lay the command line over a stored run.

    Args:
        base: The stored run, or None.
        names: ``model``, ``data``, ``engine``, ``prior`` as typed, None where they were not. A
            name that differs from the stored one drops the options that went with that.
        texts: The option groups as typed.
        seed: None keeps the stored one, or 0.

    Raises:
        RunError: If there is no model to run.
        OptionsError: If an option does not exist or its value is not admitted.
        UnknownNameError: If a name is not provided by any plugin.
    """
    stored: dict[str, Any] = base.model_dump() if base is not None else {}
    values: dict[str, Any] = {}
    for group in GROUPS:
        old, new = stored.get(group), names.get(group)
        values[group] = new if new is not None else old
        same = new is None or new == old
        values[f"{group}_options"] = dict(stored.get(f"{group}_options", {})) if same else {}
    if values["model"] is None:
        raise RunError(_no_model(base))
    model = registry.registry().models[values["model"]]
    values["data"] = _found_anywhere(values["data"])
    for group in GROUPS:
        typed = texts.get(group, {})
        if typed:
            key = f"{group}_options"
            values[key] = _options(group, values[group], model, values[key], typed)
    values["seed"] = seed if seed is not None else stored.get("seed", 0)
    return RunSpec(**values)


def _found_anywhere(data: str | None) -> str | None:
    """A file by its whole path, so that the run is resumed from any folder."""
    if data is None or data in registry.registry().datasets:
        return data
    path = Path(data).expanduser()
    return str(path.absolute()) if path.is_file() else data


def _options(
    group: str,
    name: str | None,
    model: ModelSpec,
    stored: Mapping[str, Any],
    typed: Mapping[str, str],
) -> dict[str, Any]:
    spec = _spec(group, name, model)
    values = {**stored, **from_text(spec.config, typed)}
    is_file = group == "data" and spec.name != name
    implied = {"path": name} if is_file else {}
    made = make(spec.config, {**implied, **values}, f"{group} options of {spec.name!r}")
    plain = made.model_dump(mode="json")
    return {option: plain[option] for option in values}


def _spec(group: str, name: str | None, model: ModelSpec) -> Spec:
    """Whose options a group holds: what was named, or else the model's default."""
    found = registry.registry()
    if group == "model":
        return model
    if group == "engine":
        return found.engines[name or model.default_engine]
    if group == "prior":
        name = name or model.default_prior
        if name is None:
            raise OptionsError(
                f"The model {model.name!r} has no prior by default, so there is nothing that "
                "--prior.NAME could set."
            )
        return found.priors[name]
    if name is None:
        raise OptionsError("--data.NAME was given without data. Name some with --data.")
    if name in found.datasets or not Path(name).expanduser().is_file():
        return found.datasets[name]
    return found.datasets[FILE_DATASET]


def _no_model(base: RunSpec | None) -> str:
    known = ", ".join(registry.registry().models) or "none"
    if base is None:
        return f"No model was given. Expected 'tfbdl run MODEL' or --from run.json. Known: {known}."
    return (
        "The stored run was made from an object in Python, which the command line cannot make "
        f"again. Name a model to use in its place. Known: {known}."
    )
