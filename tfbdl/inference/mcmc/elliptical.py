"""Elliptical slice sampling: for priors that are normal, without a step size or a gradient.

References:
    Murray, Adams & MacKay 2010, "Elliptical slice sampling", figure 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ... import random
from ...errors import ModelError
from ...protocols import GaussianPrior
from ..choice import choose
from .adaptation import Mass
from .target import FlatTarget
from .transitions import Move, Transition
from .trees import LogProbAndGradient, Point

MAX_SHRINKS = 200  # each halves the bracket on average: a chain that stays then is at a cusp


class GaussianTarget(FlatTarget):
    """The log likelihood of a model whose prior is normal, of states ``z [chain, D]``.

    Args:
        model: What offers ``gaussian_prior`` and ``log_likelihood_total``.
        batch: What its ``log_likelihood_total`` takes.
        vectorize: As in FlatTarget.

    Attributes:
        mean, stddev: Of each element under the prior, ``[D]``.

    Raises:
        ModelError: If a site has a bijector, or the prior is not one of normals.
    """

    def __init__(self, model: GaussianPrior, batch: Any = None, *, vectorize: bool = True) -> None:
        mean, stddev = model.gaussian_prior()
        curved = [site.name for site in model.sites if site.bijector is not None]
        if curved:
            raise ModelError(
                "A normal prior is over all real numbers, so no site may have a bijector. "
                f"Received: {', '.join(curved)}."
            )
        super().__init__(model, batch, vectorize=vectorize)
        self.mean, self.stddev = self.unconstrain(mean), self.unconstrain(stddev)
        if not (np.isfinite(self.mean).all() and (self.stddev.numpy() > 0).all()):
            raise ModelError(
                "The prior's means must be finite and its standard deviations positive. "
                f"Received: means {self.mean.numpy()}, standard deviations {self.stddev.numpy()}."
            )

    def log_joint(self, point: Point) -> tf.Tensor:
        """The log prior added to the log likelihood of a point: ``[chain]``."""
        scaled = (point.z - self.mean) / self.stddev
        constant = tf.math.log(self.stddev) + 0.5 * np.log(2.0 * np.pi)
        return point.log_prob - tf.reduce_sum(0.5 * scaled**2 + constant, axis=-1)

    def prior_draws(self, chains: int, seed: int) -> tf.Tensor:
        """Starting states ``[chain, D]`` from the prior."""
        keys = random.split(random.key(seed, "starts"), chains)
        return self.mean + self.stddev * random.normal((self.dim,), keys, self.dtype)

    def _density(self) -> tuple[Callable[..., tf.Tensor], bool]:
        return self.model.log_likelihood_total, False


def elliptical_slice(mean: tf.Tensor, stddev: tf.Tensor) -> Transition:
    """The transition on ``log_prob``, a log likelihood under the prior ``N(mean, stddev^2)``."""

    def transition(
        target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
    ) -> Move:
        dtype = point.z.dtype
        noise = random.normal(point.z.shape[1:], random.fold_in(keys, "ellipse"), dtype)
        chance = random.uniform((2,), random.fold_in(keys, "slice"), dtype)
        level = point.log_prob + tf.math.log(chance[:, 0])
        full = 2.0 * np.pi
        angle = full * chance[:, 1]

        def shrink(
            i: tf.Tensor,
            angle: tf.Tensor,
            low: tf.Tensor,
            high: tf.Tensor,
            found: tf.Tensor,
            end: Point,
            used: tf.Tensor,
        ) -> Any:
            cosine, sine = (f(angle)[:, tf.newaxis] for f in (tf.cos, tf.sin))
            z = mean + (point.z - mean) * cosine + stddev * noise * sine
            log_prob, gradient = target(z)
            hit = ~found & (log_prob > level)
            end = choose(hit, Point(z, gradient, log_prob), end)
            used += tf.cast(~found, tf.int32)
            found |= hit
            low = tf.where(~found & (angle < 0), angle, low)
            high = tf.where(~found & (angle >= 0), angle, high)
            fresh = random.uniform((), random.fold_in(random.fold_in(keys, "shrink"), i), dtype)
            return i + 1, low + fresh * (high - low), low, high, found, end, used

        found, used = tf.fill(angle.shape, False), tf.zeros(angle.shape, tf.int32)
        _, _, _, _, _, end, used = tf.while_loop(
            lambda i, angle, low, high, found, *_: (i < MAX_SHRINKS) & ~tf.reduce_all(found),
            shrink,
            (tf.constant(0), angle, angle - full, angle, found, point, used),
        )
        return Move(end, tf.ones_like(level), used)

    return transition
