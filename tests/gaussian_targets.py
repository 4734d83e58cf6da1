"""Densities whose moments are known exactly, and the comparison of draws with them."""

import numpy as np
import tensorflow as tf

from tfbdl import diagnostics


def covariance(dim, correlation=0.7):
    """Scales from 0.5 to 2 with one correlation between neighbours, falling off geometrically."""
    scales = np.geomspace(0.5, 2.0, dim)
    distance = np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    return np.outer(scales, scales) * correlation**distance


def gaussian(mean, cov, dtype="float64"):
    """``z [chain, D]`` -> log density ``[chain]`` and gradient ``[chain, D]``, in closed form."""
    mean = tf.constant(mean, dtype)
    precision = tf.constant(np.linalg.inv(cov), dtype)

    def log_prob_and_gradient(z):
        pull = tf.matmul(mean - z, precision)
        return 0.5 * tf.reduce_sum(pull * (z - mean), -1), pull

    return log_prob_and_gradient


def assert_moments(draws, mean, cov, errors=4.0):
    """Means and second central moments of ``[chain, draw, D]`` within so many standard errors."""
    x = np.asarray(draws, "float64")
    assert np.all(np.abs(x.mean((0, 1)) - mean) < errors * diagnostics.mcse_mean(x))
    centred = x - mean
    products = centred[..., :, np.newaxis] * centred[..., np.newaxis, :]
    bound = errors * diagnostics.mcse_mean(products)
    np.testing.assert_array_less(np.abs(products.mean((0, 1)) - cov), bound)
    assert np.all(bound < errors * 0.2 * np.sqrt(np.outer(np.diag(cov), np.diag(cov))))
