"""What the command line prints: lists, options, metrics and progress."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .config import OptionField, expected_text, fields_of
from .metric_names import meaning
from .specs import DatasetSpec, EngineSpec, ModelSpec, RunSpec, Spec

if TYPE_CHECKING:
    from rich.console import Console

FLAG_GROUPS = {"model": "model", "engine": "engine", "prior": "prior", "dataset": "data"}


def columns(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Align texts in columns; the last wraps to the width of the terminal.

    Plain text, so that a listing costs no import and reads well through a pipe.
    """
    if not rows:
        return " " * indent + "none"
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lead = indent + sum(width + 2 for width in widths)
    room = max(shutil.get_terminal_size((100, 24)).columns - lead, 30)
    lines = []
    for row in rows:
        head = " " * indent + "".join(
            f"{cell:<{w}}  " for cell, w in zip(row, widths, strict=False)
        )
        wrapped = textwrap.wrap(row[-1], room) if sys.stdout.isatty() else [row[-1]]
        first, *more = wrapped or [""]
        lines.append((head + first).rstrip())
        lines += [" " * lead + line for line in more]
    return "\n".join(lines)


def spec_text(spec: Spec, provider: str, fitting: Sequence[str]) -> str:
    """All that is known of one model, engine, prior or data set.

    Args:
        spec: What a plugin said of it.
        provider: Who provides it.
        fitting: For a model the engines that fit it, for an engine the models that it fits.
    """
    facts = [("provided by", provider)]
    if isinstance(spec, ModelSpec):
        facts += [
            ("task", spec.task),
            ("capabilities", ", ".join(sorted(spec.capabilities)) or "none"),
            ("engines", ", ".join(fitting) or "none installed"),
            ("default engine", spec.default_engine),
            ("default prior", spec.default_prior or "none"),
            ("missing values", "taken as such (NaN)" if spec.missing_values else "refused"),
        ]
    elif isinstance(spec, EngineSpec):
        needs = " or ".join(" and ".join(sorted(need)) or "nothing" for need in spec.needs)
        facts += [("needs", needs), ("models", ", ".join(fitting) or "none installed")]
    elif isinstance(spec, DatasetSpec):
        facts.append(("task", spec.task))
    flag = f"--{FLAG_GROUPS[spec.kind]}."
    options = [_option_row(flag, field) for field in fields_of(spec.config)]
    parts = [f"{spec.kind} {spec.name}: {spec.summary}", columns(facts)]
    parts.append("  options" + (":\n" + columns(options, indent=4) if options else ": none"))
    if spec.references:
        parts.append("  references:\n" + columns([(text,) for text in spec.references], indent=4))
    return "\n".join(parts)


def run_text(spec: RunSpec) -> str:
    """A run in plain words."""
    rows = [("seed", str(spec.seed))]
    for group in ("model", "data", "engine", "prior"):
        options = getattr(spec, f"{group}_options")
        given = " ".join(f"--{group}.{name} {_value(value)}" for name, value in options.items())
        absent = "none" if group == "data" else "by default"
        name = getattr(spec, group) or ("an object" if group in spec.fingerprints else absent)
        rows.append((group, f"{name}  {given}".rstrip()))
    return columns(rows[1:] + rows[:1])


def print_metrics(metrics: Mapping[str, float], title: str) -> None:
    """Print a table of metrics, each with its meaning."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    for name, value in metrics.items():
        table.add_row(name, number(value), meaning(name))
    _console(sys.stdout).print(table)


def print_diagnostics(verdicts: Sequence[str] | None) -> None:
    """Print what is wrong with the draws of a Markov chain; None: there is no chain."""
    if verdicts is None:
        return
    print("diagnostics:" + ("" if verdicts else " nothing is wrong with the draws"))
    for verdict in verdicts:
        print(f"  {verdict}")


def number(value: Any) -> str:
    """A figure with five significant digits."""
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)


@contextmanager
def progress(title: str) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Show a bar with the time left on stderr; yields the ``on_step`` that moves it.

    ``step`` and ``steps`` among the metrics move the bar; the others are shown beside it.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}", markup=False),
        console=_console(sys.stderr),
    )
    task = bar.add_task(f"{title} (loading TensorFlow)", total=None, metrics="")

    def on_step(metrics: Mapping[str, float]) -> None:
        shown = {name: v for name, v in metrics.items() if name not in ("step", "steps")}
        total = metrics.get("steps")
        bar.update(
            task,
            description=title,
            completed=metrics.get("step"),
            total=None if total is None or not math.isfinite(total) else total,
            metrics="  ".join(f"{name} {number(value)}" for name, value in shown.items()),
        )

    with bar:
        yield on_step


def _option_row(flag: str, field: OptionField) -> tuple[str, str, str, str]:
    kind = f"list of {field.item}" if field.kind == "list" else field.kind
    default = "required" if field.required else f"default {_value(field.default)}"
    text = f"{field.description.rstrip('.')}. Expected: {expected_text(field)}."
    return (flag + field.name, kind, default, text)


def _value(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) or (isinstance(value, tuple | list) and _is_array(value)):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _is_array(values: Sequence[Any]) -> bool:
    """Whether these are real numbers or lists of such, rather than a list of words or counts."""
    return any(isinstance(value, tuple | list | float) for value in values)


def _console(file: TextIO) -> Console:
    """A terminal's own width; through a pipe wide enough to cut nothing."""
    from rich.console import Console

    return Console(file=file, highlight=False, markup=False, width=None if file.isatty() else 160)
