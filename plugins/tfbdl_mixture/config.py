"""The options of Gaussian mixtures."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class GmmOptions(Config):
    """How many components, and the form of their covariances."""

    num_components: int = Field(2, ge=1, description="Components of the mixture.")
    covariance: Literal["full", "tied", "diagonal", "spherical"] = Field(
        "full",
        description="Each component has a matrix; all have one; each has a variance for each "
        "column; each has one variance.",
    )
    variance_floor: float = Field(
        1e-6,
        gt=0,
        description="Smallest variance of a component in any direction, in squared units of the "
        "data; times the variance of a column where that is below one, and never below 1e-9 of "
        "it (float32: 1e-5).",
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Precision; float32 takes half the time and three digits less."
    )
