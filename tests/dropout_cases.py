"""What the tests of dropout share: inputs, layers with given rates, training to the optimum."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfbdl import layers

RNG = np.random.default_rng(5)
X = RNG.normal(size=(6, 4)).astype("float32")
ROW = np.array([0.5, -2.0, 1.0, 3.0], "float32")
MANY = np.broadcast_to(ROW, (20_000, 4))
SMALLEST_P = 1e-4  # a test on fixed seeds that fails there is a fault, not bad luck


def wrapped(units=3, **options):
    dtype = options.get("dtype")
    return layers.ConcreteDropout(keras.layers.Dense(units, dtype=dtype), **options)


def build(layer, x=X, **weights):
    layer(x)
    for name, value in weights.items():
        getattr(layer, name).assign(value)
    return layer


def orthogonal(n, units):
    """Rows whose columns have mean squares of one and no correlation."""
    rng = np.random.default_rng(0)
    return np.sqrt(n) * np.linalg.qr(rng.normal(size=(n, units)))[0]


def train(rows, targets, *parts):
    """Adam on a mean squared error, over many noisy copies of all rows a step."""
    copies = 2000 // len(rows)
    x, y = (np.tile(part, (copies, 1)).astype("float32") for part in (rows, targets))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(parts)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 3000)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=True)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(data, steps_per_epoch=3000, shuffle=False, verbose=0)
