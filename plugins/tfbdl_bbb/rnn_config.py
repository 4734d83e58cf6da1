"""The options of Bayesian recurrent networks, and of the texts that come with them."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class BayesianRNNOptions(Config):
    """The net, its posterior, and how a text is cut."""

    cell: Literal["lstm", "gru"] = Field("lstm", description="Kind of the recurrent layers.")
    units: int = Field(128, ge=1, description="Of each recurrent layer.")
    layers: int = Field(1, ge=1, description="How many recurrent layers.")
    embedding_dim: int = Field(32, ge=1, description="Numbers that stand for a symbol.")
    num_symbols: int | None = Field(
        None, ge=2, description="Symbols that there are; none: as the data set says."
    )
    length: int = Field(
        35, ge=1, description="Symbols of a truncated sequence, back to which gradients go."
    )
    streams: int = Field(
        20,
        ge=1,
        description="Rows of a training step, at most; rows fewer than these are cut into pieces.",
    )
    sharpening: bool = Field(
        False,
        description="Move the posterior along the gradient of the sequences at hand, by rates that "
        "are learned.",
    )
    sharpening_scale: float = Field(
        0.02, gt=0, description="Sharpening only: standard deviation of the weights about there."
    )
    sharpening_rate: float = Field(
        0.01, ge=0, description="Sharpening only: where the rates of all weights start."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of inputs of each recurrent layer and of the head that is dropped, by "
        "one mask for all time steps.",
    )
    recurrent_dropout: float = Field(
        0.0, ge=0, lt=1, description="The same of the states of the recurrent layers."
    )
    posterior: Literal["mean_field", "low_rank", "delta"] = Field(
        "mean_field", description="Family of the posterior over the weights; delta: a point."
    )
    rank: int = Field(10, ge=1, description="Low-rank posterior only: columns of its factor.")
    initial_raw_scale: float = Field(
        -5.0, description="Where the raw scales start; a scale is the softplus of it."
    )
    kl_weight: float = Field(
        1.0, ge=0, description="1 is Bayes; below 1 a cold posterior; 0 with delta: no prior."
    )


class MarkovTextOptions(Config):
    """A stationary Markov chain of known entropy rate."""

    num_symbols: int = Field(8, ge=2, le=64, description="Symbols.")
    order: int = Field(2, ge=1, le=4, description="Symbols on which the next one depends.")
    concentration: float = Field(
        0.2, gt=0, description="Of the Dirichlet distributions that the rows of the chain are from."
    )
    rows: int = Field(20, ge=1, description="Training rows, independent of each other.")
    row_length: int = Field(1_001, ge=2, description="Symbols of a row.")
    test_length: int = Field(20_000, ge=0, description="Symbols of the test row; 0: none.")
    chain_seed: int = Field(0, ge=0, lt=2**32, description="Seed of the chain.")
    text_seed: int = Field(0, ge=0, lt=2**32, description="Seed of the rows drawn from it.")


class DescriptionsOptions(Config):
    """How a text is parted."""

    rows: int = Field(20, ge=1, description="Rows that the training text is cut into.")
    test_fraction: float = Field(
        0.1, ge=0.0, lt=1.0, description="Share of the text, at its end, held out for testing."
    )


class TextOptions(DescriptionsOptions):
    """A text in a file."""

    path: str = Field(..., description="A text file in UTF-8.")
    characters: int | None = Field(
        None,
        ge=2,
        description="Keep so many of the most frequent characters as symbols, and take all others "
        "for one more; none: all.",
    )
