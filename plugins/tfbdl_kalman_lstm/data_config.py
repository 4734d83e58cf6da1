"""The options of the data sets of this plugin."""

from __future__ import annotations

from typing import Literal, cast

from tfbdl import Config, Field
from tfbdl.config import Array

SEED_LIMIT = 2**32


class SeriesOptions(Config):
    """A real series, as one sequence."""

    missing: float = Field(
        0.0, ge=0, lt=1, description="Share of the observations that are taken out at random."
    )
    missing_seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="Seed of that choice.")


class SimulatedOptions(Config):
    """Sequences of a simulator, with the states behind them as targets."""

    num_sequences: int = Field(100, ge=1, description="Sequences to train on.")
    num_test: int = Field(50, ge=0, description="Sequences held out.")
    steps: int = Field(100, ge=2, description="Length of a sequence.")
    missing: float = Field(
        0.0, ge=0, lt=1, description="Share of training observations that are missing."
    )
    missing_test: float = Field(
        0.0, ge=0, lt=1, description="Share of test observations that are missing."
    )
    noise_seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="Seed of states and noise.")


class LorenzOptions(SimulatedOptions):
    """The Lorenz attractor with noise in its motion and in what is seen of it."""

    r2: float = Field(1.0, description="Variance of the observations' noise; in dB if unit is dB.")
    q2: float = Field(0.01, description="Variance of the noise of a step; in dB if unit is dB.")
    unit: Literal["plain", "dB"] = Field(
        "plain", description="Of r2 and q2; dB: 10 log10 of the variance."
    )
    dt: float = Field(0.02, gt=0, description="Time between two steps.")
    order: int = Field(5, ge=1, le=20, description="Terms of the Taylor series of a step.")
    num_observed: int = Field(3, ge=1, le=3, description="How many coordinates are observed.")


class PendulumOptions(SimulatedOptions):
    """A pendulum of which the horizontal position is seen."""

    r2: float = Field(0.01, gt=0, description="Variance of the observations' noise.")
    q2: float = Field(0.1, gt=0, description="Variance of the pushes in a second.")
    dt: float = Field(0.05, gt=0, description="Seconds between two steps.")


class TrackOptions(SimulatedOptions):
    """A body in the plane with almost constant velocity, of which the position is seen."""

    r2: float = Field(1.0, gt=0, description="Variance of the observations' noise.")
    q2: float = Field(0.01, gt=0, description="Variance of the velocity's change in a second.")
    dt: float = Field(1.0, gt=0, description="Seconds between two steps.")


class LinearGaussianOptions(SimulatedOptions):
    """A linear Gaussian model of your own; by default a level and its slope, both seen."""

    A: Array = Field(cast("Array", ((1.0, 1.0), (0.0, 1.0))), description="Transition, [d, d].")
    H: Array = Field(cast("Array", ((1.0, 0.0), (0.0, 1.0))), description="Observation, [m, d].")
    Q: Array | None = Field(
        None, description="Covariance of the process noise, [d, d]; none: 0.01 times the identity."
    )
    R: Array | None = Field(
        None, description="Covariance of the observation noise, [m, m]; none: the identity."
    )
    m0: Array | None = Field(None, description="Mean of the first state, [d]; none: 0.")
    P0: Array | None = Field(
        None, description="Covariance of the first state, [d, d]; none: the identity."
    )
