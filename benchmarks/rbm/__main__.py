"""Restricted Boltzmann machines: features of digits, bars and stripes, and annealed log Z.

``python -m benchmarks.rbm`` needs MNIST (``$TFBDL_DATA/mnist.npz``, or Keras' download). For each
seed it measures three things. A machine of 128 hidden units is trained on MNIST by CD-1 for five
epochs; the test accuracy of logistic regression on its features stands beside that on features of
the machine before training. A machine of 20 hidden units is trained on 10,000 digits; its log Z
by annealed importance sampling stands beside the enumerated one. And bars and stripes of 3 x 3,
of which 14 patterns have an NLL of log 14 = 2.639 at best, are learned in 10,000 steps by CD-1 and
by persistent chains, 100 and 1,000 of them.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tfbdl
from benchmarks import harness
from tfbdl.data import Dataset

BARS_STEPS = 10_000


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    data = _digits()
    rows = [
        {**_features(data, s, arguments.epochs), **_partition(s), **_bars(s)}
        for s in range(arguments.seeds)
    ]
    print(f"\n| figure | median of {len(rows)} seeds | range |\n|---|---|---|")
    for name in rows[0]:
        values = np.asarray([row[name] for row in rows])
        print(f"| {name} | {np.median(values):.4g} | {values.min():.4g} to {values.max():.4g} |")
    print(harness.write("rbm", rows))


def _digits() -> Dataset:
    from tfbdl.run import load_data

    return load_data(tfbdl.plan("rbm", "mnist"))


def _features(data: Dataset, seed: int, epochs: int) -> dict[str, float]:
    options = {"num_hidden": 128}
    fit = tfbdl.fit(
        "rbm",
        data,
        model_options=options,
        engine_options={
            "epochs": epochs,
            "batch_size": 20,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "schedule": "constant",
        },
        seed=seed,
    )
    fresh = tfbdl.build("rbm", data, model_options=options, seed=seed)
    return _told(
        seed,
        {
            "training seconds": fit.metrics["seconds"],
            "accuracy of features, %": _accuracy(fit.model, data),
            "accuracy of features before training, %": _accuracy(fresh, data),
            "pseudo-log-likelihood of test digits, nats": float(
                fit.model.pseudo_log_likelihood(data.x_test, seed=seed).mean()
            ),
            "the same before training, nats": float(
                fresh.pseudo_log_likelihood(data.x_test, seed=seed).mean()
            ),
        },
    )


def _accuracy(model: Any, data: Dataset) -> float:
    learner = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    learner.fit(model.transform(data.x), data.y)
    return float(100 * learner.score(model.transform(data.x_test), data.y_test))


def _partition(seed: int) -> dict[str, float]:
    fit = tfbdl.fit(
        "rbm",
        "mnist",
        data_options={"train_size": 10_000},
        model_options={"num_hidden": 20},
        engine_options={"epochs": 5, "batch_size": 64, "learning_rate": 0.003},
        seed=seed,
    )
    found = fit.model.log_partition(runs=500, temperatures=20_000, seed=seed)
    return _told(
        seed,
        {
            "log Z by annealing - exact, nats": found.estimate - fit.model.log_partition_exact(),
            "standard error of log Z, nats": found.standard_error,
        },
    )


def _bars(seed: int) -> dict[str, float]:
    from tfbdl_rbm.model import RBM

    x = bars_and_stripes()
    figures = {}
    for name, training, chains in (
        ("CD-1", "cd", 1),
        ("PCD, 100 chains", "pcd", 100),
        ("PCD, 1,000 chains", "pcd", 1_000),
    ):
        model = RBM(9, 16, training=training, num_chains=chains, weight_scale=0.1, seed=seed)
        model.compile(keras.optimizers.SGD(0.05), steps_per_execution=500, jit_compile=True)
        model.fit(x, batch_size=14, epochs=20, steps_per_epoch=BARS_STEPS // 20, verbose=0)
        figures[f"NLL of bars and stripes, {name}, nats"] = -float(model.log_prob(x).mean())
    return _told(seed, figures)


def bars_and_stripes(size: int = 3) -> np.ndarray:
    """All images whose columns, or rows, are alike: ``[2^(size + 1) - 2, size²]``."""
    found = set()
    for bits in itertools.product([0, 1], repeat=size):
        image = np.tile(np.array(bits)[:, np.newaxis], (1, size))
        found |= {tuple(image.ravel()), tuple(image.T.ravel())}
    return np.array(sorted(found), "float32")


def _told(seed: int, figures: dict[str, float]) -> dict[str, float]:
    for name, value in figures.items():
        print(f"seed {seed}: {name}: {value:.4g}", flush=True)
    return figures


if __name__ == "__main__":
    main()
