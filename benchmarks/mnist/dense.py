"""784-400-400-10 by Bayes by Backprop, and pruning by signal-to-noise (Blundell et al. 2015).

For each seed it trains the net with the scale-mixture prior for twelve epochs and measures test
error and NLL of the mean weights and of an average over draws, the error after pruning by
signal-to-noise, by magnitude and by reversed signal-to-noise, and the mutual information on
digits beside that on rotated digits and on noise, which the net has not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tfbdl
from benchmarks.parts import table
from tfbdl.data import Dataset
from tfbdl.predictive import Predictive

FRACTIONS = (0.0, 0.5, 0.75, 0.9, 0.95, 0.98)
DRAWS = 10


SEEDS = range(3)
EPOCHS = 12


def run() -> list[dict[str, float]]:
    """Measure from each seed, and print."""
    return table([_measure(seed, EPOCHS) for seed in SEEDS])


def _measure(seed: int, epochs: int) -> dict[str, float]:
    fit = tfbdl.fit(
        "bbb",
        "mnist",
        prior="scale_mixture",
        prior_options={"pi": 0.5, "sigma1": 1.0, "sigma2": float(np.exp(-6))},
        model_options={"hidden": (400, 400), "standardize": False},
        engine_options={
            "epochs": epochs,
            "batch_size": 128,
            "learning_rate": 1e-3,
            "schedule": "constant",
        },
        data_options={"scale": "126"},
        seed=seed,
    )
    data = test_rows()
    figures = score(fit.model, data, seed)
    row = {
        "training seconds": fit.metrics["seconds"],
        "error of mean weights, %": error_of_mean(fit.model, data),
        f"error over {DRAWS} draws, %": 100 * figures["error"],
        f"NLL over {DRAWS} draws": figures["nll"],
        f"ECE over {DRAWS} draws": figures["ece"],
    }
    for fraction in FRACTIONS[1:]:
        row[f"pruned {fraction:.0%} by signal-to-noise, %"] = error_of_mean(
            fit.model.prune(fraction), data
        )
    mean = fit.model.surrogate.mean()
    magnitude = {name: np.abs(mean[name].numpy()) for name in fit.model.weight_sites()}
    reverse = {name: -ratio for name, ratio in fit.model.signal_to_noise().items()}
    for fraction in (0.5, 0.75, 0.9):
        row[f"pruned {fraction:.0%} by magnitude, %"] = error_of_mean(
            _pruned_by(fit.model, magnitude, fraction), data
        )
    row["pruned 50% by reversed signal-to-noise, %"] = error_of_mean(
        _pruned_by(fit.model, reverse, 0.5), data
    )
    rng = np.random.default_rng(seed)
    images = data[0].reshape(-1, 28, 28)
    for name, x in {
        "digits": data[0],
        "rotated digits": np.rot90(images, axes=(1, 2)).reshape(len(images), -1).copy(),
        "noise": rng.permuted(data[0], axis=1),
    }.items():
        information = fit.model.predictive(x[:2000], DRAWS, seed=seed).mutual_information
        row[f"mutual information on {name}, nats"] = float(np.mean(information))
    for name, value in row.items():
        print(f"seed {seed}: {name}: {value:.4g}", flush=True)
    return row


def test_rows(**options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, with pixels divided by 126."""
    from tfbdl.run import load_data

    plan = tfbdl.plan("bbb", "mnist", data_options={"scale": "126", **options})
    data: Dataset = load_data(plan)
    return data.x_test, data.y_test


def score(model: Any, data: tuple[np.ndarray, np.ndarray], seed: int) -> dict[str, float]:
    """Test figures of an average over draws."""
    from tfbdl.evaluation import evaluate

    predictive: Predictive = model.predictive(data[0], DRAWS, seed=seed)
    return evaluate(predictive, data[1])


def error_of_mean(model: Any, data: tuple[np.ndarray, np.ndarray]) -> float:
    """Test error of the net with its mean weights, in per cent."""
    outputs = model.outputs(model.surrogate.mean(), data[0]).numpy()
    return float(100 * np.mean(outputs.argmax(axis=-1) != data[1]))


def _pruned_by(model: Any, scores: dict[str, np.ndarray], fraction: float) -> Any:
    pruned = model.prune(0.0)
    threshold = np.quantile(np.concatenate([s.ravel() for s in scores.values()]), fraction)
    for name, score in scores.items():
        pruned.surrogate.masks[name].assign(score > threshold)
    return pruned
