"""The options of k-means, PCA and probabilistic PCA."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class KMeansOptions(Config):
    """How many clusters."""

    num_clusters: int = Field(3, ge=1, description="Number of clusters.")
    dtype: Literal["float64", "float32"] = Field("float64", description="Of all arrays.")


class PCAOptions(Config):
    """How many principal axes to keep; all of them where neither is given."""

    latent_dim: int | None = Field(None, ge=1, description="Number of principal axes to keep.")
    explained_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Keep as few axes as explain at least this share of the variance.",
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Of all arrays.")


class PPCAOptions(Config):
    """Size of the latent space, and how small the noise may become."""

    latent_dim: int = Field(2, ge=1, description="Size of the latent space; below the columns.")
    noise_floor: float = Field(
        1e-6,
        gt=0,
        description="Smallest variance of the noise, in squared units of the data; times the mean "
        "variance of a column where that is below one.",
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Of all arrays.")
