"""Warm-up: step sizes by dual averaging, mass matrices from windows of draws, each chain its own.

References:
    Hoffman & Gelman 2014, section 3.2 (dual averaging); Carpenter et al. 2017 and Stan's
    reference manual, section 15.2 (windows, regularised variances); Welford 1962.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..choice import choose

SHRINKAGE = 0.05  # gamma of dual averaging
OFFSET = 10.0  # t0
DECAY = 0.75  # kappa


class StepSize(NamedTuple):
    """Dual averaging of the log step size; all ``[chain]``."""

    log_step: tf.Tensor
    log_average: tf.Tensor
    error: tf.Tensor
    count: tf.Tensor
    center: tf.Tensor


class Mass(NamedTuple):
    """The inverse mass matrix, and the running moments that will give the next one.

    ``inverse`` is ``[chain, D]`` (diagonal) or ``[chain, D, D]``; ``factor`` its square root or
    lower Cholesky factor; ``count [chain]``, ``mean [chain, D]``, ``moment`` as ``inverse``.
    """

    inverse: tf.Tensor
    factor: tf.Tensor
    count: tf.Tensor
    mean: tf.Tensor
    moment: tf.Tensor


def windows(warmup: int) -> tuple[np.ndarray, np.ndarray]:
    """Which warm-up iterations feed the mass matrix, and which end a window.

    Stan's schedule: a fast start (75 iterations), windows that double from 25, a fast end (50);
    shares of 15 % and 10 % where warm-up is shorter than 150; none below 20.

    Returns:
        Two boolean arrays ``[warmup + 1]``.
    """
    slow, end = np.zeros(warmup + 1, bool), np.zeros(warmup + 1, bool)
    if warmup < 20:
        return slow, end
    first, last, width = 75, 50, 25
    if warmup < 150:
        first, last = int(0.15 * warmup), int(0.1 * warmup)
        width = warmup - first - last
    stop = warmup - last
    slow[first:stop] = True
    begin = first
    while begin < stop:
        until = begin + width
        if until + 2 * width > stop:
            until = stop
        end[until - 1] = True
        begin, width = until, 2 * width
    return slow, end


class Schedule:
    """Warm-up of each chain at its own iteration: the step size always, the mass by windows.

    Args:
        warmup: Iterations that adapt, at least one.
    """

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self._slow, self._end = (tf.constant(flags) for flags in windows(warmup))

    def adapt(
        self,
        step: StepSize,
        mass: Mass,
        z: tf.Tensor,
        accept: tf.Tensor,
        iteration: tf.Tensor,
        adapting: tf.Tensor,
        target_accept: float,
    ) -> tuple[StepSize, Mass]:
        """Step size and mass after a transition.

        Args:
            step, mass: Before it.
            z: The state that it led to, ``[chain, D]``.
            accept: Its acceptance statistic, ``[chain]``.
            iteration: Transitions before it, ``[chain]``.
            adapting: Which chains have made it and are in warm-up, ``[chain]``.
            target_accept: What the acceptance shall be on average.
        """
        index = tf.minimum(iteration, self.warmup)
        slow, end = tf.gather(self._slow, index), tf.gather(self._end, index)
        step = choose(adapting, update_step_size(step, accept, target_accept), step)
        mass = choose(adapting & slow, update_moments(mass, z), mass)
        renewing = adapting & end

        def renewed() -> tuple[StepSize, Mass]:
            fresh = (restart_step_size(step), renew_mass(mass))
            return choose(renewing, fresh, (step, mass))

        step, mass = tf.cond(tf.reduce_any(renewing), renewed, lambda: (step, mass))
        last = adapting & (iteration == self.warmup - 1)
        return choose(last, step._replace(log_step=step.log_average), step), mass


def start_step_size(step_size: tf.Tensor) -> StepSize:
    """Dual averaging that begins at ``step_size [chain]`` and leans towards ten times it."""
    zeros = tf.zeros_like(step_size)
    log_step = tf.math.log(step_size)
    return StepSize(log_step, log_step, zeros, zeros, tf.math.log(10.0 * step_size))


def update_step_size(state: StepSize, accept: tf.Tensor, target: float) -> StepSize:
    """One step of dual averaging (Hoffman & Gelman 2014, equation 6).

    Args:
        state: Before the step.
        accept: The acceptance statistic of the last transition, ``[chain]``, 0 to 1.
        target: What it shall be on average.
    """
    count = state.count + 1.0
    weight = 1.0 / (count + OFFSET)
    error = (1.0 - weight) * state.error + weight * (target - accept)
    log_step = state.center - tf.sqrt(count) / SHRINKAGE * error
    decay = count**-DECAY
    log_average = decay * log_step + (1.0 - decay) * state.log_average
    return StepSize(log_step, log_average, error, count, state.center)


def restart_step_size(state: StepSize) -> StepSize:
    """Begin anew from the averaged step size, after the mass matrix has changed."""
    zeros = tf.zeros_like(state.error)
    log_step = state.log_average
    return StepSize(log_step, log_step, zeros, zeros, tf.math.log(10.0 * tf.exp(log_step)))


def start_mass(chains: int, dim: int, dtype: Any, *, dense: bool) -> Mass:
    """The identity."""
    one = tf.ones((chains, dim), dtype)
    inverse = tf.linalg.diag(one) if dense else one
    return Mass(
        inverse=inverse,
        factor=inverse,
        count=tf.zeros((chains,), dtype),
        mean=tf.zeros((chains, dim), dtype),
        moment=tf.zeros_like(inverse),
    )


def update_moments(mass: Mass, z: tf.Tensor) -> Mass:
    """Add the states ``z [chain, D]`` to the running moments (Welford 1962)."""
    count = mass.count + 1.0
    before = z - mass.mean
    mean = mass.mean + before / count[:, tf.newaxis]
    after = z - mean
    if is_dense(mass):
        moment = mass.moment + before[:, :, tf.newaxis] * after[:, tf.newaxis, :]
    else:
        moment = mass.moment + before * after
    return mass._replace(count=count, mean=mean, moment=moment)


def renew_mass(mass: Mass) -> Mass:
    """The regularised (co)variance of the window just ended, and moments that begin anew.

    Stan adds a thousandth, whatever the unit: too much where a posterior's standard deviation is
    1e-5. Here it is a thousandth of the variance that the last window gave, so that over the
    windows the matrix finds any scale.
    """
    count = mass.count
    share = count / (count + 5.0)
    scale = 1.0 / tf.maximum(count - 1.0, 1.0)
    if is_dense(mass):
        covariance = mass.moment * scale[:, tf.newaxis, tf.newaxis]
        before = tf.linalg.diag(tf.linalg.diag_part(mass.inverse))
        small = 1e-3 * (1.0 - share)[:, tf.newaxis, tf.newaxis] * before
        inverse = share[:, tf.newaxis, tf.newaxis] * covariance + small
        factor = tf.linalg.cholesky(inverse)
        whole = tf.reduce_all(tf.math.is_finite(factor), axis=(1, 2))
        diagonal = tf.linalg.diag_part(inverse)  # where rounding leaves no Cholesky factor
        apart = tf.linalg.diag(diagonal), tf.linalg.diag(tf.sqrt(diagonal))
        inverse, factor = choose(whole, (inverse, factor), apart)
    else:
        variance = mass.moment * scale[:, tf.newaxis]
        small = 1e-3 * (1.0 - share)[:, tf.newaxis] * mass.inverse
        inverse = share[:, tf.newaxis] * variance + small
        factor = tf.sqrt(inverse)
    zeros = tf.nest.map_structure(tf.zeros_like, (mass.count, mass.mean, mass.moment))
    return Mass(inverse, factor, *zeros)


def is_dense(mass: Mass) -> bool:
    """Whether the mass matrix is dense."""
    return mass.inverse.shape.rank == 3


def velocity(mass: Mass, momentum: tf.Tensor) -> tf.Tensor:
    """``M^-1 r`` for momenta ``[chain, D]`` (or ``[k, chain, D]``)."""
    if is_dense(mass):
        return tf.einsum("cij,...cj->...ci", mass.inverse, momentum)
    return mass.inverse * momentum


def momentum_from(mass: Mass, noise: tf.Tensor) -> tf.Tensor:
    """Momenta ``r ~ N(0, M)`` from standard normal noise ``[chain, D]``."""
    if is_dense(mass):  # M = (F F')^-1, so r = F'^-1 noise
        solved = tf.linalg.triangular_solve(
            mass.factor, noise[..., tf.newaxis], lower=True, adjoint=True
        )
        return solved[..., 0]
    return noise / mass.factor
