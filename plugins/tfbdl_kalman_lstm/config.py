"""The options of the model ``kalman``."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Array

Structure = Literal["full", "diagonal", "scalar"]


class KalmanOptions(Config):
    """The form of the model, what of it is given, and the prior that Bayesian engines use."""

    form: Literal["local_level", "local_trend", "free"] = Field(
        "local_level",
        description="local_level: each observation is a random walk and noise; local_trend: the "
        "walk has a slope that walks too; free: all matrices are open.",
    )
    state_dim: int | None = Field(
        None,
        ge=1,
        description="Size of a state, of form free. None: as given matrices say, else that of an "
        "observation.",
    )
    A: Array | None = Field(None, description="Transition, [d, d]; a number where d is 1.")
    B: Array | None = Field(None, description="Constant offset of the transition, [d].")
    H: Array | None = Field(None, description="Observation, [m, d].")
    Q: Array | None = Field(None, description="Covariance of the process noise, [d, d].")
    R: Array | None = Field(None, description="Covariance of the observation noise, [m, m].")
    m0: Array | None = Field(
        None, description="Mean of the first state before its observation, [d]."
    )
    P0: Array | None = Field(None, description="Its covariance, [d, d].")
    learned: tuple[str, ...] | None = Field(
        None,
        description="What the data decide, of A, B, H, Q, R, m0, P0; a given one is then the "
        "start. None: what neither the form nor an option gives; m0 only of form free, and P0 only "
        "of several sequences of it, else the start is diffuse.",
    )
    Q_structure: Structure = Field(
        "full", description="Of a learned Q; scalar: the identity times one variance."
    )
    R_structure: Structure = Field("full", description="Of a learned R.")
    diffuse_scale: float = Field(
        1e4,
        gt=0,
        description="Variance of the first state where P0 is neither given nor learned, in units "
        "of the variance of the data. Wider costs digits.",
    )
    variance_floor: float = Field(
        1e-9, gt=0, description="Smallest eigenvalue of a learned covariance, by engine em."
    )
    dtype: Literal["float64"] = Field(
        "float64", description="Of all computations: covariances need the digits."
    )
    A_scale: float = Field(
        1.0, gt=0, description="Prior: A's elements are normal about the identity's, with this sd."
    )
    B_scale: float = Field(
        1.0,
        gt=0,
        description="Prior: sd of B's elements about the offset that lets a state rest at the "
        "data's mean, in sd of the data.",
    )
    H_scale: float = Field(1.0, gt=0, description="Prior: sd of H's elements about the identity's.")
    m0_scale: float = Field(
        10.0, gt=0, description="Prior: sd of m0 about the data's mean, in sd of the data."
    )
    Q_scale: float = Field(
        1.0,
        gt=0,
        description="Prior: scale of the half-normal sd of the process noise, in sd of the data. "
        "Correlations of a full covariance are uniform (LKJ).",
    )
    R_scale: float = Field(1.0, gt=0, description="Prior: the same of the observation noise.")
    P0_scale: float = Field(1.0, gt=0, description="Prior: the same of a learned P0.")
