"""Timing in turn: every benchmark runs its contestants alternately in one process."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def alternate(
    contestants: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round; the order turns, so that drift hits all alike.

    With ``time.process_time`` as the clock they are processor time, which waiting is no part of.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = clock()
            contestants[name]()
            seconds[name].append(clock() - started)
    return seconds


def ratio(ours: list[float], theirs: list[float], seed: int = 0) -> tuple[float, float, float]:
    """Median ratio of interleaved pairs, with the 90 % bootstrap interval of that median."""
    pairs = np.asarray(ours) / np.asarray(theirs)
    draws = np.random.default_rng(seed).choice(pairs, (4000, len(pairs)))
    low, high = np.quantile(np.median(draws, axis=1), [0.05, 0.95])
    return float(np.median(pairs)), float(low), float(high)


def write(name: str, figures: Mapping[str, Any]) -> Path:
    """Keep the figures of a benchmark, with what they were measured on, as JSON."""
    from importlib.metadata import version

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    packages = ("tfbdl", "tensorflow", "keras", "tensorflow-probability", "numpy")
    record = {
        "benchmark": name,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "figures": figures,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
