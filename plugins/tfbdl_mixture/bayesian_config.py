"""The options of the Bayesian mixtures."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Array


class GaussWishartOptions(Config):
    """The prior of each component's mean and precision."""

    beta0: float = Field(1.0, gt=0, description="Rows that the prior mean of a component is worth.")
    nu0: float | None = Field(
        None,
        gt=0,
        description="Degrees of freedom of the Wishart prior, above d - 1; none: d, the number of "
        "columns.",
    )
    m0: Array | None = Field(
        None, description="Prior mean of a component, d numbers; none: the mean of the rows."
    )
    W0: Array | None = Field(
        None,
        description="Scale matrix of the Wishart prior, d x d: a precision is nu0 W0 on average; "
        "none: the inverse of the rows' covariance.",
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Precision of the data and of all that is computed."
    )


class BayesianGMMOptions(GaussWishartOptions):
    """Of a mixture with a Dirichlet prior on its weights."""

    num_components: int = Field(
        10, ge=1, description="Components at the most; superfluous ones lose their rows."
    )
    alpha0: float | None = Field(
        None,
        gt=0,
        description="Concentration of the Dirichlet prior; well below 1 it empties components; "
        "none: 1 / num_components.",
    )


class DPMixtureOptions(GaussWishartOptions):
    """Of a Dirichlet process mixture."""

    truncation: int = Field(
        20, ge=2, description="Sticks of the variational posterior; slots of the Gibbs sampler."
    )
    concentration: float | None = Field(
        1.0, gt=0, description="Of the Dirichlet process; none: learned, with a gamma prior."
    )
    concentration_shape: float = Field(
        1.0, gt=0, description="Shape of the gamma prior of a learned concentration."
    )
    concentration_rate: float = Field(
        1.0, gt=0, description="Rate of the gamma prior of a learned concentration."
    )
