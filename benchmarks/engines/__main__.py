"""One net, many engines: the same Bayesian network on yacht and boston, one line changed.

``python -m benchmarks.engines`` needs the UCI sets in ``$TFBDL_DATA/uci``. Convergence of the
samplers is judged in function space: R-hat of the net's outputs at test inputs over chains, since
the weights themselves can be permuted without changing the function.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import tensorflow as tf

import tfbdl
from benchmarks import harness
from tfbdl import diagnostics

SETS = ("yacht", "boston")
ENGINES: dict[str, dict[str, Any]] = {
    "variational": {},
    "nuts": {"chains": 4, "warmup": 500, "draws": 250, "max_tree_depth": 9},
    "sghmc": {
        "step_size": 5e-8,
        "warm_start": 3000,
        "warmup": 5000,
        "draws": 250,
        "thin": 40,
    },
    "ensemble": {},
    "mc_dropout": {},
    "laplace": {"curvature": "kronecker", "evidence": True, "predictive": "linearized"},
    "swag": {},
    "smc": {"particles": 200, "num_leapfrog": 16, "unbiased": False},
}
POINTS = 40


def main() -> None:
    """Run, print, write; rows of engines that are not run stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--splits", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    print(
        "| set | engine | RMSE | log-likelihood | coverage of 90 % | R-hat of outputs | seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        for engine in arguments.engines:
            runs = [_run(name, engine, split) for split in range(arguments.splits)]
            rows += runs
            cells = [
                f"{np.mean([run[key] for run in runs]):.{digits}f}"
                for key, digits in (("rmse", 2), ("log_likelihood", 2), ("coverage_90", 2))
            ]
            r_hats = [run["r_hat"] for run in runs if run["r_hat"] is not None]
            cells.append(f"{np.max(r_hats):.2f}" if r_hats else "")
            cells.append(f"{np.mean([run['seconds'] for run in runs]):.0f}")
            print(f"| {name} | {engine} | {' | '.join(cells)} |", flush=True)
    print(harness.write("engines", _others(rows) + rows))


def _others(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was measured before of other engines and sets."""
    made = {(row["set"], row["engine"]) for row in rows}
    path = harness.RESULTS / "engines.json"
    before = json.loads(path.read_text())["figures"] if path.exists() else []
    return [row for row in before if (row["set"], row["engine"]) not in made]


def _run(name: str, engine: str, split: int) -> dict[str, Any]:
    fit = tfbdl.fit(
        "bbb",
        name,
        engine=engine,
        model_options={"dropout": 0.05} if engine == "mc_dropout" else {},
        engine_options=ENGINES[engine],
        data_options={"split": split},
        seed=split,
    )
    return {
        "set": name,
        "engine": engine,
        "split": split,
        "rmse": fit.metrics["rmse"],
        "log_likelihood": -fit.metrics["nll"],
        "coverage_90": fit.metrics["coverage_90"],
        "seconds": fit.metrics["seconds"],
        "r_hat": _r_hat_of_outputs(fit, name, split),
    }


def _r_hat_of_outputs(fit: Any, name: str, split: int) -> float | None:
    """The largest R-hat of the net's outputs at some test inputs, where there are chains."""
    chains, draws = next(iter(fit.posterior.draws.values())).shape[:2]
    if chains < 2:
        return None
    plan = tfbdl.plan("bbb", name, data_options={"split": split})
    from tfbdl.run import load_data

    x = tf.constant(load_data(plan).x_test[:POINTS])
    outputs = np.empty((chains, draws, len(x)))
    run = tf.function(lambda params: fit.model.outputs(params, x), autograph=False)
    for chain in range(chains):
        for draw in range(draws):
            params = {
                site: tf.constant(value[chain, draw]) for site, value in fit.posterior.draws.items()
            }
            outputs[chain, draw] = run(params).numpy()[:, 0]
    return float(np.max(diagnostics.r_hat(outputs)))


if __name__ == "__main__":
    main()
