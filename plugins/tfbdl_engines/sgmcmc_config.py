"""The options of the stochastic-gradient Markov chain engines."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class StochasticOptions(Config):
    """How much to sample, from where, with which steps; what all of these engines share."""

    chains: int = Field(4, ge=1, description="Chains, run at once, each with its own minibatches.")
    warmup: int = Field(1000, ge=0, description="Steps that are not kept (burn-in).")
    draws: int = Field(1000, ge=1, description="Draws of each chain that are kept.")
    thin: int = Field(1, ge=1, description="Steps for each draw.")
    batch_size: int | None = Field(
        128,
        ge=1,
        description="Rows of a minibatch, drawn anew with replacement in each step; none: all "
        "rows, as for a model that holds its data itself.",
    )
    step_size: float | None = Field(
        None, gt=0, description="The first step size; none: a small number over the number of rows."
    )
    temperature: float = Field(
        1.0, ge=0, description="1 samples the posterior, less a sharper one, 0 is an ascent."
    )
    schedule: Literal["constant", "polynomial", "cyclical"] = Field(
        "constant",
        description="Keep the step size; let it decay; or let it fall along a cosine in each of "
        "several cycles, of which the last part alone has noise and is kept.",
    )
    decay_offset: float = Field(
        1000.0, gt=0, description="Polynomial: steps after which the decay sets in."
    )
    decay_power: float = Field(0.55, gt=0, le=1, description="Polynomial: exponent of the decay.")
    cycles: int = Field(
        4, ge=1, description="Cyclical: cycles that the draws are spread over, in equal shares."
    )
    exploration: float = Field(
        0.8, ge=0, lt=1, description="Cyclical: share of a cycle that has no noise."
    )
    control_variate: Literal["none", "fixed", "moving"] = Field(
        "none",
        description="Lower the gradient's variance by its value at an anchor: where sampling "
        "begins (give warm_start), or one that is renewed every so many steps.",
    )
    refresh: int = Field(500, ge=1, description="Steps between the anchors that move.")
    warm_start: int = Field(
        0, ge=0, description="Steps of Adam towards the mode, before the warm-up."
    )
    warm_start_rate: float = Field(0.01, gt=0, description="Learning rate of these steps.")
    memory_limit: float = Field(4.0, gt=0, description="The most that all draws may take, in GiB.")
    checkpoint_seconds: float = Field(30.0, ge=0, description="Minimum time between checkpoints.")
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )


class SgldOptions(StochasticOptions):
    """Of stochastic gradient Langevin dynamics."""


class PsgldOptions(StochasticOptions):
    """Of preconditioned stochastic gradient Langevin dynamics."""

    decay: float = Field(
        0.99, ge=0, lt=1, description="Of the running second moment of the gradient."
    )
    damping: float = Field(1e-5, gt=0, description="Added to the root of the second moment.")
    correction: bool = Field(
        False,
        description="Add the drift of a changing preconditioner, for the price of a Hessian-vector "
        "product in each step.",
    )


class SghmcOptions(StochasticOptions):
    """Of stochastic gradient Hamiltonian Monte Carlo."""

    friction: float = Field(0.05, gt=0, le=1, description="Share of the velocity lost in a step.")
    noise_estimate: float = Field(
        0.0, ge=0, description="What the gradient's own noise adds to the friction; below it."
    )
