"""The options of the engines for latent variables and closed forms."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Arrays


class EmOptions(Config):
    """How the likelihood, or its bound, is climbed.

    The E-step of most models is a formula. A Keras model that parts its weights is trained in both
    steps, by passes over the data: ``e_epochs``, ``m_epochs`` and ``learning_rate`` are for these.
    """

    steps: int | None = Field(
        None,
        ge=0,
        description="Most M-steps of a climb (of minibatches: passes); 0: the start; none: as "
        "suits the model, 1,000 of formulas and 50 of a Keras model.",
    )
    tolerance: float | None = Field(
        None,
        ge=0,
        description="A step that gains less, in nats per row, is the last; 0: make all steps; "
        "none: as suits the model, 1e-6 of formulas and 0 of a Keras model.",
    )
    restarts: int = Field(1, ge=1, description="Climbs, each from a start of its own; the best.")
    initial: Literal["auto", "kmeans++", "random", "current"] | Arrays = Field(
        "auto",
        description="Where a climb begins: as suits the model, at rows far from one another, at "
        "random rows, at a given model's fitted parameters, or at these.",
    )
    e_step: Literal["exact", "monte_carlo", "variational"] = Field(
        "exact",
        description="Expectations of the latent variables: exact, over draws of them, or under "
        "the best distribution of a simpler family (then a bound is climbed).",
    )
    samples: int = Field(10, ge=1, description="Draws of the latents in a Monte Carlo E-step.")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Rows of a minibatch (stochastic EM); none: all rows in each step, of Keras "
        "models 128.",
    )
    forgetting: float = Field(
        0.7,
        gt=0.5,
        le=1,
        description="Minibatch t counts (t + 2)^-forgetting, what was before it the rest.",
    )
    e_epochs: int = Field(
        1, ge=1, description="Passes over the data in an E-step that trains an encoder."
    )
    m_epochs: int = Field(
        1, ge=1, description="Passes over the data in an M-step that trains a decoder."
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Of Adam, in steps that train a Keras model."
    )
    checkpoint_seconds: float = Field(30.0, ge=0, description="Minimum time between checkpoints.")


class ExactOptions(Config):
    """How the data are taken in."""

    batch_size: int | None = Field(
        None,
        ge=1,
        description="Take in so many rows at a time, the posterior of the rows before being the "
        "prior of the next; none: all at once.",
    )
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew, or take its posterior as the prior."
    )
