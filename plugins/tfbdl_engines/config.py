"""The options of the engines."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class VariationalOptions(Config):
    """How the evidence lower bound is maximised."""

    steps: int | None = Field(
        None,
        ge=1,
        description="Training steps in all, rounded up to whole passes over the data; none: what "
        "the model asks for, or 8,000.",
    )
    epochs: int | None = Field(
        None, ge=1, description="Passes over the data; takes precedence over steps."
    )
    batch_size: int = Field(128, ge=1, description="Rows of a training step.")
    optimizer: Literal["adam", "sgd", "adagrad", "rmsprop"] = Field(
        "adam", description="Keras' optimizer."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Of the optimizer; none: what the model asks for, or 0.01."
    )
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="Keep the learning rate, or let it fall to zero along a cosine."
    )
    kl_annealing: int = Field(
        0, ge=0, description="Epochs over which the weight of the KL term rises from 0."
    )
    minibatch_weights: Literal["uniform", "blundell"] = Field(
        "uniform",
        description="Share of the KL in each batch: the same, or 2^(M-i) / (2^M - 1).",
    )
    validation_split: float = Field(
        0.0, ge=0, lt=1, description="Share of the rows, the last ones, kept for validation."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better validation loss (or loss) before an early stop; the "
        "best weights are put back. None: train to the end.",
    )
    steps_per_execution: int | None = Field(
        None,
        ge=1,
        description="Steps between looks at metrics and cancel, lowered to a divisor of an "
        "epoch's steps; none: up to 32, by the net's size.",
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0, description="Minimum time between checkpoints, which are at the ends of epochs."
    )
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )
    posterior: Literal["mean_field", "low_rank", "full_rank", "delta"] = Field(
        "mean_field", description="Gaussian family for a model that offers its log joint alone."
    )
    rank: int = Field(10, ge=1, description="Columns of the low-rank family's factor.")
    num_samples: int = Field(
        8, ge=1, description="Draws per step for a model that offers its log joint alone."
    )
