"""Benchmarks of several parts, each of which can be run alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness


def run(
    name: str,
    description: str | None,
    parts: Mapping[str, Callable[..., Any]],
    beside_peer: Collection[str] = (),
) -> None:
    """Run the parts that the command line asks for (``--only PART ...``; by default all).

    Each part prints its table and returns its figures. Figures of parts that are not run stay in
    the file of results, unless they were measured with other versions. Parts ``beside_peer`` are
    given the Python of the peer's environment (``--peer-python``).
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    if beside_peer:
        parser.add_argument("--peer-python", required=True)
    arguments = parser.parse_args()
    for part in arguments.only:
        print(f"\n{part}\n", flush=True)
        given = [arguments.peer_python] if part in beside_peer else []
        path = _keep(name, {part: parts[part](*given)})
    print(f"\n{path}")


def _keep(name: str, figures: dict[str, Any]) -> Path:
    path = harness.RESULTS / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    harness.write(name, figures)
    now = json.loads(path.read_text())
    if all(before.get(key) == now[key] for key in ("python", "versions")):
        harness.write(name, before["figures"] | figures)
    return path


def header(*columns: str) -> None:
    """The first two lines of a Markdown table."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*cells: Any) -> None:
    """A line of it."""
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def table(found: list[dict[str, float]]) -> list[dict[str, float]]:
    """Print the median and the range of each figure over seeds; gives them back."""
    print()
    header("figure", f"median of {len(found)} seeds", "range")
    for name in found[0]:
        values = np.asarray([one[name] for one in found])
        row(name, f"{np.median(values):.4g}", f"{values.min():.4g} to {values.max():.4g}")
    return found


def spread(values: Iterable[float], digits: int) -> str:
    """Median, and in brackets the range."""
    found = np.asarray(list(values), np.float64)
    middle, low, high = (f"{f(found):,.{digits}f}" for f in (np.median, np.min, np.max))
    return f"{middle} ({low} to {high})"


def listed(values: Iterable[float], digits: int) -> str:
    """All of them."""
    return ", ".join(f"{value:,.{digits}f}" for value in values)
