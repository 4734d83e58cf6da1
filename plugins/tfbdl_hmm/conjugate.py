"""Conjugate priors: Dirichlet rows, and normal-inverse-Wishart means and covariances.

    mean | Sigma ~ N(m0, Sigma / kappa0)        Sigma ~ IW(nu0, Psi0), so E Sigma = Psi0/(nu0-d-1)

For diagonal covariances each dimension is a normal-inverse-Wishart of its own with d = 1.

References:
    Murphy 2012, "Machine Learning: A Probabilistic Perspective", sections 4.5.1 and 4.6.3;
    Gelman et al. 2013, "Bayesian Data Analysis", section 3.6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random

from .gamma import log_gamma

tfd = tfp.distributions


class NormalInverseWishart(NamedTuple):
    """One distribution, or ``k`` of them along the first axis.

    Attributes:
        m: ``[..., d]``.
        kappa: ``[...]``, above 0.
        nu: ``[...]``, above ``d - 1``.
        Psi: ``[..., d, d]``; only its diagonal counts where covariances are diagonal.
    """

    m: tf.Tensor
    kappa: tf.Tensor
    nu: tf.Tensor
    Psi: tf.Tensor


def posterior(
    prior: NormalInverseWishart, count: tf.Tensor, total: tf.Tensor, squares: tf.Tensor
) -> NormalInverseWishart:
    """The posterior of ``k`` states, given sums about the prior's ``m`` (Murphy 4.209 to 4.214).

    Args:
        prior: Without an axis of states.
        count: Observations of each state, ``[k]``.
        total, squares: Sums of ``y - m`` and of its outer products, ``[k, d]`` and ``[k, d, d]``.
    """
    kappa = prior.kappa + count
    shift = total / kappa[:, tf.newaxis]
    outer = shift[:, :, tf.newaxis] * shift[:, tf.newaxis, :]
    Psi = prior.Psi + squares - kappa[:, tf.newaxis, tf.newaxis] * outer
    return NormalInverseWishart(prior.m + shift, kappa, prior.nu + count, Psi)


def sample(
    niw: NormalInverseWishart, key: tf.Tensor, diagonal: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw means ``[k, d]``, and covariances ``[k, d, d]`` or variances ``[k, d]``."""
    states, size = niw.m.shape
    dtype = niw.m.dtype
    normals = random.normal((states, size + 1, size), random.fold_in(key, "normals"), dtype)
    noise = normals[:, 0]
    scale = 1.0 / tf.sqrt(niw.kappa)[:, tf.newaxis]
    if diagonal:
        half = 0.5 * niw.nu[:, tf.newaxis] + tf.zeros((size,), dtype)
        drawn = log_gamma(half, random.fold_in(key, "variances"))
        variances = 0.5 * tf.linalg.diag_part(niw.Psi) * tf.exp(-drawn)
        return niw.m + scale * tf.sqrt(variances) * noise, variances
    factor = tf.linalg.cholesky(niw.Psi)
    bartlett = _bartlett(niw.nu, normals[:, 1:], key)
    # Sigma = C (A A')^-1 C' with Psi = C C' and A A' ~ W(nu, I).
    root = tf.linalg.triangular_solve(bartlett, tf.linalg.matrix_transpose(factor))
    covariances = tf.matmul(root, root, transpose_a=True)
    deviations = tf.linalg.matvec(root, noise, transpose_a=True)
    return niw.m + scale * deviations, covariances


def log_prob(
    niw: NormalInverseWishart, means: tf.Tensor, covariances: tf.Tensor, diagonal: bool
) -> tf.Tensor:
    """The log density of all states together, in nats.

    Shapes:
        means: ``[..., k, d]``; covariances: ``[..., k, d, d]``, or variances ``[..., k, d]``.

    Returns:
        ``[...]``.
    """
    size = means.shape[-1]
    gaps = means - niw.m
    if diagonal:
        Psi = tf.linalg.diag_part(niw.Psi)
        inverse_gamma = tfd.InverseGamma(0.5 * niw.nu, 0.5 * Psi).log_prob(covariances)
        normal = tfd.Normal(niw.m, tf.sqrt(covariances / niw.kappa)).log_prob(means)
        return tf.reduce_sum(inverse_gamma + normal, (-2, -1))
    factor = tf.linalg.cholesky(covariances)
    half_log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), -1)
    prior_factor = tf.linalg.cholesky(niw.Psi)
    scaled = tf.linalg.triangular_solve(factor, prior_factor + tf.zeros_like(factor))
    trace = tf.reduce_sum(scaled**2, (-2, -1))
    prior_half = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(prior_factor)), -1)
    gammas = tf.math.lgamma(0.5 * (niw.nu - tf.range(size, dtype=means.dtype)))
    log_gamma = tf.reduce_sum(gammas) + 0.25 * size * (size - 1) * math.log(math.pi)
    wishart = niw.nu * prior_half - 0.5 * niw.nu * size * math.log(2.0) - log_gamma
    wishart -= (niw.nu + size + 1.0) * half_log_det + 0.5 * trace  # Murphy (4.165)
    whitened = tf.linalg.triangular_solve(factor, gaps[..., tf.newaxis])[..., 0]
    normal = -0.5 * niw.kappa * tf.reduce_sum(whitened**2, -1) - half_log_det
    normal += 0.5 * size * (tf.math.log(niw.kappa) - math.log(2.0 * math.pi))
    return tf.reduce_sum(wishart + normal, -1)


def dirichlet_log_prob(concentration: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """The log density of each row; finite at a probability of zero if its parameter is 1."""
    terms = tf.math.xlogy(concentration - 1.0, probs)
    normaliser = tf.reduce_sum(tf.math.lgamma(concentration), -1) - tf.math.lgamma(
        tf.reduce_sum(concentration, -1)
    )
    return tf.reduce_sum(terms, -1) - normaliser


def _bartlett(nu: tf.Tensor, normals: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Lower triangular A ``[k, d, d]`` with ``A A' ~ W(nu, I)`` (Bartlett's decomposition)."""
    degrees = nu[:, tf.newaxis] - tf.range(normals.shape[-1], dtype=nu.dtype)
    chi_squares = 2.0 * tf.exp(log_gamma(0.5 * degrees, random.fold_in(key, "diagonal")))
    below = tf.linalg.band_part(normals, -1, 0)
    return tf.linalg.set_diag(below, tf.sqrt(chi_squares))
