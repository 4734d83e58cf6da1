"""Step sizes over time, and which steps of a cycle sample; ``step`` counts from the end of warm-up.

Each schedule gives two tensors for a step: the step size, and whether the step samples (it has
noise, and draws are kept) or explores (it has none, and none are).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same step size throughout.

    Attributes:
        step_size: eps.
    """

    step_size: float

    def __call__(self, step: tf.Tensor, cycle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The step size, float64, and True."""
        return tf.constant(self.step_size, "float64"), tf.constant(True)

    def position(self, step: tf.Tensor, cycle: tf.Tensor) -> tf.Tensor:
        """Sampling steps made since warm-up."""
        return step

    def cycle(self, sampling: int) -> tuple[int, int]:
        """There are no cycles: every step samples."""
        return sampling, sampling


@dataclass(frozen=True, kw_only=True)
class Polynomial(Constant):
    """``eps_t = eps (1 + t / b) ** -gamma``.

    Attributes:
        step_size: eps, at the first step.
        offset: b, the steps after which the decay sets in.
        power: gamma; the theory asks for more than 1/2 and at most 1.

    References:
        Welling & Teh 2011, section 3: ``a (b + t) ** -gamma``, with ``eps = a b ** -gamma``.
    """

    offset: float = 1000.0
    power: float = 0.55

    def __call__(self, step: tf.Tensor, cycle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The step size, float64, and True."""
        ratio = 1.0 + tf.cast(step, "float64") / self.offset
        return self.step_size * ratio**-self.power, tf.constant(True)


@dataclass(frozen=True, kw_only=True)
class Cyclical(Constant):
    """Cosine cycles: large steps explore, small ones sample.

    ``eps_t = eps / 2 (1 + cos(pi mod(t, L) / L))`` in cycles of L steps, of which the last S
    sample.

    Attributes:
        step_size: eps, at the beginning of a cycle.
        exploration: beta, the share of a cycle without noise, in [0, 1).

    References:
        Zhang, Li, Zhang, Chen & Wilson 2020, "Cyclical Stochastic Gradient MCMC for Bayesian Deep
        Learning", eq. 1 and algorithm 1.
    """

    exploration: float = 0.8

    def __call__(self, step: tf.Tensor, cycle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The step size, float64, and whether the step samples; ``cycle`` is (L, S)."""
        r = tf.cast(step % cycle[0], "float64") / tf.cast(cycle[0], "float64")
        return 0.5 * self.step_size * (1.0 + tf.cos(math.pi * r)), self.position(step, cycle) >= 0

    def position(self, step: tf.Tensor, cycle: tf.Tensor) -> tf.Tensor:
        """Sampling steps made since the cycle's exploration ended; negative before."""
        return step % cycle[0] - (cycle[0] - cycle[1])

    def cycle(self, sampling: int) -> tuple[int, int]:
        """(L, S) for S = ``sampling`` steps that sample in each cycle."""
        return max(sampling, round(sampling / (1.0 - self.exploration))), sampling
