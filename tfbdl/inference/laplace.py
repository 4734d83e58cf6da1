"""Laplace's approximation: the normal at the mode, with the curvature there for its precision.

It is made in the unconstrained space, where sites with a bijector have their Jacobians.

References:
    MacKay 1992, "A practical Bayesian framework for backpropagation networks"; Bishop 2006,
    section 4.4 (equations 4.132 to 4.137).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import linalg

from .. import random
from ..closed_form import ClosedFormPosterior
from ..errors import ModelError
from ..log_density import unconstrained_shape
from .mcmc.target import FlatTarget
from .newton import Curvature, flat_message

MOMENT_DRAWS = 10_000
MOMENT_BYTES = 64 * 2**20


class Gaussian(NamedTuple):
    """A normal over the unconstrained parameters.

    Attributes:
        mean: The mode, ``[D]``.
        factor: ``[D, D]``, lower triangular: the precision is ``factor factor'``.
    """

    mean: np.ndarray
    factor: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """``[D, D]``: the inverse of the precision."""
        return np.asarray(linalg.cho_solve((self.factor, True), np.eye(len(self.mean))))

    def sample(self, n: int, key: tf.Tensor) -> tf.Tensor:
        """Draws ``[n, D]``."""
        noise = random.normal((len(self.mean), n), key, self.factor.dtype.name)
        step = tf.linalg.triangular_solve(tf.constant(self.factor), noise, adjoint=True)
        return self.mean + tf.transpose(step)


def gaussian_at(mode: np.ndarray, curvature: Curvature, epsilon: float = 2.0**-52) -> Gaussian:
    """The normal with the curvature at the mode for its precision (Bishop 4.134).

    Args:
        mode: ``[D]``.
        curvature: Minus the Hessian of the log density.
        epsilon: Relative rounding error of the curvature.

    Raises:
        ModelError: If the density is flat along some direction, up to rounding.
    """
    A = curvature(mode)
    diagonal = np.diagonal(A)
    if not (np.isfinite(A).all() and diagonal.min() > 0.0):
        raise ModelError(flat_message(float(np.nanmin(diagonal))))
    scale = np.sqrt(diagonal)  # rounding is judged apart from the units of the parameters
    try:
        unit = linalg.cholesky(A / np.outer(scale, scale), lower=True)
    except linalg.LinAlgError:
        raise ModelError(flat_message(float(linalg.eigvalsh(A)[0]))) from None
    if np.diagonal(unit).min() ** 2 < 8.0 * epsilon * len(A):
        raise ModelError(flat_message(float(linalg.eigvalsh(A)[0])))
    return Gaussian(mode, scale[:, np.newaxis] * unit)


def log_evidence(log_density: float, gaussian: Gaussian) -> float:
    """``log p(data)``, in nats (Bishop 4.137); exact where the log density is quadratic.

    Args:
        log_density: ``log p(data, mode)`` over the unconstrained parameters, Jacobians included.
        gaussian: The normal at the mode.
    """
    half_log_det = float(np.log(np.diagonal(gaussian.factor)).sum())
    return log_density + 0.5 * len(gaussian.mean) * math.log(2.0 * math.pi) - half_log_det


def posterior_of(target: FlatTarget, gaussian: Gaussian) -> ClosedFormPosterior:
    """The normal as a posterior over the sites of a model.

    Mean and covariance of a site without a bijector are those of the normal; a site with one has
    the moments of 10,000 draws (fewer where these would take more than 64 MB).

    Args:
        target: Whose sites, bijectors and dtypes count.
        gaussian: Over its unconstrained parameters.
    """

    def sample(n: int, key: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return target.constrain(tf.cast(gaussian.sample(n, key), target.dtype))

    at_mean = target.constrain(tf.constant(gaussian.mean, target.dtype))
    whole = gaussian.covariance
    mean, covariance = {}, {}
    start = 0
    for name, site in target.sites.items():
        size = math.prod(unconstrained_shape(site))
        mean[name] = at_mean[name].numpy()
        covariance[name] = whole[start : start + size, start : start + size]
        start += size
    curved = [name for name, site in target.sites.items() if site.bijector is not None]
    if curved:
        count = int(np.clip(MOMENT_BYTES // (8 * target.dim), 1_000, MOMENT_DRAWS))
        drawn = sample(count, random.key(0, "moments"))
        for name in curved:
            flat = drawn[name].numpy().astype(np.float64).reshape(count, -1)
            mean[name] = flat.mean(axis=0).reshape(at_mean[name].shape).astype(mean[name].dtype)
            covariance[name] = np.atleast_2d(np.cov(flat, rowvar=False))
    return ClosedFormPosterior(sample, mean, covariance)
