"""Sequences with gaps, and LSTMKalman models small enough to be compared number by number."""

from __future__ import annotations

import functools

import keras
import numpy as np
from linear_gaussian_cases import eager, random_model
from tfbdl_kalman_lstm import LSTMKalman

__all__ = ["N", "T", "eager", "linear", "sequences", "small", "untrained"]
T, N = 6, 3


def sequences(seed=1, d=2, gaps=True):
    y = np.random.default_rng(seed).normal(size=(N, T, d))
    if gaps:
        y[0, 2], y[1, 4, 0], y[2, 0, 1] = np.nan, np.nan, np.nan
    return y


def small(**options):
    chosen = {"units": (5,), "noise_units": (3,), "seed": 4, "dtype": "float64"}
    return LSTMKalman(2, 2, **(chosen | options))


@functools.cache
def untrained():
    """One model for all tests that only ask: its filter is compiled once."""
    return small()


def linear(dtype, residual=False, gates=None):
    """A model whose lstm_A is a matrix and whose noise is constant, and its parameters."""
    case = random_model(2)
    layer = keras.layers.Dense(2, use_bias=False, dtype=dtype)
    given = {name: case[name] for name in ("H", "Q", "R", "m0", "P0")}
    model = LSTMKalman(2, 2, lstm_A=layer, residual=residual, dtype=dtype, **given)
    layer.kernel.assign((case["A"] - residual * np.eye(2)).T)
    return model, case
