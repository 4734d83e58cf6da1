"""The options of fields over images."""

from __future__ import annotations

from tfbdl import Config, Field


class GridOptions(Config):
    """The grid and how strongly its neighbours agree."""

    beta: float = Field(
        1.0, description="What equal labels of two neighbours add to the log density, in nats."
    )
    shape: tuple[int, ...] | None = Field(
        None,
        description="Sites along each axis of the grid, where the rows of the data are its sites, "
        "line by line; none: the data are an image [height, width] or [height, width, channel].",
    )
    periodic: bool = Field(
        False, description="Whether the ends of each axis are neighbours, as on a torus."
    )


class PottsOptions(GridOptions):
    """Of a field whose number of labels is known."""

    num_states: int = Field(4, ge=1, description="Labels, each with a normal distribution.")
    variance_floor: float = Field(
        1e-4,
        gt=0,
        description="Smallest variance of a label in any direction, in variances of the columns.",
    )


class DirichletPottsOptions(GridOptions):
    """Of a field that finds the number of its labels."""

    concentration: float = Field(
        1.0, gt=0, description="Of the Dirichlet process: more gives more segments."
    )
    kappa0: float = Field(0.01, gt=0, description="Sites that a segment's prior mean is worth.")
    a0: float = Field(
        2.0, gt=0, description="Shape of the inverse gamma prior of a segment's variances."
    )
    b0_share: float = Field(
        0.1,
        gt=0,
        description="Its scale, in variances of the columns over all sites: the larger, the "
        "wider segments are.",
    )
    decorrelate: bool = Field(
        True,
        description="Turn the columns into their principal axes first: a segment's columns are "
        "taken to be independent.",
    )
