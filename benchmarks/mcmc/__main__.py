"""NUTS beside NumPyro and BlackJAX: effective draws per second, and seconds of the first call.

``python -m benchmarks.mcmc --peer-python PATH`` needs an environment with ``requirements.txt``
(``make bench NAME=mcmc`` makes it). For each posterior it checks that all libraries have the same
log density, then runs them in turn, seed by seed: four chains of 1000 + 1000 in float32, and
counts the smallest bulk ESS over all parameters per second of warm-up and draws.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks import harness
from benchmarks.mcmc import ours, problems
from benchmarks.peer import Peer
from tfbdl import diagnostics

PEERS = ("numpyro", "blackjax")


def main() -> None:
    """Check, run in turn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", default=problems.NAMES)
    arguments = parser.parse_args()
    figures = {}
    with Sampling(arguments.peer_python, Path(__file__).parent) as peer:
        for name in arguments.problems:
            figures[name] = _compare(name, peer, arguments.seeds)
    _print(figures)
    print(harness.write("mcmc", figures))


class Sampling(Peer):
    """The peers' process, whose draws come through files."""

    def __enter__(self) -> Self:
        self.files = tempfile.TemporaryDirectory()
        return super().__enter__()

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        self.files.cleanup()

    def run(self, library: str, name: str, seed: int) -> dict[str, Any]:
        """Warm up and draw."""
        file = str(Path(self.files.name) / "draws.npy")
        answer = self.ask(library=library, name=name, seed=seed, file=file)
        return {**answer, "draws": np.load(file)}


def _compare(name: str, peer: Sampling, seeds: int) -> dict[str, Any]:
    sampler = ours.Sampler(name, chains=4, warmup=1000, draws=1000)
    points = np.random.default_rng(0).normal(size=(5, sampler.target.dim)) * 0.3
    theirs = np.asarray(peer.ask(name=name, points=points.tolist())["log_prob"])
    np.testing.assert_allclose(np.diff(sampler.log_prob(points)), np.diff(theirs), rtol=2e-3)
    runs = {"tfbdl": sampler.run} | {
        library: lambda seed, library=library: peer.run(library, name, seed) for library in PEERS
    }
    record: dict[str, Any] = {
        library: {"first": run(1000)["seconds"], "rate": [], "seconds": [], "r_hat": [], "mean": []}
        for library, run in runs.items()
    }
    names = list(runs)
    for seed in range(seeds):
        for library in names[seed % 3 :] + names[: seed % 3]:
            result = runs[library](seed)
            draws = result["draws"]
            size = float(np.min(diagnostics.ess_bulk(draws)))
            record[library]["rate"].append(size / result["seconds"])
            record[library]["seconds"].append(result["seconds"])
            record[library]["r_hat"].append(float(np.max(diagnostics.r_hat(draws))))
            record[library]["mean"].append(draws.mean(axis=(0, 1)).tolist())
    spread = draws.std(axis=(0, 1))
    for library in names[1:]:  # the same posterior, to a tenth of a standard deviation
        gap = np.mean(record[library]["mean"], axis=0) - np.mean(record["tfbdl"]["mean"], axis=0)
        record[library]["largest_gap_sd"] = float(np.max(np.abs(gap) / spread))
    return record


def _print(figures: dict[str, Any]) -> None:
    print(
        "\n| posterior | library | min bulk ESS / s | tfbdl's ratio | first call, s | max R-hat |"
    )
    print("|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {library: [] for library in PEERS}
    for name, record in figures.items():
        for library, row in record.items():
            rates = np.asarray(row["rate"])
            text = ""
            if library != "tfbdl":
                middle, low, high = harness.ratio(record["tfbdl"]["rate"], row["rate"])
                ratios[library].append(middle)
                text = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
            print(
                f"| {name} | {library} | {np.median(rates):.0f} ({rates.min():.0f}-"
                f"{rates.max():.0f}) | {text} | {row['first']:.1f} | {max(row['r_hat']):.3f} |"
            )
    for library, values in ratios.items():
        print(f"tfbdl / {library}: geometric mean {np.exp(np.mean(np.log(values))):.2f}")


if __name__ == "__main__":
    main()
