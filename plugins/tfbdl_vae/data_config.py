"""The options of the data set of simulated shapes."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class Shapes2DOptions(Config):
    """Simulated shapes with their factors."""

    variant: Literal["three", "five"] = Field(
        "three",
        description="What varies; three: scale and position of a square (2,048 images), five: "
        "shape, scale, orientation and position (92,160 images).",
    )
    flat: bool = Field(False, description="Rows of 1,024 pixels; otherwise images of 32 x 32 x 1.")
    num_rows: int | None = Field(
        None, ge=1, description="Draw so many images, none twice; none: all of them, in order."
    )
    sample_seed: int = Field(0, ge=0, lt=2**32, description="Seed of that draw.")
    test_fraction: float = Field(
        0.1, ge=0.0, lt=1.0, description="Share of the rows held out for testing; 0: none."
    )
    split: int = Field(
        0, ge=0, lt=2**32, description="Seed of the division into training and test rows."
    )
