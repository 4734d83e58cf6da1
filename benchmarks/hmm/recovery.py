"""Parameters recovered from simulated sequences, and the number of states by BIC and ICL."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from tfbdl_hmm.model import HiddenMarkovModel

import tfbdl

SEEDS = range(5)
STEPS = 1000
TRUTH = HiddenMarkovModel.of(
    [0.4, 0.3, 0.3],
    [[0.90, 0.05, 0.05], [0.10, 0.80, 0.10], [0.05, 0.15, 0.80]],
    means=[[0.0, 0.0], [2.5, 0.0], [1.25, 2.165]],  # 2.5 apart
    covariances=[[[1.0, 0.3], [0.3, 0.5]], [[0.5, 0.0], [0.0, 1.0]], [[0.8, -0.2], [-0.2, 0.8]]],
)
STATES = (2, 3, 4)


def run() -> dict[str, Any]:
    """Fit each seed, print the medians and ranges."""
    runs = [_one(seed) for seed in SEEDS]
    print("| | median | range |\n|---|---|---|")
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"| {name} | {np.median(values):.3g} | {min(values):.3g} to {max(values):.3g} |")
    return {name: [run[name] for run in runs] for name in runs[0]}


def _one(seed: int) -> dict[str, float]:
    """Errors of the fit with the true number of states, states matched by permutation."""
    drawn, sequences = TRUTH.sample(STEPS, seed=seed)
    states, y = drawn[0], sequences[0]
    fits = {
        k: tfbdl.fit(
            "hmm", y, seed=seed, model_options={"num_states": k}, engine_options={"restarts": 3}
        )
        for k in STATES
    }
    model = fits[3].model
    order = min(
        (list(p) for p in itertools.permutations(range(3))),
        key=lambda p: ((model.means_[p] - TRUTH.means_) ** 2).sum(),
    )
    path = np.argsort(order)[model.viterbi(y)]
    return {
        "largest error of a mean": _largest(model.means_[order], TRUTH.means_),
        "largest error of a transition probability": _largest(
            model.transition_[np.ix_(order, order)], TRUTH.transition_
        ),
        "largest error of a covariance's element": _largest(
            model.covariances_[order], TRUTH.covariances_
        ),
        "states wrong in the Viterbi path, %": 100.0 * float((path != states).mean()),
        "the same with the true parameters, %": 100.0 * float((TRUTH.viterbi(y) != states).mean()),
        "log likelihood above that of the truth, nats": float(
            model.log_prob(y) - TRUTH.log_prob(y)
        ),
        "states of the lowest BIC": _best(fits, "bic"),
        "states of the lowest ICL": _best(fits, "icl"),
    }


def _largest(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(found - truth).max())


def _best(fits: dict[int, Any], criterion: str) -> float:
    return float(min(fits, key=lambda k: fits[k].metrics[criterion]))
