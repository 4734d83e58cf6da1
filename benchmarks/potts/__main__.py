"""The critical Ising model on a torus of 32 x 32: clusters beside single sites.

``python -m benchmarks.potts`` measures, for each seed, the integrated autocorrelation time of the
energy in sweeps (1 + 2 times the sum of the autocorrelations: the draws divided by the effective
ones of their mean) under Swendsen-Wang and under checkerboard Gibbs sampling, the expected number
of equal neighbours a site, and the milliseconds of a sweep of one chain and of four, the engines in
turn. The infinite lattice has 1 + 1 / sqrt(2) = 1.7071 equal neighbours a site (Onsager 1944).
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import tfbdl
from benchmarks import harness
from tfbdl import diagnostics
from tfbdl.inference import Potts
from tfbdl.inference.fields.draws import START, Streams
from tfbdl.inference.fields.sampler import Sweep
from tfbdl.inference.fields.single_site import SingleSite
from tfbdl.inference.fields.swendsen_wang import SwendsenWang

SIDE, BETA = 32, math.log(1 + math.sqrt(2))
DRAWS = {"swendsen_wang": 3000, "gibbs": 8000}


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    field = Potts(Potts.grid((SIDE, SIDE), periodic=True), SIDE**2, 2, BETA)
    times = _milliseconds(field)
    rows = [{**_mixing(field, seed), **times} for seed in range(arguments.seeds)]
    print(f"\n| figure | median of {len(rows)} seeds | range |\n|---|---|---|")
    for name in rows[0]:
        values = np.asarray([row[name] for row in rows])
        print(f"| {name} | {np.median(values):.4g} | {values.min():.4g} to {values.max():.4g} |")
    print(harness.write("potts", rows))


def _mixing(field: Potts, seed: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for engine, draws in DRAWS.items():
        options = {"chains": 4, "warmup": 1000, "draws": draws}
        fit = tfbdl.fit(field, None, engine=engine, engine_options=options, seed=seed)
        bonds = fit.posterior.sample_stats["equal_edges"].astype(np.float64)
        error = diagnostics.mcse_mean(bonds)
        found[f"{engine}: autocorrelation time, sweeps"] = bonds.size * error**2 / bonds.var()
        found[f"{engine}: equal neighbours a site"] = bonds.mean() / field.num_sites
    names = [f"{engine}: autocorrelation time, sweeps" for engine in ("gibbs", "swendsen_wang")]
    found["ratio of the times"] = found[names[0]] / found[names[1]]
    return found


def _milliseconds(field: Potts, sweeps: int = 100) -> dict[str, float]:
    """Medians over five rounds."""
    streams = Streams([1, 2])
    moves: dict[str, Sweep] = {"swendsen_wang": SwendsenWang(field), "gibbs": SingleSite(field)}

    def run(sweep: Sweep, chains: int) -> None:
        z = field.initial(chains, streams.generator(0, START))
        for number in range(sweeps):
            z = sweep.sweep(z, streams, number)

    contestants = {
        f"{name}: ms of a sweep of {chains} chain{'s'[: chains > 1]}": lambda s=sweep, c=chains: (
            run(s, c)
        )
        for name, sweep in moves.items()
        for chains in (1, 4)
    }
    seconds = harness.alternate(contestants, rounds=5)
    return {name: 1000 * float(np.median(times)) / sweeps for name, times in seconds.items()}


if __name__ == "__main__":
    main()
