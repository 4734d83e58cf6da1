"""The options."""

from __future__ import annotations

import tfbdl


class BarkerOptions(tfbdl.Config):
    """Options of the engine ``barker``."""

    chains: int = tfbdl.Field(4, ge=1, description="Chains, each from a start of its own.")
    warmup: int = tfbdl.Field(500, ge=0, description="Steps of each chain that are dropped.")
    draws: int = tfbdl.Field(1000, ge=1, description="Draws of each chain that are kept.")
    thin: int = tfbdl.Field(1, ge=1, description="Steps for each draw that is kept.")
    step_size: float = tfbdl.Field(
        0.1, gt=0, description="Standard deviation of a step, in the unconstrained space."
    )


class LogisticOptions(tfbdl.Config):
    """Options of the prior ``logistic``."""

    scale: float = tfbdl.Field(
        1.0, gt=0, description="Of each element; the standard deviation is pi / sqrt(3) times it."
    )
