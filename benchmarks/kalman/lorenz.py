"""Mean squared errors in dB on 50 test sequences of the Lorenz attractor, by contestant.

r2 = 1, q2 = 0.01, T = 100, 1,000 training sequences. All learned filters train for the same
processor time (batches of 50, Adam with a cosine by time, gradients clipped to 1), one after the
other; minutes are the wall's, with compilation. The filters of known dynamics and the
constant-velocity filter need no training; the latter's noise is chosen on the test sequences
themselves, in its favour.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from benchmarks import parts
from benchmarks.kalman import contestants
from benchmarks.kalman.data import decibels, hidden, simulate

SECONDS = float(os.environ.get("KALMAN_SECONDS", "300"))
SEEDS = range(int(os.environ.get("KALMAN_SEEDS", "3")))
TEST_SEED = 123
LEARNED = ("lstm_kalman", "residual_lstm", "lstm", "kalman_net")


def full() -> dict[str, Any]:
    """All coordinates observed; then 30 % of the observations missing, at test time alone."""
    return _compare((0, 1, 2), 1000, gaps=True)


def partial() -> dict[str, Any]:
    """The first coordinate observed."""
    return _compare((0,), 1000, gaps=False)


def little() -> dict[str, Any]:
    """All coordinates observed, 100 training sequences."""
    return _compare((0, 1, 2), 100, gaps=False)


def coverage() -> dict[str, Any]:
    """Share of states in the 90 % intervals of lstm_kalman trained by likelihood, and its error."""
    parts.header("seed", "coverage of 90 % intervals", "dB", "-log p(y) / T", "minutes")
    return {str(seed): _by_likelihood(seed, 1000, str(seed)) for seed in SEEDS}


def bayesian() -> dict[str, Any]:
    """The same with plain weights of lstm_A, and with random ones."""
    parts.header("weights", "coverage of 90 % intervals", "dB", "-log p(y) / T", "minutes")
    figures: dict[str, Any] = {"seconds": SECONDS}
    for name, options in {"plain": {}, "random": {"bayesian": True}}.items():
        figures[name] = {
            str(seed): _by_likelihood(seed, 1000, f"{name}, seed {seed}", **options)
            for seed in SEEDS
        }
    return figures


def _by_likelihood(seed: int, count: int, label: str, **options: Any) -> dict[str, float]:
    x_test, y_test = simulate(50, (0, 1, 2), TEST_SEED)
    _, y = simulate(count, (0, 1, 2), seed)
    started = time.perf_counter()
    model = contestants.trained_by_likelihood(y, seed, SECONDS, **options)
    minutes = (time.perf_counter() - started) / 60
    found = model.filter(y_test)
    half = 1.6449 * np.sqrt(np.diagonal(found.covariances, axis1=-2, axis2=-1))
    inside = float(np.mean(np.abs(found.means - x_test) <= half))
    error = decibels(found.means, x_test)
    nll = -float(np.mean(found.log_likelihood)) / y_test.shape[1]
    parts.row(label, f"{inside:.3f}", f"{error:.2f}", f"{nll:.3f}", f"{minutes:.1f}")
    return {"coverage": inside, "dB": error, "nll": nll, "minutes": minutes}


def _compare(observed: tuple[int, ...], count: int, *, gaps: bool) -> dict[str, Any]:
    x_test, y_test = simulate(50, observed, TEST_SEED)
    tests = {"test": y_test}
    if gaps:
        tests["30 % missing"] = hidden(y_test, 0.3, TEST_SEED)
    figures: dict[str, Any] = {"seconds": SECONDS, "sequences": count}
    parts.header("filter", *(f"dB, {name}" for name in tests), "minutes")
    known = {"ekf": contestants.extended(observed)}
    if len(observed) == 3:
        known["constant_velocity"] = contestants.constant_velocity(x_test, y_test)
    for name, run in known.items():
        errors = {test: decibels(run(y), x_test) for test, y in tests.items()}
        figures[name] = {test: [error] for test, error in errors.items()}
        parts.row(name, *(f"{error:.2f}" for error in errors.values()), "-")
    if len(observed) == 3:
        figures["observation"] = decibels(y_test, x_test)
    for name in LEARNED:
        found: dict[str, list[float]] = {test: [] for test in (*tests, "minutes", "steps")}
        for seed in SEEDS:
            x, y = simulate(count, observed, seed)
            started = time.perf_counter()
            run, steps = contestants.trained(name, y, x, observed, seed, SECONDS)
            found["minutes"].append((time.perf_counter() - started) / 60)
            found["steps"].append(steps)
            for test, values in tests.items():
                found[test].append(decibels(run(values), x_test))
        figures[name] = found
        cells = [parts.spread(found[test], 2) for test in tests]
        parts.row(name, *cells, parts.spread(found["minutes"], 1))
    return figures
