"""The options of the models ``ekf``, ``ukf`` and ``particle``."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Array


class NonlinearOptions(Config):
    """The system, how noisy it is, and what is drawn from the posterior of its states."""

    dynamics: Literal["track", "lorenz", "pendulum"] = Field(
        "track",
        description="track: nearly constant velocity, the positions are seen; lorenz: the Lorenz "
        "attractor, the first coordinates are seen; pendulum: the sine of its angle is seen. The "
        "data say how many are seen.",
    )
    q2: float | None = Field(
        None,
        gt=0,
        description="Variance of the process noise: of a step (lorenz), or of the change of "
        "velocity in a unit of time. None: 0.01 (pendulum: 0.1).",
    )
    r2: float | None = Field(
        None, gt=0, description="Variance of the observation noise. None: 1 (pendulum: 0.01)."
    )
    dt: float | None = Field(
        None, gt=0, description="Time between two steps. None: track 1, lorenz 0.02, pendulum 0.05."
    )
    order: int = Field(
        5, ge=1, le=20, description="Of lorenz: terms of the Taylor series of a step."
    )
    m0: Array | None = Field(
        None, description="Mean of the first state before its observation, [d]. None: the system's."
    )
    P0: Array | None = Field(None, description="Its covariance, [d, d]. None: the system's.")
    paths: int = Field(
        200,
        ge=0,
        description="Paths of states to draw for fit.posterior; 0: none, the moments alone.",
    )
    dtype: Literal["float64"] = Field(
        "float64", description="Of all computations: covariances need the digits."
    )


class ExtendedOptions(NonlinearOptions):
    """The extended Kalman filter."""

    iterations: int = Field(
        1,
        ge=1,
        le=20,
        description="How often an observation is made linear; above 1: the iterated filter.",
    )


class UnscentedOptions(NonlinearOptions):
    """The unscented Kalman filter."""

    alpha: float = Field(1.0, gt=0, description="How far out the sigma points lie.")
    beta: float = Field(2.0, ge=0, description="What is known of the shape; 2: a Gaussian.")
    kappa: float = Field(0.0, ge=0, description="A second measure of how far out they lie.")


class ParticleOptions(NonlinearOptions):
    """The particle filter."""

    num_particles: int = Field(1_000, ge=1, description="Of each sequence.")
    method: Literal["bootstrap", "auxiliary"] = Field(
        "bootstrap",
        description="auxiliary: particles that foresee the next observation are preferred.",
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Particles are chosen anew where they are worth fewer than this share of them.",
    )
    resampling: Literal["systematic", "stratified", "residual", "multinomial"] = Field(
        "systematic", description="How particles are chosen anew."
    )
