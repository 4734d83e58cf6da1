"""Small auto-encoders by name, and rows for each likelihood."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

import tfbdl

SMALL = {"latent_dim": 2, "hidden": (5,), "filters": (3, 4), "cell_units": 4}
RNG = np.random.default_rng(0)
N = 6


def rows_of(shape, likelihood):
    """Rows that the likelihood can have produced."""
    if likelihood == "categorical":
        return RNG.integers(0, 3, (N, *shape))
    if "logistic" in likelihood:
        return (RNG.integers(0, 256, (N, *shape)) / 255).astype("float32")
    if likelihood == "bernoulli":
        return RNG.integers(0, 2, (N, *shape)).astype("float32")
    return RNG.normal(size=(N, *shape)).astype("float32")


def made(x, name="vae", seed=0, **options):
    return tfbdl.build(name, x, model_options={**SMALL, **options}, seed=seed)


def after_a_step(x, name="vae", **options):
    """A model by name after one step on all rows, and what the step logged."""
    model = made(x, name, **options)
    model.compile("adam", run_eagerly=True)
    logs = model.fit(x, batch_size=N, verbose=0).history
    return model, {key: values[0] for key, values in logs.items()}


@contextmanager
def eagerly():
    """Queries without tracing, which takes longer than they do."""
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the .*does not apply to tf.data")
            yield
    finally:
        tf.config.run_functions_eagerly(False)
