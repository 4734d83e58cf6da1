"""Features of a small classifier, in which pictures are compared."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from tfbdl.errors import DataError

from .evaluation import frechet_distance


class Features:
    """The last hidden layer of a small classifier of labelled rows.

    The Frechet distance of features is that of Heusel et al. 2017 with this net in the place of
    Inception's, so figures compare generators of the same data judged by the same ``Features``,
    and no others.

    Args:
        x: Rows ``[n, ...]``; images ``[n, height, width]`` or with channels get convolutions.
        y: Labels ``[n]``, integers from 0.
        units: Size of the features.
        epochs, batch_size, learning_rate: Of training, by Adam.
        seed: Of weights and the order of rows.

    Attributes:
        net: The classifier; it ends in logits.
        accuracy: Of its last epoch on the rows it was trained on.

    Raises:
        DataError: If rows and labels do not agree, or there is one class alone.

    References:
        Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium", eq. 6.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        units: int = 64,
        epochs: int = 3,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        x, y = np.asarray(x, np.float32), np.asarray(y).astype(np.int32)
        if len(x) != len(y) or y.ndim != 1 or len(np.unique(y)) < 2:
            raise DataError(
                "Features are learned from rows [n, ...] and labels [n] of two classes or more. "
                f"Received: x {list(x.shape)}, y {list(y.shape)}, {len(np.unique(y))} classes."
            )
        self.row_shape = x.shape[1:]
        self.location, self.scale = float(x.mean()), max(float(x.std()), 1e-6)
        features = _features(self.row_shape, units, seed)
        logits = keras.layers.Dense(int(y.max()) + 1, kernel_initializer=_start(seed, 9))
        self.net = keras.Sequential([features, logits])
        self._features = features
        self.net.compile(
            keras.optimizers.Adam(learning_rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        order = np.random.default_rng(seed).permutation(len(x))
        history = self.net.fit(
            self._inward(x[order]), y[order], batch_size=batch_size, epochs=epochs, shuffle=False,
            verbose=0,
        )  # fmt: skip
        self.accuracy = float(history.history["accuracy"][-1])

    def __call__(self, x: Any) -> np.ndarray:
        """Features of rows ``[n, ...]``: ``[n, units]``."""
        return np.asarray(self._features.predict(self._inward(x), batch_size=512, verbose=0))

    def classify(self, x: Any) -> np.ndarray:
        """The most probable class of rows: ``[n]``."""
        logits = self.net.predict(self._inward(x), batch_size=512, verbose=0)
        return np.asarray(logits.argmax(axis=-1))

    def frechet_distance(self, real: Any, fake: Any) -> float:
        """The squared Frechet distance between the features of two sets of rows."""
        return frechet_distance(self(real), self(fake))

    def _inward(self, x: Any) -> np.ndarray:
        rows = np.asarray(x, np.float32)
        if rows.shape[1:] != self.row_shape:
            raise DataError(
                f"Rows must be of shape {list(self.row_shape)}, as those the features were learned "
                f"from. Received: {list(rows.shape[1:])}."
            )
        return (rows - self.location) / self.scale


def _features(row_shape: tuple[int, ...], units: int, seed: int) -> keras.Sequential:
    layers = keras.layers
    net = [keras.Input(row_shape)]
    if len(row_shape) >= 2:
        channels = row_shape[2] if len(row_shape) == 3 else 1
        net.append(layers.Reshape((*row_shape[:2], channels)))
        for i, filters in enumerate((16, 32)):
            net.append(
                layers.Conv2D(
                    filters, 3, strides=2, padding="same", activation="relu",
                    kernel_initializer=_start(seed, i),
                )
            )  # fmt: skip
        net.append(layers.Flatten())
    else:
        hidden = max(units, 2 ** round(math.log2(max(math.prod(row_shape), 16))))
        net.append(layers.Dense(min(hidden, 256), "relu", kernel_initializer=_start(seed, 0)))
    net.append(layers.Dense(units, "relu", kernel_initializer=_start(seed, 5)))
    return keras.Sequential(net)


def _start(seed: int, layer: int) -> keras.initializers.Initializer:
    return keras.initializers.HeNormal(seed=seed * 10 + layer)
