"""Seconds of one-off decompositions, draws and greedy choices, beside DPPy.

Items are uniform in the unit square, ``L = 10 exp(-|x - y|^2 / (2 0.05^2))``. Both draw from the
same eigenvectors, in turn; a draw without decomposition is from L alone, checks included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tfbdl_dpp import DPP, KDPP, greedy_map
from tfbdl_dpp.kernels import rbf

from benchmarks import harness, parts
from benchmarks.peer import Peer

SIZES, K, ROUNDS = (1_000, 5_000), 100, 7
MANY, COLUMNS = 100_000, 100


def run(peer_python: str) -> dict[str, Any]:
    """Time all, size by size."""
    parts.header("items", "what", "seconds", "DPPy", "ratio")
    figures: dict[str, Any] = {}
    with Peer(peer_python, Path(__file__).parent) as peer:
        for size in SIZES:
            figures[str(size)] = _of_size(size, peer)
    return figures | {str(MANY): _dual()}


def _of_size(size: int, peer: Peer) -> dict[str, Any]:
    x = np.random.default_rng(0).uniform(size=(size, 2))
    L = 10.0 * rbf(x, length_scale=0.05)
    found: dict[str, Any] = {}
    found["decomposition"], (values, vectors) = _timed(lambda: np.linalg.eigh(L))
    found["draw without decomposition"], _ = _timed(lambda: DPP(L).sample(1, 0, "cholesky"))
    found["greedy"], _ = _timed(lambda: greedy_map(L, K))
    found["greedy, plain NumPy"], _ = _timed(lambda: _plain_greedy(L, K))
    found["lazy greedy"], _ = _timed(lambda: greedy_map(L, K, lazy=True))
    ours, fixed = DPP(L), KDPP(L, K)
    ours.sample(1, 0)
    fixed.sample(1, 0)
    for name, seconds in found.items():
        parts.row(size, name, f"{seconds:.4f}", "", "")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "start.npz")
        np.savez(file, values=np.maximum(values, 0.0), vectors=vectors)
        peer.ask(do="start", file=file)
    seeds = iter(range(1, 10_000))
    contestants: dict[str, Callable[[], Any]] = {
        "draw": lambda: ours.sample(1, next(seeds)),
        "draw, DPPy": lambda: peer.ask(do="draw"),
        "k-DPP draw": lambda: fixed.sample(1, next(seeds)),
        "k-DPP draw, DPPy": lambda: peer.ask(do="k_draw", k=K),
    }
    for contestant in contestants.values():
        contestant()
    seconds = harness.alternate(contestants, ROUNDS)
    for name in ("draw", "k-DPP draw"):
        mine, theirs = seconds[name], seconds[f"{name}, DPPy"]
        ratio = harness.ratio(mine, theirs)
        found[name] = {"seconds": mine, "dppy": theirs, "ratio": ratio}
        parts.row(
            size, name, f"{np.median(mine):.4f}", f"{np.median(theirs):.4f}", f"{ratio[0]:.2f}"
        )
    return found


def _plain_greedy(L: np.ndarray, k: int) -> list[int]:
    """Chen et al. 2018, algorithm 1, line by line: c_i as rows, no checks."""
    C, d2 = np.zeros((len(L), k)), np.diagonal(L).copy()
    taken = [int(d2.argmax())]
    while len(taken) < k:
        j, t = taken[-1], len(taken) - 1
        e = (L[j] - C[:, :t] @ C[j, :t]) / np.sqrt(d2[j])
        C[:, t] = e
        d2 -= e**2
        d2[j] = -np.inf
        taken.append(int(d2.argmax()))
    return taken


def _dual() -> dict[str, float]:
    """Many items with few features, for which there is no kernel matrix."""
    F = np.random.default_rng(0).normal(size=(MANY, COLUMNS))
    found: dict[str, float] = {}
    found["decomposition, dual"], process = _timed(lambda: _decomposed(F))
    found["draw, dual"], _ = _timed(lambda: process.sample(1, 1))
    found["greedy, features"], _ = _timed(lambda: greedy_map(features=F, k=K // 2))
    for name, seconds in found.items():
        parts.row(MANY, name, f"{seconds:.4f}", "", "")
    return found


def _decomposed(F: np.ndarray) -> KDPP:
    return KDPP(features=F, k=K // 2)


def _timed(fn: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = fn()
    return time.perf_counter() - started, result
