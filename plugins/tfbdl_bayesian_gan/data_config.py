"""The options of the simulated data of this plugin."""

from __future__ import annotations

from tfbdl import Config, Field


class SyntheticOptions(Config):
    """Clusters on planes of their own in many dimensions."""

    num_rows: int = Field(10_000, ge=2, description="Rows to train on.")
    num_test: int = Field(2_000, ge=0, description="Rows held out.")
    dimensions: int = Field(100, ge=2, description="Columns of a row.")
    clusters: int = Field(10, ge=1, description="Modes, of equal weight.")
    cluster_seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of the clusters and of the rows drawn from them."
    )
