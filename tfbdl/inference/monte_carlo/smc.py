"""Sequential Monte Carlo from a density that can be drawn from to the posterior.

Each stage weighs the particles for a step along the path of ``tempering``, resamples them, and
moves them by transitions that keep the density there.

References:
    Del Moral, Doucet & Jasra 2006, "Sequential Monte Carlo samplers", section 3.3.1 (the weights,
    equation 31) and equation 14 (the normalising constant); Beskos, Jasra, Kantas & Thiery 2016,
    "On the convergence of adaptive sequential Monte Carlo methods".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ... import random
from ...config import check_choice, check_whole
from ...errors import ModelError, OptionsError
from ..compilation import naming_the_operation, sums_in_order
from ..mcmc import transitions
from .moves import Shape, move, shape_of
from .resampling import SCHEMES, Scheme, effective_size, resample
from .tempering import Path, next_temperature

KERNELS = ("hmc", "random_walk")
TARGET_ACCEPT = {"hmc": 0.8, "random_walk": 0.234}
STAGES = 1_000


class Particles(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        stage: How many stages were made.
        temperature: Where the particles are on the path.
        z: ``[n, D]``, of equal weight.
        log_ratio: ``log p - log q`` of each, ``[n]``, float64.
        log_evidence: Of the density at the temperature, in nats.
        size: Step size to begin the next stage with.
    """

    stage: tf.Tensor
    temperature: tf.Tensor
    z: tf.Tensor
    log_ratio: tf.Tensor
    log_evidence: tf.Tensor
    size: tf.Tensor


class Choices(NamedTuple):
    """What a stage chose by its particles.

    Attributes:
        temperature: Where it went.
        shape: Of the particles there.
        sizes: Step size of each of its moves, ``[moves]``.
    """

    temperature: tf.Tensor
    shape: Shape
    sizes: tf.Tensor


class Figures(NamedTuple):
    """Of a stage: the effective sample size of its weights, and the share of moves taken."""

    effective_size: tf.Tensor
    acceptance_rate: tf.Tensor


class SequentialMonteCarlo:
    """The sampler of one density; its stages are compiled once.

    A run whose stages choose temperatures and moves by their particles gives an evidence with a
    bias of order 1 / n; one that repeats the choices of another run gives Z without bias.

    Args:
        path: From the reference q, which is normalised, to the density p.
        sample: From n and a key to draws ``[n, D]`` of q.
        kernel: ``hmc``, or ``random_walk``, which needs no gradient.
        moves: Transitions of each stage.
        num_leapfrog: Mean number of steps of a trajectory.
        resampling: By which scheme particles are chosen anew.
        share: Of the particles, the effective sample size that a step along the path aims at.
        dense: Whether moves take the particles' whole covariance, or its diagonal.
        jit_compile: Whether XLA compiles the moves: on a CPU it makes small states faster, and nets
            many times slower.

    Raises:
        OptionsError: If an argument is out of its range.

    Example:
        ```python
        sampler = SequentialMonteCarlo(path, sample)
        particles, choices = sampler.run(1_000, seed=1)
        again, _ = sampler.run(1_000, seed=2, choices=choices)
        again.log_evidence  # of which exp has no bias
        ```
    """

    def __init__(
        self,
        path: Path,
        sample: Any,
        *,
        kernel: str = "hmc",
        moves: int = 5,
        num_leapfrog: int = 4,
        resampling: Scheme = "systematic",
        share: float = 0.5,
        dense: bool = True,
        jit_compile: bool = False,
    ) -> None:
        check_choice("kernel", kernel, KERNELS)
        check_choice("resampling", resampling, SCHEMES)
        check_whole("moves", moves)
        check_whole("num_leapfrog", num_leapfrog)
        if not 0.0 < share < 1.0:
            raise OptionsError(f"share must be between 0 and 1. Received: {share!r}.")
        self.path, self.kernel, self.moves = path, kernel, moves
        self.resampling, self.share, self.dense = resampling, share, dense
        self.target_accept = TARGET_ACCEPT[kernel]
        self._transition = (
            transitions.hmc(num_leapfrog) if kernel == "hmc" else transitions.random_walk
        )
        self._sample = sample
        self._moved = tf.function(self._move, jit_compile=jit_compile, autograph=False)
        self._first = tf.function(self._start, autograph=False)
        self._stage = tf.function(self._adaptive, autograph=False)
        self._same = tf.function(self._repeated, autograph=False)

    @sums_in_order()
    def start(self, n: int, key: tf.Tensor) -> Particles:
        """Draws of the reference.

        Raises:
            ModelError: If the density is NaN or infinite at one, or zero at all.
        """
        return _checked(self._first(self._sample(n, random.fold_in(key, "start"))))

    @sums_in_order()
    def stage(
        self, particles: Particles, key: tf.Tensor, choices: Choices | None = None
    ) -> tuple[Particles, Choices, Figures]:
        """The next stage.

        Args:
            particles: Where they are.
            key: Of the run; the draws of a stage are a function of it and of the stage's number.
            choices: To repeat; by default the stage makes its own.

        Raises:
            ModelError: As ``start``; or if the density uses operations that XLA does not know.
        """
        with naming_the_operation("The moves of particles"):
            if choices is None:
                found, made, figures = self._stage(particles, key)
            else:
                found, made, figures = self._same(particles, key, choices)
        if int(found.stage) > STAGES:
            raise ModelError(
                f"The posterior was not reached in {STAGES:,} stages; the temperature is "
                f"{float(found.temperature):.3g}. Begin nearer to it, or with more particles."
            )
        return _checked(found), made, figures

    def run(
        self, n: int, seed: int = 0, choices: list[Choices] | None = None
    ) -> tuple[Particles, list[Choices]]:
        """All stages.

        Args:
            n: Number of particles, at least 2.
            seed: Of all random numbers.
            choices: Of an earlier run, to repeat.

        Returns:
            The particles of the posterior, and the choices of the stages.
        """
        check_whole("n", n, 2)
        key = random.key(seed, "smc")
        particles = self.start(n, key)
        made: list[Choices] = []
        while float(particles.temperature) < 1.0:
            given = None if choices is None else choices[len(made)]
            particles, own, _ = self.stage(particles, key, given)
            made.append(own)
        return particles, made

    def choices_like(self, particles: Particles) -> Choices:
        """Zeros in the shapes of what a stage would choose."""
        dim = particles.z.shape[1]
        zeros = tf.zeros((dim,), tf.float64)
        factor = tf.zeros((dim, dim), tf.float64) if self.dense else zeros
        sizes = tf.zeros((self.moves,), particles.z.dtype)
        return Choices(tf.zeros((), tf.float64), Shape(zeros, factor), sizes)

    def _start(self, z: tf.Tensor) -> Particles:
        zero = tf.zeros((), tf.float64)
        dim = float(z.shape[1])
        size = 2.38 * dim**-0.5 if self.kernel == "random_walk" else 0.9 * dim**-0.25
        return Particles(
            tf.constant(0), zero, z, self._log_ratio(z), zero, tf.constant(size, z.dtype)
        )

    def _adaptive(self, particles: Particles, key: tf.Tensor) -> tuple[Particles, Choices, Figures]:
        t = next_temperature(particles.log_ratio, particles.temperature, self.share)
        log_weights = _normalised(particles, t)
        shape = shape_of(particles.z, tf.exp(log_weights), self.dense)
        sizes = tf.fill((self.moves,), particles.size)
        return self._made(particles, key, Choices(t, shape, sizes), adapt=True)

    def _repeated(
        self, particles: Particles, key: tf.Tensor, choices: Choices
    ) -> tuple[Particles, Choices, Figures]:
        return self._made(particles, key, choices, adapt=False)

    def _made(
        self, particles: Particles, key: tf.Tensor, choices: Choices, adapt: bool
    ) -> tuple[Particles, Choices, Figures]:
        key = random.fold_in(key, particles.stage)
        t, dtype = choices.temperature, particles.z.dtype
        count = particles.z.shape[0]
        raw = (t - particles.temperature) * particles.log_ratio
        gained = tf.reduce_logsumexp(raw) - np.log(count)  # Del Moral et al. 2006, equation 14
        log_weights = _normalised(particles, t)
        chosen = resample(log_weights, random.fold_in(key, "resample"), self.resampling)
        z, used, rate = self._moved(
            tf.gather(particles.z, chosen),
            t,
            Shape(*(tf.cast(part, dtype) for part in choices.shape)),
            choices.sizes,
            tf.constant(adapt),
            random.fold_in(key, "move"),
        )
        z = tf.ensure_shape(z, particles.z.shape)
        found = Particles(
            stage=particles.stage + 1,
            temperature=t,
            z=z,
            log_ratio=self._log_ratio(z),
            log_evidence=particles.log_evidence + gained,
            size=used[-1] * tf.exp(rate - self.target_accept),
        )
        made = choices._replace(sizes=used)
        return found, made, Figures(effective_size(log_weights), tf.cast(rate, tf.float64))

    def _move(
        self,
        z: tf.Tensor,
        t: tf.Tensor,
        shape: Shape,
        sizes: tf.Tensor,
        adapt: tf.Tensor,
        key: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return move(self.path, self._transition, z, t, shape, sizes, adapt, self.target_accept, key)

    def _log_ratio(self, z: tf.Tensor) -> tf.Tensor:
        """``log p - log q``, ``[n]`` in float64."""
        ends = (self.path.target(z), self.path.reference(z))
        target, reference = (tf.cast(value, tf.float64) for value in ends)
        return tf.ensure_shape(target - reference, z.shape[:1])


def _normalised(particles: Particles, t: tf.Tensor) -> tf.Tensor:
    raw = (t - particles.temperature) * particles.log_ratio
    return raw - tf.reduce_logsumexp(raw)


def _checked(particles: Particles) -> Particles:
    """The particles, if their densities can be weighed."""
    ratio = particles.log_ratio.numpy()
    wrong = np.isnan(ratio) | (ratio == np.inf)
    if wrong.any() or (ratio == -np.inf).all():
        place = particles.z.numpy()[int(np.argmax(wrong))]
        raise ModelError(
            "The log density must be a number below infinity at each particle, and above minus "
            f"infinity at one. Received: {ratio[int(np.argmax(wrong))]} in stage "
            f"{int(particles.stage)} at {np.array2string(place, threshold=8)} of the unconstrained "
            "space, "
            f"temperature {float(particles.temperature):.3g}. Begin nearer to the posterior, or "
            "make the density finite there."
        )
    return particles
