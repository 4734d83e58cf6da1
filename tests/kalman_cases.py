"""Two short sequences with gaps, and ``kalman`` models of given or learned matrices for them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from linear_gaussian_cases import random_model
from tfbdl_kalman_lstm.config import KalmanOptions
from tfbdl_kalman_lstm.model import KalmanModel

from tfbdl.config import make
from tfbdl.data import as_dataset

T = 5
OFFSET = np.array([0.4, -0.3])
TRUTH = random_model(3)
EVERYTHING = {**TRUTH, "B": OFFSET}


def two_sequences(gaps=True):
    y = 3.0 + np.random.default_rng(5).normal(size=(2, T, 2))
    if gaps:  # in part, as a whole, and at the end
        y[0, 1, 0], y[0, 3], y[1, 2, 1], y[1, 4] = np.nan, np.nan, np.nan, np.nan
    return y


def model_for(y, **options):
    data = as_dataset(y, dtype="float64", allow_nan=True)
    model = KalmanModel(make(KalmanOptions, {"form": "free", **options}), data.info)
    return model, model.rows(data)


def tensors(params):
    return {name: tf.constant(value, tf.float64) for name, value in params.items()}
