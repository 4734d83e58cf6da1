"""A classifier that abstains where it is unsure, on 8 x 8 handwritten digits.

python examples/classification.py [EPOCHS]
"""

from __future__ import annotations

import sys

import numpy as np

import tfbdl


def main(epochs: int = 60) -> dict[str, float]:
    """Train by names, then answer the surest 90 % of the test rows only."""
    fit = tfbdl.fit(
        "bbb",
        "digits",
        model_options={"hidden": (50,)},
        data_options={"test_fraction": 0.2},
        engine_options={"epochs": epochs, "learning_rate": 0.003},
        seed=1,
    )
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    p = fit.predict(x)
    wrong = p.probs.argmax(axis=1) != labels
    surest = np.argsort(p.entropy)[: int(0.9 * len(x))]
    scores = {
        "test_error": fit.metrics["error"],
        "test_nll": fit.metrics["nll"],
        "test_ece": fit.metrics["ece"],
        "error_all_rows": float(wrong.mean()),
        "error_surest_90": float(wrong[surest].mean()),
        "mutual_information": float(p.mutual_information.mean()),
    }
    for name, value in scores.items():
        print(f"{name:18} {value:.4f}")
    return scores


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
