"""InfoGAN on MNIST: whether its ten-fold code finds the digits, which it is never told."""

from __future__ import annotations

import os
import time
from typing import Any

import keras
import numpy as np
import tfbdl_bayesian_gan.builders as nets
from scipy.optimize import linear_sum_assignment
from tfbdl_bayesian_gan import InfoGAN
from tfbdl_bayesian_gan.codes import Categorical, Uniform, sizes, units

import tfbdl
from benchmarks import parts
from tfbdl import functional
from tfbdl.run import load_data

SECONDS = float(os.environ.get("INFO_GAN_SECONDS", "1200"))
"""Processor time that each net trains for; building its program does not count."""
SEEDS = range(int(os.environ.get("INFO_GAN_SEEDS", "3")))
CODES = (Categorical(10), Uniform(), Uniform())
LATENT_DIM, BATCH = 62, 64
FILTERS, DENSE = (32, 64), 256
RATES = (1e-3, 2e-4)  # of generator and discriminator
JUDGED = 5000
IMAGE = (28, 28, 1)


class Budget(keras.callbacks.Callback):
    """Ends training after some processor time, which other work on the machine does not use up."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.steps, self.started = seconds, 0, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the clock."""
        if not self.steps:
            self.started = time.process_time()
        self.steps += 1
        self.model.stop_training = time.process_time() - self.started >= self.seconds


def run() -> dict[str, Any]:
    """The table of all seeds, and of a control whose code has no weight."""
    data = _mnist()
    classifier = _classifier(data)
    found: dict[str, Any] = {}
    parts.header("net", "seed", "steps", "minutes", "L_I (of 2.303)", "generated", "test images")
    for seed in SEEDS:
        found[f"info_gan {seed}"] = _row("info_gan", seed, 1.0, data, classifier)
    found["no weight"] = _row("no weight", 0, 0.0, data, classifier)
    accuracies = [r["generated"] for name, r in found.items() if name != "no weight"]
    print(f"\nCodes of generated digits: {parts.spread(accuracies, 3)}")
    return found


def _row(
    name: str, seed: int, weight: float, data: tfbdl.Dataset, classifier: keras.Model
) -> dict[str, float]:
    started = time.perf_counter()
    model, steps = trained(seed, weight, data.x, SECONDS)
    minutes = (time.perf_counter() - started) / 60
    figures = {"steps": steps, "minutes": minutes, **scores(model, classifier, data)}
    parts.row(
        name, seed, steps, f"{minutes:.1f}", f"{figures['information']:.3f}",
        f"{figures['generated']:.3f}", f"{figures['test']:.3f}",
    )  # fmt: skip
    return figures


def trained(seed: int, weight: float, x: np.ndarray, seconds: float) -> tuple[InfoGAN, int]:
    """An InfoGAN after some processor time, and its steps."""
    with functional.seeded(seed):
        size = LATENT_DIM + sizes(CODES)
        generator = nets.conv_generator(size, IMAGE, FILTERS, "sigmoid", dense=DENSE)
        discriminator = nets.conv_discriminator(
            IMAGE, FILTERS, dense=DENSE, code_units=units(CODES)
        )
    model = InfoGAN(
        generator, discriminator, LATENT_DIM, codes=CODES, code_weight=weight, seed=seed,
        continuous_weight=0.1 * weight, learning_rates=RATES,
    )  # fmt: skip
    model.compile()
    clock = Budget(seconds)
    model.fit(x, batch_size=BATCH, epochs=1000, verbose=0, callbacks=[clock])
    return model, clock.steps


def scores(model: InfoGAN, classifier: keras.Model, data: tfbdl.Dataset) -> dict[str, float]:
    """L_I in nats; the share of digits that the code names, generated ones and true ones.

    Which class of the code is which digit is chosen for the largest share. A generated image is the
    digit that the classifier sees; of a test image the label is known, and the code is read by Q.
    """
    assert data.y_test is not None
    classes = np.arange(JUDGED) % 10
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.eye(10)[classes], rng.uniform(-1, 1, (JUDGED, 2))], axis=1)
    images = model.sample(JUDGED, seed=0, codes=codes)
    seen = classifier.predict(images, verbose=0).argmax(axis=1)
    read = model.read_codes(data.x_test)[0].argmax(axis=1)
    return {
        "information": model.information()["information"],
        "generated": matched(classes, seen),
        "test": matched(read, data.y_test),
    }


def matched(classes: np.ndarray, digits: np.ndarray) -> float:
    """The share of rows whose class is their digit, by the best of all assignments (Hungarian)."""
    table = np.zeros((10, 10))
    np.add.at(table, (classes, digits), 1)
    return float(table[linear_sum_assignment(-table)].sum() / len(classes))


def _mnist() -> tfbdl.Dataset:
    data = load_data(tfbdl.plan("info_gan", "mnist", data_options={"flat": False}))
    assert data is not None
    return data


def _classifier(data: tfbdl.Dataset) -> keras.Model:
    """The judge: a small convolutional net."""
    keras.utils.set_random_seed(100)
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(16, 3, 2, activation="relu"),
            layers.Conv2D(32, 3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, "relu"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, metrics=["accuracy"])
    net.fit(data.x, data.y, batch_size=128, epochs=4, verbose=0)
    accuracy = net.evaluate(data.x_test, data.y_test, verbose=0)[1]
    print(f"The classifier that judges generated images has a test accuracy of {accuracy:.4f}.\n")
    return net
