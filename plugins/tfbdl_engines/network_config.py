"""The options of the engines that train copies of a net: deep ensembles and MC dropout."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Config, Field


class TrainingOptions(Config):
    """How a net is trained."""

    steps: int = Field(8_000, ge=1, description="Training steps of each net.")
    epochs: int | None = Field(
        None,
        ge=1,
        description="Passes of each net over the data; takes precedence over steps.",
    )
    batch_size: int = Field(128, ge=1, description="Rows of a training step.")
    learning_rate: float = Field(1e-2, gt=0, description="Of Adam.")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="Keep the learning rate, or let it fall to zero along a cosine."
    )
    objective: Literal["map", "likelihood"] = Field(
        "map",
        description="Maximise the log joint, in which the prior holds the weights, or the log "
        "likelihood alone.",
    )
    checkpoint_seconds: float = Field(30.0, ge=0, description="Minimum time between checkpoints.")
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )


class EnsembleOptions(TrainingOptions):
    """Of a deep ensemble."""

    members: int = Field(5, ge=1, description="Nets, each with its own start and order of data.")


class SwagOptions(TrainingOptions):
    """Of SWAG: a training, then snapshots of the weights on a path that goes on."""

    steps: int = Field(
        8_000, ge=0, description="Training steps before the first snapshot; 0: none."
    )
    snapshots: int = Field(40, ge=2, description="Weights whose moments make the posterior.")
    every: int | None = Field(
        None,
        ge=1,
        description="Steps from one snapshot to the next; none: a pass over the data, of 100 steps "
        "at least.",
    )
    rank: int = Field(
        20,
        ge=0,
        description="Of the last snapshots so many deviations from the mean count; 0: a diagonal "
        "covariance.",
    )
    optimizer: Literal["sgd", "adam"] = Field(
        "adam",
        description="Of the path of snapshots; sgd, as in the paper, wants a snapshot_rate that "
        "fits the curvature of the loss, and runs away where a learned noise is small.",
    )
    snapshot_rate: float = Field(
        1e-2, gt=0, description="Learning rate of the path; the highest of a cycle."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Of sgd.")
    path: Literal["constant", "cyclical"] = Field(
        "constant",
        description="Keep the learning rate of the path, or let it fall from one snapshot to the "
        "next and begin again.",
    )
    lowest_rate: float = Field(1e-5, gt=0, description="At the end of a cycle.")

    @pydantic.model_validator(mode="after")
    def _falling(self) -> SwagOptions:
        if self.path == "cyclical" and self.lowest_rate > self.snapshot_rate:
            raise ValueError("lowest_rate must not be above snapshot_rate")
        if self.rank == 1:
            raise ValueError("rank must be 0, or at least 2: one deviation has no covariance")
        return self


class DropoutOptions(TrainingOptions):
    """Of Monte Carlo dropout."""

    draws: int = Field(100, ge=1, description="Masks: draws of the posterior.")
    length_scale: float | None = Field(
        None,
        gt=0,
        description="Prior length scale l of the weight decay l^2 (1 - p) / (2 N tau), which takes "
        "the place of the model's prior; none: the prior.",
    )

    @pydantic.model_validator(mode="after")
    def _one_penalty(self) -> DropoutOptions:
        if self.length_scale is not None and self.objective == "likelihood":
            raise ValueError(
                "length_scale asks for a weight decay, and objective='likelihood' for none"
            )
        return self
