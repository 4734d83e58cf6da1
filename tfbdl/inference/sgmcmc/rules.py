"""What each sampler keeps beside the params, and how a step changes it.

A rule has ``start(params) -> slots`` and ``move(params, slots, estimate, noise, ...)``; the slots
are a tuple of nests. ``needs_curvature`` says whether it asks for the diagonal of the Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from . import kernels
from .density import Estimate
from .kernels import Nest, Scalar

Slots = tuple[Nest, ...]


@dataclass(frozen=True)
class SgldRule:
    """Langevin dynamics; nothing is kept."""

    needs_curvature = False

    def start(self, params: Nest) -> Slots:
        """No slots."""
        return ()

    def move(
        self,
        params: Nest,
        slots: Slots,
        estimate: Estimate,
        noise: Nest,
        *,
        step: tf.Tensor,
        step_size: Scalar,
        temperature: Scalar,
    ) -> tuple[Nest, Slots]:
        """One step of ``kernels.sgld``."""
        return kernels.sgld(params, estimate.gradient, noise, step_size, temperature), ()


@dataclass(frozen=True)
class SghmcRule(SgldRule):
    """Hamiltonian dynamics with friction; the velocity is kept.

    Attributes:
        friction: a.
        noise_estimate: b, below a.
    """

    friction: float = 0.05
    noise_estimate: float = 0.0

    def start(self, params: Nest) -> Slots:
        """At rest."""
        return (tf.nest.map_structure(tf.zeros_like, params),)

    def move(self, params: Nest, slots: Slots, estimate: Estimate, noise: Nest, **now: Any) -> Any:
        """One step of ``kernels.sghmc``."""
        params, velocity = kernels.sghmc(
            params,
            slots[0],
            estimate.gradient,
            noise,
            now["step_size"],
            self.friction,
            noise_estimate=self.noise_estimate,
            temperature=now["temperature"],
        )
        return params, (velocity,)


@dataclass(frozen=True)
class PsgldRule(SgldRule):
    """Preconditioned Langevin dynamics; the second moment of the gradient is kept.

    It begins at the square of the first gradient. The paper begins at zero, which makes the first
    step ``1 / sqrt(1 - decay)`` times as long.

    Attributes:
        decay, damping, num_data: As in ``kernels.psgld``.
        correction: Whether to add Gamma, for the price of a second gradient.
    """

    decay: float = 0.99
    damping: float = 1e-5
    num_data: float = 1.0
    correction: bool = False

    @property
    def needs_curvature(self) -> bool:  # type: ignore[override]
        """Gamma asks for it."""
        return self.correction

    def start(self, params: Nest) -> Slots:
        """Room for the second moment."""
        return (tf.nest.map_structure(tf.zeros_like, params),)

    def move(self, params: Nest, slots: Slots, estimate: Estimate, noise: Nest, **now: Any) -> Any:
        """One step of ``kernels.psgld``."""
        shape = {"decay": self.decay, "damping": self.damping, "num_data": self.num_data}
        first = tf.equal(now["step"], 0)
        before = tf.nest.map_structure(
            lambda v, g: tf.where(first, (g / tf.constant(self.num_data, g.dtype)) ** 2, v),
            slots[0],
            estimate.gradient,
        )
        gamma = None
        if self.correction:
            gamma = kernels.psgld_correction(before, estimate.gradient, estimate.curvature, **shape)
        params, second_moment = kernels.psgld(
            params,
            before,
            estimate.gradient,
            noise,
            now["step_size"],
            temperature=now["temperature"],
            correction=gamma,
            **shape,
        )
        return params, (second_moment,)


@dataclass(frozen=True)
class AdamRule(SgldRule):
    """Ascent to the mode, without noise; both moments are kept.

    Attributes:
        learning_rate: At the first step; it falls to a tenth by the last.
        steps: How many there are.
    """

    learning_rate: float = 0.01
    steps: int = 1000

    def start(self, params: Nest) -> Slots:
        """From moments of zero."""
        zeros = tf.nest.map_structure(tf.zeros_like, params)
        return (zeros, zeros)

    def move(self, params: Nest, slots: Slots, estimate: Estimate, noise: Nest, **now: Any) -> Any:
        """One step of ``kernels.adam``."""
        done = tf.cast(now["step"], "float64") / self.steps
        rate = self.learning_rate * (1.0 - 0.9 * done)
        first, second = slots
        params, first, second = kernels.adam(
            params, first, second, estimate.gradient, now["step"], rate
        )
        return params, (first, second)
