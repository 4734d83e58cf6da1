"""What filters answer, as NumPy arrays.

``[n, ...]`` stands for the axis of sequences; it is absent where one sequence alone was given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, kw_only=True)
class _Arrays:
    """Arrays ``[n, ...]`` that are answered for one sequence or several."""

    def of(self, single: bool) -> Self:
        """Without the axis of sequences, if there is one alone."""
        if not single:
            return self
        values: dict[str, Any] = {}
        for part in fields(self):
            first = getattr(self, part.name)[0]
            values[part.name] = float(first) if np.ndim(first) == 0 else first
        return type(self)(**values)


@dataclass(frozen=True, kw_only=True)
class FilteredStates(_Arrays):
    """States given what was observed up to them.

    Attributes:
        means: ``E[x_t | y_1..t]``, ``[n, T, d]``.
        covariances: ``[n, T, d, d]``.
        predicted_means: ``E[x_t | y_1..t-1]``, ``[n, T, d]``.
        predicted_covariances: ``[n, T, d, d]``.
        gains: How far an observation moves the state, ``[n, T, d, m]``; 0 where it is missing.
        log_likelihood: ``log p(y)`` in nats, ``[n]``.
        increments: ``log p(y_t | y_1..t-1)`` in nats, ``[n, T]``.
    """

    means: np.ndarray
    covariances: np.ndarray
    predicted_means: np.ndarray
    predicted_covariances: np.ndarray
    gains: np.ndarray
    log_likelihood: np.ndarray | float
    increments: np.ndarray


@dataclass(frozen=True, kw_only=True)
class LearnedStates(FilteredStates):
    """What a filter with learned noise finds; see FilteredStates.

    Of random weights all means, covariances and gains are of the draws with equal weights: those
    that the training data give. ``increments`` are of the same mixture, whose parts count by how
    well they have foreseen the sequence so far, so that they add up to ``log p(y)``.

    Attributes:
        observation_means: ``H`` times the predicted means, ``[n, T, m]``.
        observation_covariances: ``S_t = H P_t|t-1 H' + R_t``, ``[n, T, m, m]``; with
            ``observation_means`` what ``evaluation.nis`` takes.
    """

    observation_means: np.ndarray
    observation_covariances: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SmoothedStates(_Arrays):
    """States given all that was observed.

    Attributes:
        means: ``E[x_t | y]``, ``[n, T, d]``.
        covariances: ``[n, T, d, d]``.
        lag_covariances: ``Cov[x_t+1, x_t | y]``, ``[n, T - 1, d, d]``.
        log_likelihood: ``log p(y)`` in nats, ``[n]``.
    """

    means: np.ndarray
    covariances: np.ndarray
    lag_covariances: np.ndarray
    log_likelihood: np.ndarray | float


@dataclass(frozen=True, kw_only=True)
class Forecast(_Arrays):
    """States and observations after the last one seen.

    Attributes:
        means: Of the states, ``[n, steps, d]``.
        covariances: ``[n, steps, d, d]``.
        observation_means: ``[n, steps, m]``.
        observation_covariances: With the noise of the observation, ``[n, steps, m, m]``.
    """

    means: np.ndarray
    covariances: np.ndarray
    observation_means: np.ndarray
    observation_covariances: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ParticleStates(_Arrays):
    """States given what was observed up to them, by weighted particles.

    Attributes:
        means: ``E[x_t | y_1..t]``, ``[n, T, d]``.
        covariances: ``[n, T, d, d]``.
        predicted_means: ``E[x_t | y_1..t-1]``, ``[n, T, d]``.
        predicted_covariances: ``[n, T, d, d]``.
        log_likelihood: The logarithm of an estimate of ``p(y)`` without bias, in nats, ``[n]``.
        increments: Its parts, step by step, ``[n, T]``.
        effective_sample_size: Equal particles that the weighted ones are worth, ``[n, T]``.
    """

    means: np.ndarray
    covariances: np.ndarray
    predicted_means: np.ndarray
    predicted_covariances: np.ndarray
    log_likelihood: np.ndarray | float
    increments: np.ndarray
    effective_sample_size: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Particles(_Arrays):
    """The particles of a filter.

    Attributes:
        states: ``[n, T, particle, d]``.
        log_weights: Normalised, ``[n, T, particle]``.
        ancestors: Which particle of a step each of the next one comes from, ``[n, T, particle]``.
    """

    states: np.ndarray
    log_weights: np.ndarray
    ancestors: np.ndarray
