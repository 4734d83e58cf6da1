"""The options of the linear regressions."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Config, Field
from tfbdl.config import Array


class BasisOptions(Config):
    """The columns that the weights multiply."""

    intercept: bool = Field(
        True,
        description="A constant beside the columns, with a flat prior; columns and targets are "
        "centred, as in scikit-learn's BayesianRidge. False: the columns alone.",
    )
    basis: Literal["identity", "polynomial", "gaussian", "sigmoid", "fourier"] = Field(
        "identity", description="Functions of each input that are the columns."
    )
    degree: int = Field(3, ge=1, description="Highest power of the polynomial basis.")
    num_basis: int = Field(
        9,
        ge=1,
        description="Functions of each input in the gaussian and sigmoid bases; pairs of sine and "
        "cosine in the fourier basis.",
    )
    width: float | None = Field(
        None,
        gt=0,
        description="Of the gaussian and sigmoid functions, in units of the inputs; none: the "
        "distance of their neighbours on the grid, at rows half the median distance.",
    )
    period: float | None = Field(
        None,
        gt=0,
        description="Of the slowest wave of the fourier basis; none: the length of the domain.",
    )
    domain: tuple[float, ...] | None = Field(
        None,
        description="Lowest and highest input, between which functions are spread; none: two "
        "standard deviations of the training rows to each side of their mean.",
    )
    standardize: bool = Field(
        False,
        description="Shift and scale each input to mean 0 and standard deviation 1 over the "
        "training rows first; weights and domain are then those of standardised inputs.",
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Of the data, of draws and of the log joint."
    )

    @pydantic.model_validator(mode="after")
    def _two_ends(self) -> BasisOptions:
        if self.domain is not None and not (
            len(self.domain) == 2 and self.domain[0] < self.domain[1]
        ):
            raise ValueError(f"domain must be two numbers that rise, not {self.domain}")
        return self

    @property
    def at_rows(self) -> bool:
        """Whether a function stands at each training row."""
        return False


class RegressionOptions(BasisOptions):
    """The columns of a regression, which may stand at rows."""

    centers: Literal["grid", "rows"] = Field(
        "grid",
        description="Where gaussian functions stand: evenly along each input, or at each training "
        "row (of all inputs, as in the relevance vector machine; engine exact).",
    )

    @pydantic.model_validator(mode="after")
    def _gaussian_at_rows(self) -> RegressionOptions:
        if self.centers == "rows" and self.basis != "gaussian":
            raise ValueError(f"centers='rows' is for basis='gaussian', not {self.basis!r}")
        return self

    @property
    def at_rows(self) -> bool:
        """Whether a function stands at each training row."""
        return self.centers == "rows"


class LinearOptions(RegressionOptions):
    """Of Bayesian linear regression in closed form."""

    alpha: float | None = Field(
        None, gt=0, description="Precision of the weights' prior; none: by evidence."
    )
    beta: float | None = Field(None, gt=0, description="Precision of the noise; none: by evidence.")
    m0: Array | None = Field(
        None, description="Prior mean of the weights, one for each column; none: zeros."
    )
    S0: Array | None = Field(
        None,
        description="Prior covariance of the weights, columns by columns, in place of alpha.",
    )
    noise_prior: Literal["point", "gamma"] = Field(
        "point",
        description="point: beta is a number. gamma: beta has the prior Gamma(c0, rate d0), and "
        "the weights' prior covariance is divided by it (normal-inverse-gamma).",
    )
    c0: float = Field(1e-6, gt=0, description="Shape of the gamma prior of beta.")
    d0: float = Field(1e-6, gt=0, description="Rate of the gamma prior of beta.")

    @pydantic.model_validator(mode="after")
    def _one_prior(self) -> LinearOptions:
        if self.S0 is not None and self.alpha is not None:
            raise ValueError("alpha and S0 both give the weights' prior covariance: give one")
        if self.noise_prior == "gamma" and self.beta is not None:
            raise ValueError("beta is a number or has a gamma prior: give beta or noise_prior")
        return self


class LinearFullOptions(RegressionOptions):
    """Of linear regression with gamma priors over both precisions."""

    a0: float = Field(1e-6, gt=0, description="Shape of the gamma prior of alpha.")
    b0: float = Field(1e-6, gt=0, description="Rate of the gamma prior of alpha.")
    c0: float = Field(1e-6, gt=0, description="Shape of the gamma prior of beta.")
    d0: float = Field(1e-6, gt=0, description="Rate of the gamma prior of beta.")


class ArdOptions(RegressionOptions):
    """Of linear regression with a prior precision for each column."""

    beta: float | None = Field(None, gt=0, description="Precision of the noise; none: by evidence.")
    alpha_max: float = Field(
        1e6,
        gt=0,
        description="A column is pruned when its precision passes this, in units of columns and "
        "targets of mean square 1.",
    )
    tolerance: float = Field(
        1e-6, gt=0, description="Relative change of each precision at which the search ends."
    )
    steps: int = Field(5000, ge=1, description="Steps of the search, at most.")
