"""Nets trained on digits see other images: which uncertainty tells them apart, and how well.

784-400-400-10, twelve epochs on MNIST, by Bayes by Backprop with the scale-mixture prior, as an
ensemble, with MC dropout, and as one plain net, whose mutual information is nothing: it has one
draw. Rows inside are the 10,000 test digits; outside, as many of each kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tfbdl
from benchmarks.parts import header, row, spread
from tfbdl import calibration
from tfbdl.errors import DataError

SEEDS = range(3)
DRAWS = 30
SCORES = ("mutual_information", "entropy", "max_probability")
LAYERS = {"hidden": (400, 400), "standardize": False}
TRAINING = {"epochs": 12, "batch_size": 128, "learning_rate": 1e-3}
MIXTURE = {"pi": 0.5, "sigma1": 1.0, "sigma2": float(np.exp(-6))}
NETS: dict[str, dict[str, Any]] = {
    "bbb": {
        "prior": "scale_mixture",
        "prior_options": MIXTURE,
        "model_options": LAYERS,
        "engine_options": {**TRAINING, "schedule": "constant"},
    },
    "ensemble": {
        "engine": "ensemble",
        "model_options": LAYERS,
        "engine_options": {**TRAINING, "objective": "likelihood", "members": 5},
    },
    "mc_dropout": {
        "engine": "mc_dropout",
        "model_options": {**LAYERS, "dropout": 0.5},
        "engine_options": {**TRAINING, "objective": "likelihood"},
    },
    "plain": {
        "engine": "ensemble",
        "model_options": LAYERS,
        "engine_options": {**TRAINING, "objective": "likelihood", "members": 1},
    },
}


def run() -> dict[str, Any]:
    """Train each net from each seed, and score each kind of images by each uncertainty."""
    pixels, labels = digits()
    kinds = strange(pixels)
    fits: dict[str, list[Any]] = {name: [] for name in NETS}
    for seed in SEEDS:
        for name, options in NETS.items():
            fit = tfbdl.fit("bbb", "mnist", data_options={"scale": "126"}, seed=seed, **options)
            fits[name].append(measure(fit, pixels, labels, kinds))
            print(f"{name}, seed {seed}: error {fits[name][-1]['error, %']:.2f} %", flush=True)
    print()
    header("net", "error, %", "mutual information, nats: digits", *kinds)
    for name, found in fits.items():
        means = [[one["mean"][kind] for one in found] for kind in ("digits", *kinds)]
        errors = spread((one["error, %"] for one in found), 2)
        row(name, errors, *(spread(values, 3) for values in means))
    print()
    header("outside", "net", *(f"{score}: AUROC, FPR95" for score in SCORES))
    for kind in kinds:
        for name, found in fits.items():
            row(kind, name, *(_cell([one[kind][score] for one in found]) for score in SCORES))
    return fits


def measure(
    fit: tfbdl.Fit, pixels: np.ndarray, labels: np.ndarray, kinds: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Test error, mean mutual information, and AUROC and FPR95 of each score on each kind."""
    inside = fit.predict(pixels, draws=DRAWS)
    found: dict[str, Any] = {
        "error, %": 100.0 * float(np.mean(inside.probs.argmax(axis=-1) != labels)),
        "mean": {"digits": float(inside.mutual_information.mean())},
    }
    for kind, images in kinds.items():
        outside = fit.predict(images, draws=DRAWS)
        found["mean"][kind] = float(outside.mutual_information.mean())
        found[kind] = {}
        for score in SCORES:
            figures = calibration.detection(inside, outside, score)
            found[kind][score] = (figures.auroc, figures.fpr95)
    return found


def digits(rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first test images, rows of 784 pixels divided by 126, and their labels."""
    data = _loaded("mnist", rows)
    return data.x_test, np.asarray(data.y_test)


def strange(pixels: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Images of another origin than the test digits ``[n, 784]``, as many of each kind."""
    rng, images = np.random.default_rng(seed), pixels.reshape(-1, 28, 28)
    kinds = {
        "digits turned by 90°": np.rot90(images, axes=(1, 2)).reshape(pixels.shape),
        "digits inverted": pixels.max() - pixels,
        "digits, pixels shuffled": rng.permuted(pixels, axis=1),
        "uniform noise": rng.uniform(0.0, pixels.max(), pixels.shape).astype(pixels.dtype),
    }
    try:
        clothes = _loaded("fashion_mnist", len(pixels)).x_test
    except DataError as error:
        print(f"Without clothes: {error}\n")
        return kinds
    return {"Fashion-MNIST": clothes} | kinds


def _loaded(name: str, rows: int | None) -> Any:
    from tfbdl.run import load_data

    options = {"scale": "126", "test_size": rows}
    return load_data(tfbdl.plan("bbb", name, data_options=options))


def _cell(values: list[tuple[float, float]]) -> str:
    """Medians over the seeds, and the range of the first."""
    auroc, fpr = zip(*values, strict=True)
    return f"{spread(auroc, 3)}, {np.median(fpr):.3f}"
