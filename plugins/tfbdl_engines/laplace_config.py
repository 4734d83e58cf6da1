"""The options of Laplace's approximation."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class LaplaceOptions(Config):
    """Of the search for the mode."""

    restarts: int = Field(
        1, ge=1, description="Starts of the search, of which the highest mode counts."
    )
    max_steps: int = Field(
        200, ge=1, description="Newton steps of a start after which the search is given up."
    )
    tolerance: float = Field(
        1e-10,
        gt=0,
        description="The search ends where a step would gain less, in nats; never less than the "
        "rounding error of the log joint.",
    )
    dtype: Literal["auto", "float32", "float64"] = Field(
        "auto",
        description="Of parameters, data and log joint. auto: as the model is; a network is copied "
        "into another, any other model must be built in it.",
    )
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )
