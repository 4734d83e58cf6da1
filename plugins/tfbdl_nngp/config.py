"""The options of the models ``nngp`` and ``gp``."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Config, Field
from tfbdl.config import Arrays

from .expression import parse

ActivationName = Literal[
    "relu",
    "leaky_relu",
    "abs",
    "erf",
    "gelu",
    "sin",
    "cos",
    "identity",
    "exp",
    "tanh",
    "sigmoid",
    "softplus",
    "silu",
    "elu",
]


class ProcessOptions(Config):
    """What Gaussian processes of any kernel have in common."""

    noise: float | None = Field(
        None,
        ge=0,
        description="Variance of the noise, in units of the standardised targets; 0: the function "
        "passes through the targets; none: learned.",
    )
    standardize: bool = Field(
        True,
        description="Shift and scale each input, and targets that are numbers, to mean 0 and "
        "standard deviation 1 over the training rows first.",
    )
    search_rows: int = Field(
        1000,
        ge=2,
        description="Hyperparameters are sought on at most so many rows, evenly spaced; all rows "
        "are conditioned on.",
    )
    restarts: int = Field(
        0, ge=0, description="Further starts of the search, drawn from the hyperparameters' priors."
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Of the data as they are taken in; all is computed in float64."
    )


class NetworkOptions(Config):
    """An infinitely wide, fully connected network."""

    depth: int = Field(3, ge=0, le=200, description="Hidden layers, before a linear readout.")
    activation: ActivationName = Field("relu", description="Of the hidden layers.")
    weight_variance: float | None = Field(
        None, gt=0, description="sigma_w^2, the variance of weights times the width; none: learned."
    )
    bias_variance: float | None = Field(
        None, ge=0, description="sigma_b^2, the variance of biases; none: learned."
    )
    kernel: Literal["nngp", "ntk"] = Field(
        "nngp",
        description="nngp: the posterior of the network's function. ntk: the mean of infinitely "
        "many such networks trained by gradient descent, as a Gaussian process.",
    )


class WrittenOptions(Config):
    """A kernel that is written down."""

    kernel: str = Field(
        "rbf",
        description="Sums and products of rbf, matern12, matern32, matern52, rational_quadratic, "
        "periodic, linear and constant, such as 'rbf + periodic * matern32'.",
    )
    ard: bool = Field(
        False, description="A length scale for each input, in place of one for all of them."
    )
    fixed: Arrays | None = Field(
        None,
        description="Values of hyperparameters that are not learned, by name: variance, "
        "length_scale, period, mixture; of later parts of the kernel length_scale_2 and so on.",
    )

    @pydantic.field_validator("kernel")
    @classmethod
    def _kernel_is_read(cls, value: str) -> str:
        parse(value)
        return value


class NNGPOptions(ProcessOptions, NetworkOptions):
    """Of an infinitely wide network, conditioned exactly."""


class GPOptions(ProcessOptions, WrittenOptions):
    """Of a Gaussian process of a written kernel, conditioned exactly."""


class SparseOptions(Config):
    """What processes by inducing points have in common."""

    num_inducing: int = Field(
        200,
        ge=1,
        description="Inducing points: so many training rows, chosen one after the other where the "
        "function is least known from those before; all of them where there are no more.",
    )
    move_inducing: bool = Field(
        True, description="Train the places of the inducing points too (engine variational)."
    )
    noise: float | None = Field(
        None,
        gt=0,
        description="Variance of the noise of targets that are numbers, in units of the "
        "standardised targets; none: learned.",
    )
    standardize: bool = Field(
        True,
        description="Shift and scale each input, and targets that are numbers, to mean 0 and "
        "standard deviation 1 over the training rows first.",
    )
    num_samples: int = Field(
        8, ge=1, description="Draws of the function a step, for more than two classes."
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Of the data as they are taken in; all is computed in float64."
    )


class SparseNNGPOptions(SparseOptions, NetworkOptions):
    """Of an infinitely wide network by inducing points."""


class SparseGPOptions(SparseOptions, WrittenOptions):
    """Of a Gaussian process of a written kernel by inducing points."""
