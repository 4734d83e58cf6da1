"""MNIST with 100 labels: a Bayesian GAN beside the same net with labelled rows alone."""

from __future__ import annotations

import os
import time
from typing import Any

import keras
import numpy as np
from tfbdl_bayesian_gan import BayesianGAN, bayesian_nets
from tfbdl_bayesian_gan.labels import keep_some

import tfbdl
from benchmarks import parts
from tfbdl.run import load_data

LABELLED, CLASSES = 100, 10
SEEDS = range(int(os.environ.get("SEMI_SUPERVISED_SEEDS", "3")))
STEPS = int(os.environ.get("SEMI_SUPERVISED_STEPS", "4800"))
HIDDEN = (250, 250, 500)  # of the discriminator, from its last to its first
GENERATOR = (256, 256)
SUPERVISED_STEPS = 2_000


def run() -> dict[str, Any]:
    """Test errors of both, by seed; labels and weights differ by seed."""
    data = load_data(tfbdl.plan("bayesian_gan", "mnist"))
    assert data is not None
    x, y, x_test, y_test = (np.asarray(v) for v in (data.x, data.y, data.x_test, data.y_test))
    x, x_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
    figures: dict[str, Any] = {"semi_supervised": [], "supervised": [], "processor_seconds": []}
    for seed in SEEDS:
        labels = keep_some(y, LABELLED, seed)
        began = time.process_time()
        wrong = _semi_supervised(x, labels, x_test, seed) != y_test
        figures["processor_seconds"].append(time.process_time() - began)
        figures["semi_supervised"].append(100 * float(wrong.mean()))
        known = labels >= 0
        wrong = _supervised(x[known], labels[known], x_test, seed) != y_test
        figures["supervised"].append(100 * float(wrong.mean()))
        print(f"seed {seed}:", {name: found[-1] for name, found in figures.items()}, flush=True)
    parts.header(f"{LABELLED} labels", "test error, %", "processor minutes")
    minutes = np.asarray(figures["processor_seconds"]) / 60
    parts.row("Bayesian GAN", parts.listed(figures["semi_supervised"], 1),
              parts.listed(minutes.tolist(), 0))  # fmt: skip
    parts.row("labelled rows alone", parts.listed(figures["supervised"], 1), "")
    return figures


def _semi_supervised(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, seed: int) -> np.ndarray:
    """A sixth of the iterations by SGHMC, of which six samples are kept, all others by Adam."""
    sampling = STEPS // 6
    discriminator = bayesian_nets.discriminator(
        "mlp", x.shape[1:], hidden=HIDDEN, filters=(), num_classes=CLASSES,
        noise=0.5, weight_normalization=True, slope=0.0,
    )  # fmt: skip
    model = BayesianGAN(
        x.shape[1],
        generators=2,
        discriminators=1,
        latent_dim=100,
        hidden=GENERATOR,
        output="sigmoid",
        generator_standardization=True,
        discriminator=discriminator,
        generator_objective="feature_matching",
        num_classes=CLASSES,
        seed=seed,
        warmup=STEPS - sampling,
        burn_in=sampling // 4,
        samples=6,
        thin=sampling // 8,
        batch_size=100,
        fake_rows=50,
        learning_rate=3e-3,
        decay=0.0,
        label_weight=2 * len(x) / LABELLED,
    )
    model.fit(x, y)
    return model.predict_proba(x_test).argmax(axis=1)


def _supervised(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, seed: int) -> np.ndarray:
    """The same hidden layers and steps of Adam, without generated and unlabelled rows."""
    keras.utils.set_random_seed(seed)
    layers: list[Any] = [keras.layers.Input(x.shape[1:])]
    for width in reversed(HIDDEN):
        layers += [keras.layers.Dense(width), keras.layers.ReLU()]
    net = keras.Sequential([*layers, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(3e-4), loss)
    net.fit(x, y, batch_size=LABELLED, epochs=SUPERVISED_STEPS, verbose=0)
    found: np.ndarray = net.predict(x_test, verbose=0).argmax(axis=1)
    return found
