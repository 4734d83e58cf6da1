"""The options of Pathfinder."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class PathfinderOptions(Config):
    """Of the paths, and of the draws."""

    paths: int = Field(4, ge=1, description="Paths, each from a start of its own.")
    draws: int = Field(1_000, ge=1, description="Draws of the posterior.")
    path_draws: int = Field(
        1_000, ge=1, description="Draws of each path, from which those of the posterior are chosen."
    )
    elbo_draws: int = Field(100, ge=1, description="Draws behind the ELBO of a normal.")
    history: int = Field(6, ge=1, description="Steps that an inverse Hessian remembers.")
    max_steps: int = Field(1_000, ge=1, description="Steps of a path at most.")
    tolerance: float = Field(
        1e-13, gt=0, description="A path ends where the log density changes by less, relatively."
    )
    start: Literal["model", "prior", "uniform"] = Field(
        "model",
        description="Where paths begin: the model's own start, draws from the prior, or uniform "
        "from -2 to 2 in the unconstrained space.",
    )
    dtype: Literal["auto", "float32", "float64"] = Field(
        "auto",
        description="Of parameters, data and log joint. auto: as the model is; a network is copied "
        "into another, any other model must be built in it.",
    )
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )
