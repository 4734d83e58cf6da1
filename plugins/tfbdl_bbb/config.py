"""The options of Bayes by Backprop."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class BBBOptions(Config):
    """The net, its likelihood and its posterior."""

    architecture: Literal["dense", "convolutional", "recurrent"] = Field(
        "dense",
        description="What comes before the last layer: dense for rows of numbers, convolutional "
        "for images, recurrent for series.",
    )
    hidden: tuple[int, ...] = Field((50,), description="Units of each hidden dense layer.")
    activation: Literal["relu", "tanh", "silu", "gelu"] = Field(
        "relu", description="Of the hidden layers."
    )
    likelihood: Literal[
        "auto",
        "gaussian",
        "heteroscedastic_gaussian",
        "student_t",
        "bernoulli",
        "categorical",
        "heteroscedastic_categorical",
        "poisson",
    ] = Field(
        "auto",
        description="Auto: categorical for classes, gaussian for numbers. A named one decides "
        "whether whole numbers are classes.",
    )
    noise_scale: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of gaussian or student_t noise, in those of the targets; "
        "none: learned.",
    )
    posterior: Literal["mean_field", "low_rank", "full_rank", "delta"] = Field(
        "mean_field", description="Family of the posterior over the weights."
    )
    estimator: Literal["reparameterization", "local_reparameterization", "flipout"] = Field(
        "reparameterization",
        description="How training draws weights: once a batch; or anew for each row, in dense and "
        "convolutional layers under a mean_field posterior.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of units dropped after each hidden dense layer."
    )
    standardize: bool = Field(
        True, description="Give the net inputs and targets of mean 0 and standard deviation 1."
    )
    rank: int = Field(10, ge=1, description="Low-rank posterior only: columns of its factor.")
    initial_raw_scale: float = Field(
        -5.0, description="Where the raw scales start; a scale is the softplus of it."
    )
    kl_weight: float = Field(1.0, ge=0, description="1 is Bayes; below 1 a cold posterior.")
    filters: tuple[int, ...] = Field(
        (16, 32),
        description="Convolutional only: filters of each convolution; a pooling by 2 follows each.",
    )
    kernel_size: int = Field(3, ge=1, description="Convolutional only: width of the convolutions.")
    cell: Literal["lstm", "gru"] = Field("lstm", description="Recurrent only: kind of the cell.")
    units: int = Field(32, ge=1, description="Recurrent only: units of the cell.")
