"""The options of the model ``dpp_net``."""

from __future__ import annotations

from tfbdl import Field

from .config import KDPPOptions


class DPPNetOptions(KDPPOptions):
    """A k-DPP, and the net that stands in for it."""

    hidden: tuple[int, ...] = Field((128, 128), description="Units of the hidden layers.")
    steps: int = Field(1_000, ge=1, description="Steps of Adam.")
    batch_size: int = Field(128, ge=1, description="Exact draws in a step.")
    exact_draws: int = Field(10_000, ge=1, description="Exact draws that the net learns from.")
    learning_rate: float = Field(2e-3, gt=0, description="At the start; it falls to zero.")
    net_seed: int = Field(0, ge=0, description="Of the net's weights and of what it learns from.")
