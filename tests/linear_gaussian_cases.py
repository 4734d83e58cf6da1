"""Linear Gaussian models with random parameters, and what conditioning their joint normal gives."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf


@pytest.fixture
def eager():
    """Short recursions run step by step: tracing one takes a hundred times as long."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def spread(rng, size, least=0.3):
    root = rng.normal(size=(size, size))
    return root @ root.T + least * np.eye(size)


def random_model(seed, d=2, m=2, steps=None):
    """Keyword arguments of KalmanFilter; with ``steps`` all that may vary does."""
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)

    def covariances(size):
        if steps is None:
            return spread(rng, size)
        return np.stack([spread(rng, size) for _ in range(steps)])

    return {
        "A": 0.6 * rng.normal(size=(*lead, d, d)),
        "H": rng.normal(size=(*lead, m, d)),
        "Q": covariances(d),
        "R": covariances(m),
        "m0": rng.normal(size=d),
        "P0": spread(rng, d),
    }


def joint(model, steps, offsets=None):
    """Mean and covariance of all states, and the matrices of all observations."""

    def at(name, t):
        value = np.asarray(model[name])
        return value[t] if value.ndim == 3 else value

    d = len(model["m0"])
    means, covariance = [np.asarray(model["m0"])], np.zeros((steps * d, steps * d))
    covariance[:d, :d] = model["P0"]
    for t in range(1, steps):
        move = at("A", t - 1)
        push = 0.0 if offsets is None else offsets[t - 1]
        means.append(move @ means[-1] + push)
        done, now = slice(0, t * d), slice(t * d, (t + 1) * d)
        cross = move @ covariance[(t - 1) * d : t * d, done]
        covariance[now, done], covariance[done, now] = cross, cross.T
        last = covariance[(t - 1) * d : t * d, (t - 1) * d : t * d]
        covariance[now, now] = move @ last @ move.T + at("Q", t - 1)
    H = scipy.linalg.block_diag(*(at("H", t) for t in range(steps)))
    R = scipy.linalg.block_diag(*(at("R", t) for t in range(steps)))
    return np.concatenate(means), covariance, H, R


def condition(model, y, offsets=None):
    """Mean ``[T, d]`` and covariance ``[T d, T d]`` of all states given y, and ``log p(y)``."""
    steps, flat = len(y), np.ravel(y)
    mean, covariance, H, R = joint(model, steps, offsets)
    seen = ~np.isnan(flat)
    H, R, flat = H[seen], R[np.ix_(seen, seen)], flat[seen]
    S = H @ covariance @ H.T + R
    gain = np.linalg.solve(S, H @ covariance).T
    residual = flat - H @ mean
    log_likelihood = -0.5 * (
        residual @ np.linalg.solve(S, residual)
        + np.linalg.slogdet(S)[1]
        + len(flat) * np.log(2.0 * np.pi)
    )
    after = covariance - gain @ H @ covariance
    return (mean + gain @ residual).reshape(steps, -1), after, log_likelihood
