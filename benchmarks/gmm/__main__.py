"""EM for a mixture of normals beside scikit-learn's, alternately in one process.

``python -m benchmarks.gmm`` times iterations from the same start in float64 and float32, after
checking that both reach the same log likelihood after each; then whole fits to convergence, with
all that compiles; then the memory that a fit adds, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
from sklearn.mixture import GaussianMixture

from benchmarks import harness

K, D = 16, 16
TOLERANCE = 1e-4  # nats per row, in both
SPREADS = {"apart": 1.5, "overlapping": 0.5}
"""How far the centres of the components lie from one another, in their own deviations."""


def main() -> None:
    """Check, time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn says that so few iterations do not converge
    if arguments.memory:
        print(json.dumps(_added_memory(arguments.memory, arguments.rows)))
        return
    figures: dict[str, Any] = {}
    print("| iteration | ms | scikit-learn, ms | ratio |\n|---|---|---|---|")
    for dtype in ("float64", "float32"):
        figures[dtype] = _iterations(dtype, arguments.rows, arguments.steps, arguments.rounds)
    print("\n| to convergence | components | seconds | scikit-learn, s | ratio | steps | its |")
    print("|---|---|---|---|---|---|---|")
    for dtype in ("float64", "float32"):
        for kind, spread in SPREADS.items():
            rounds = max(3, arguments.rounds // 3)
            figures[dtype][f"fit, {kind}"] = _fits(dtype, arguments.rows, kind, spread, rounds)
    print("\n| rows | MB held | with its own start | scikit-learn |\n|---|---|---|---|")
    figures["memory"] = [_memory(rows) for rows in (arguments.rows, 4 * arguments.rows)]
    print(harness.write("gmm", figures))


def data(rows: int, spread: float = 1.5) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows of sixteen normals, and a start that is none of them."""
    rng = np.random.default_rng(0)
    centers = spread * rng.normal(size=(K, D))
    roots = rng.normal(size=(K, D, D)) / np.sqrt(D) + 0.5 * np.eye(D)
    labels = rng.integers(0, K, rows)
    noise = rng.normal(size=(rows, D))
    x = np.empty((rows, D))
    for k in range(K):
        x[labels == k] = centers[k] + noise[labels == k] @ roots[k].T
    start = {
        "weights": np.full(K, 1.0 / K),
        "means": x[rng.choice(rows, K, replace=False)],
        "covariances": np.stack([np.cov(x[:10_000].T)] * K),
    }
    return x, start


def peer(start: dict[str, np.ndarray], dtype: str, **options: Any) -> GaussianMixture:
    """scikit-learn's mixture at the start."""
    precisions = np.linalg.inv(start["covariances"]).astype(dtype)
    return GaussianMixture(
        K,
        reg_covar=0.0,
        weights_init=start["weights"].astype(dtype),
        means_init=start["means"].astype(dtype),
        precisions_init=precisions,
        init_params="random_from_data",
        random_state=0,
        **options,
    )


def _iterations(dtype: str, rows: int, steps: int, rounds: int) -> dict[str, Any]:
    import tensorflow as tf

    import tfbdl
    from tfbdl.inference.em import Climb, Schedule

    x, start = data(rows)
    x = x.astype(dtype)
    options = {"num_components": K, "dtype": dtype}
    model = tfbdl.build("gmm", x, model_options=options)
    climb = Climb(model, model.rows(_dataset(x)), Schedule(), 0)
    begin = climb.begin({name: tf.constant(v, dtype) for name, v in start.items()})
    other = peer(start, dtype)
    other._initialize(x, np.full((rows, K), 1.0 / K, dtype))
    kept = (other.weights_, other.means_, other.precisions_cholesky_)

    def theirs() -> list[float]:
        other.weights_, other.means_, other.precisions_cholesky_ = kept
        trace = []
        for _ in range(steps):
            value, shares = other._e_step(x)
            other._m_step(x, shares)
            trace.append(float(value) * rows)
        return trace

    def ours() -> list[float]:
        return climb.advance(begin, steps)[1]

    mine, reference = ours(), theirs()
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(mine[:-1], reference[1:], rtol=tolerance)
    seconds = harness.alternate({"tfbdl": ours, "scikit-learn": theirs}, rounds)
    per_step = {name: 1e3 * np.asarray(values) / steps for name, values in seconds.items()}
    middle, low, high = harness.ratio(seconds["tfbdl"], seconds["scikit-learn"])
    print(
        f"| {dtype} | {_spread(per_step['tfbdl'])} | {_spread(per_step['scikit-learn'])} | "
        f"{middle:.2f} [{low:.2f}, {high:.2f}] |"
    )
    return {"ms": {n: v.tolist() for n, v in per_step.items()}, "ratio": (middle, low, high)}


def _dataset(x: np.ndarray) -> Any:
    from tfbdl.data import as_dataset

    return as_dataset(x, dtype=str(x.dtype))


def _fits(dtype: str, rows: int, kind: str, spread: float, rounds: int) -> dict[str, Any]:
    x, start = data(rows, spread)
    x = x.astype(dtype)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["tfbdl"] = _fit(x, start, dtype)

    def theirs() -> None:
        found["scikit-learn"] = peer(start, dtype, tol=TOLERANCE, max_iter=500).fit(x)

    seconds = harness.alternate({"tfbdl": ours, "scikit-learn": theirs}, rounds)
    middle, low, high = harness.ratio(seconds["tfbdl"], seconds["scikit-learn"])
    steps = (len(found["tfbdl"].history["log_likelihood"]), found["scikit-learn"].n_iter_)
    values = (found["tfbdl"].metrics["log_likelihood"], found["scikit-learn"].score(x) * rows)
    np.testing.assert_allclose(*values, rtol=1e-4)
    print(
        f"| {dtype} | {kind} | {_spread(seconds['tfbdl'])} | {_spread(seconds['scikit-learn'])} | "
        f"{middle:.2f} [{low:.2f}, {high:.2f}] | {steps[0]} | {steps[1]} |"
    )
    return {"seconds": seconds, "ratio": (middle, low, high), "steps": steps, "values": values}


def _fit(x: np.ndarray, start: Any, dtype: str, steps: int = 500) -> Any:
    import tfbdl

    return tfbdl.fit(
        "gmm",
        x,
        model_options={"num_components": K, "dtype": dtype},
        engine_options={"initial": start, "tolerance": TOLERANCE, "steps": steps},
    )


def _memory(rows: int) -> dict[str, float]:
    added = {}
    for who in ("tfbdl", "tfbdl, own start", "scikit-learn"):
        command = [sys.executable, "-m", "benchmarks.gmm", "--memory", who, "--rows", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        added[who] = float(json.loads(done.stdout.splitlines()[-1]))
    print(f"| {rows:,} | " + " | ".join(f"{value:.0f}" for value in added.values()) + " |")
    return {"rows": rows, **added}


def _added_memory(who: str, rows: int) -> float:
    """Megabytes that a fit holds at its peak, the data themselves aside."""
    small, start = data(20_000)
    run: Callable[[np.ndarray], Any] = {
        "tfbdl": lambda x: _fit(x, start, "float64", steps=5),
        "tfbdl, own start": lambda x: _fit(x, "auto", "float64", steps=5),
        "scikit-learn": lambda x: peer(start, "float64", max_iter=5).fit(x),
    }[who]
    run(small)  # imports and their memory
    x, _ = data(rows)
    process, stop, peak = psutil.Process(), threading.Event(), [0]

    def watch() -> None:
        while not stop.wait(0.002):
            peak[0] = max(peak[0], process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    run(x)
    stop.set()
    watcher.join()
    return (peak[0] - before) / 2**20


def _spread(values: Any) -> str:
    return f"{np.median(values):.3g} ({np.min(values):.3g}-{np.max(values):.3g})"


if __name__ == "__main__":
    main()
