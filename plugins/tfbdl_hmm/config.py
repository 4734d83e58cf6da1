"""The options of hidden Markov models."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Array


class HMMOptions(Config):
    """States, what is observed of them, and the prior that Bayesian engines use."""

    num_states: int = Field(2, ge=1, description="States of the hidden chain.")
    emission: Literal["gaussian", "categorical"] = Field(
        "gaussian", description="Distribution of an observation given its state."
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="Of Gaussian observations within a state."
    )
    num_symbols: int | None = Field(
        None,
        ge=1,
        description="Of categorical observations, numbered from 0. None: engine em takes the "
        "largest that it sees; other engines must be told.",
    )
    variance_floor: float = Field(
        1e-6, gt=0, description="Smallest eigenvalue of a covariance that engine em admits."
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Of all computations.")
    initial_concentration: float = Field(
        1.0, gt=0, description="Prior: Dirichlet parameter of the first state's distribution."
    )
    transition_concentration: float = Field(
        1.0, gt=0, description="Prior: Dirichlet parameter of each row of the transition matrix."
    )
    stickiness: float = Field(
        0.0, ge=0, description="Prior: added to the parameter of staying in the same state."
    )
    probs_concentration: float = Field(
        1.0, gt=0, description="Prior: Dirichlet parameter of each state's symbols."
    )
    m0: Array | None = Field(
        None, description="Prior: centre of the means, [d]. None: the mean of the data."
    )
    kappa0: float = Field(
        0.01, gt=0, description="Prior: observations that the belief in m0 is worth."
    )
    nu0: float | None = Field(
        None,
        gt=0,
        description="Prior: degrees of freedom of the covariances, above d - 1. None: d + 2, so "
        "that their mean is Psi0 (a variance's: 3).",
    )
    Psi0: Array | None = Field(
        None,
        description="Prior: scale of the covariances, [d, d], or its diagonal, [d]. None: the "
        "diagonal of the data's variances.",
    )
