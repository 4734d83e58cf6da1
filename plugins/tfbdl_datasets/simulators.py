"""Simulated data whose truth is known, to hold a posterior against."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from tfbdl.data import Dataset, as_dataset

from .config import LogisticOptions, SinusoidOptions

LOGISTIC_HALF_RANGE = 2.0


def true_mean(x: np.ndarray) -> np.ndarray:
    """The mean ``sin(3 x)`` of ``sinusoid``, elementwise."""
    mean: np.ndarray = np.sin(3.0 * np.asarray(x))
    return mean


def true_noise(x: np.ndarray) -> np.ndarray:
    """The standard deviation ``0.05 + 0.2 |x|`` of ``sinusoid``, elementwise."""
    noise: np.ndarray = 0.05 + 0.2 * np.abs(np.asarray(x))
    return noise


def sinusoid(options: SinusoidOptions) -> Dataset:
    """``y = sin(3 x) + (0.05 + 0.2 |x|) e``, x uniform within the range, e standard normal.

    The test inputs are an even grid, and their targets noisy as well.

    Shapes:
        x: ``[n, 1]``; y: ``[n]``.
    """
    random = np.random.default_rng([options.noise_seed, 0])
    x = random.uniform(-options.half_range, options.half_range, options.num_rows)
    y = true_mean(x) + true_noise(x) * random.standard_normal(options.num_rows)
    reach = options.test_half_range or options.half_range
    x_test = np.linspace(-reach, reach, options.num_test)
    random = np.random.default_rng([options.noise_seed, 1])  # apart from the number of rows
    y_test = true_mean(x_test) + true_noise(x_test) * random.standard_normal(options.num_test)
    return as_dataset(
        (x[:, None], y),
        x_test=x_test[:, None],
        y_test=y_test,
        name="sinusoid",
        feature_names=("x",),
        target_names=("y",),
    )


def true_probs(x: np.ndarray, sharpness: float = 3.0) -> np.ndarray:
    """The probabilities of ``logistic``: ``sigmoid(sharpness (x2 - sin(2 x1)))`` for class 1.

    Shapes:
        x: ``[n, 2]``; returns ``[n, 2]``, rows sum to one.
    """
    x = np.asarray(x, dtype="float64")
    logit = sharpness * (x[:, 1] - np.sin(2.0 * x[:, 0]))
    return np.stack([expit(-logit), expit(logit)], axis=1)


def logistic(options: LogisticOptions) -> Dataset:
    """Labels drawn from ``true_probs`` at inputs uniform in the square from -2 to 2.

    Shapes:
        x: ``[n, 2]``; y: ``[n]``, 0 or 1.
    """
    x, y = _logistic_rows(options, options.num_rows, stream=0)
    x_test, y_test = _logistic_rows(options, options.num_test, stream=1)
    return as_dataset(
        (x, y),
        x_test=x_test if options.num_test else None,
        y_test=y_test if options.num_test else None,
        name="logistic",
        class_names=("0", "1"),
        feature_names=("x1", "x2"),
    )


def _logistic_rows(
    options: LogisticOptions, num_rows: int, stream: int
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([options.noise_seed, stream])
    x = random.uniform(-LOGISTIC_HALF_RANGE, LOGISTIC_HALF_RANGE, (num_rows, 2))
    y = random.uniform(size=num_rows) < true_probs(x, options.sharpness)[:, 1]
    return x, y.astype("int32")
