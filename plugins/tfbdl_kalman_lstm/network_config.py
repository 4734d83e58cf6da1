"""The options of learned filters."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class TrainedFilterOptions(Config):
    """What learned filters share."""

    state_dim: int | None = Field(
        None,
        ge=1,
        description="Size of a state; none: that of the states given as targets, else of an "
        "observation.",
    )
    truncate: int | None = Field(
        None,
        ge=1,
        description="Steps after which gradients are cut (truncated back-propagation); none: "
        "never.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="Precision of states, covariances and weights."
    )


class LSTMKalmanOptions(TrainedFilterOptions):
    """A Kalman filter whose motion and noise are LSTMs."""

    units: tuple[int, ...] = Field((64,), description="Units of each LSTM of the motion.")
    noise_units: tuple[int, ...] = Field(
        (32,), description="Units of each LSTM of the process and the observation noise."
    )
    residual: bool = Field(True, description="Let the LSTM give the change of the state.")
    process_variance: float = Field(
        0.01, gt=0, description="Where Q starts, in variances of the states."
    )
    observation_variance: float = Field(
        0.01, gt=0, description="Where R starts, in variances of the observations."
    )
    objective: Literal["auto", "squared", "likelihood"] = Field(
        "auto",
        description="Squared error of the states, or negative log-likelihood of the observations; "
        "auto: the first where states are given.",
    )
    prediction_weight: float = Field(
        0.8, ge=0, description="Weight of the predicted states in the squared error."
    )
    forget_bias: float = Field(1.0, description="Start of the forget gates' bias.")
    normalize: bool = Field(
        True, description="Give the nets numbers of mean 0 and standard deviation 1."
    )
    bayesian: bool = Field(
        False, description="Give the weights of the motion a posterior; by likelihood alone."
    )
    draws: int = Field(16, ge=1, description="Draws of these weights that a filter runs with.")
    prior_scale: float = Field(
        1.0, gt=0, description="Standard deviation of the normal prior of these weights."
    )


class KalmanNetOptions(TrainedFilterOptions):
    """A filter of known motion whose gain a GRU gives."""

    dynamics: Literal["random_walk", "lorenz", "pendulum", "track"] = Field(
        "random_walk", description="How a state moves and what is seen of it, without noise."
    )
    units: int | None = Field(
        None, ge=1, description="Units of the GRU; none: 10 (d^2 + m^2) of state and observation."
    )
    hidden: int | None = Field(
        None, ge=1, description="Units of the dense layers around it; none: as many."
    )
    objective: Literal["auto", "squared", "prediction"] = Field(
        "auto",
        description="Squared error of the states, or of the observations by the step before; "
        "auto: the first where states are given.",
    )
