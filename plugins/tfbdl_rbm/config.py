"""The options of a restricted Boltzmann machine."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class RBMOptions(Config):
    """Its units, and the chain that stands for the model in training."""

    num_hidden: int = Field(64, ge=1, description="Hidden units, each 0 or 1.")
    visible: Literal["binary", "gaussian"] = Field(
        "binary",
        description="Visible units: 0 or 1 (values between are taken as probabilities), or real "
        "numbers, which are standardised by the moments of the data.",
    )
    grey: Literal["mean", "sample"] = Field(
        "mean",
        description="A value strictly between 0 and 1 of a binary unit enters training as it is, "
        "or is drawn as 0 or 1 anew at each step.",
    )
    noise_scale: float = Field(
        1.0,
        gt=0,
        description="Of Gaussian units: standard deviation given the hidden units, in standard "
        "deviations of the data.",
    )
    training: Literal["cd", "pcd"] = Field(
        "cd",
        description="Contrastive divergence, whose chains start at the data of each step, or "
        "persistent, whose chains go on from step to step.",
    )
    k: int = Field(1, ge=1, description="Gibbs steps of the chains in a training step.")
    num_chains: int = Field(100, ge=1, description="Chains of persistent training.")
    weight_scale: float = Field(
        0.01, gt=0, description="Standard deviation of the first weights, which are normal."
    )
