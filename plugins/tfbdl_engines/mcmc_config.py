"""The options of the Markov chain engines."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Config, Field


class LengthOptions(Config):
    """How much to sample."""

    chains: int = Field(4, ge=1, description="Chains, run at once.")
    warmup: int = Field(1000, ge=0, description="Iterations that adapt and are not kept.")
    draws: int = Field(1000, ge=1, description="Draws of each chain that are kept.")
    thin: int = Field(1, ge=1, description="Iterations for each draw.")
    checkpoint_seconds: float = Field(30.0, ge=0, description="Minimum time between checkpoints.")
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )


class PrecisionOptions(LengthOptions):
    """And in which precision."""

    dtype: Literal["auto", "float32", "float64"] = Field(
        "auto",
        description="Of state, data and log joint. auto: as the model is; a network is copied into "
        "another, any other model must be built in it.",
    )


class ChainOptions(PrecisionOptions):
    """And from where, and how to warm up."""

    mass_matrix: Literal["diagonal", "dense"] = Field(
        "diagonal", description="What warm-up learns of the posterior's shape."
    )
    step_size: float | None = Field(
        None, gt=0, description="None: adapted during warm-up; a number: nothing adapts."
    )
    start: Literal["model", "prior", "mode", "pathfinder"] = Field(
        "model",
        description="Where chains begin: the model's own start, draws from the prior (of a "
        "network, a joint distribution or a model with sample_prior; a LogDensity has none), the "
        "mode, or draws from a normal fitted along the way to it.",
    )

    @pydantic.model_validator(mode="after")
    def _nothing_to_learn(self) -> ChainOptions:
        if self.step_size is not None and self.mass_matrix == "dense":
            raise ValueError(
                "with a fixed step_size nothing adapts, so there is no dense mass matrix to learn"
            )
        return self


class NutsOptions(ChainOptions):
    """Of the no-U-turn sampler."""

    target_accept: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Mean acceptance that the step size aims at. 0.8 makes a quarter fewer steps; "
        "nearer to 1, fewer transitions diverge.",
    )
    max_tree_depth: int = Field(
        10, ge=1, le=15, description="Trajectories have fewer steps than 2 to this power."
    )


class HmcOptions(ChainOptions):
    """Of Hamiltonian Monte Carlo."""

    target_accept: float = Field(
        0.8, gt=0, lt=1, description="Mean acceptance that the step size aims at."
    )
    num_leapfrog: int = Field(
        10,
        ge=1,
        description="Mean number of steps of a trajectory, which has from 1 to twice as many.",
    )


class MalaOptions(ChainOptions):
    """Of the Metropolis-adjusted Langevin algorithm."""

    target_accept: float = Field(0.574, gt=0, lt=1, description="As in hmc.")


class RandomWalkOptions(ChainOptions):
    """Of the adaptive random-walk Metropolis algorithm."""

    target_accept: float = Field(0.234, gt=0, lt=1, description="As in hmc.")


class SliceOptions(ChainOptions):
    """Of slice sampling along random directions; ``step_size`` is the first interval's width."""

    max_steps_out: int = Field(
        20, ge=1, description="By how many widths the first interval may grow."
    )


class EllipticalSliceOptions(PrecisionOptions):
    """Of elliptical slice sampling: there is nothing to tune."""

    start: Literal["model", "prior"] = Field(
        "model", description="Where chains begin: the model's own start, or draws from the prior."
    )


class GibbsOptions(LengthOptions):
    """Of Gibbs sampling."""

    order: Literal["systematic", "random"] = Field(
        "systematic",
        description="Of the blocks (of a discrete field: the colours) in a sweep: as the model has "
        "them, or shuffled.",
    )


class SwendsenWangOptions(LengthOptions):
    """Of the algorithm of Swendsen and Wang."""

    bond_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of each coupling that ties equal neighbours into clusters; below 1, for "
        "a field with a Dirichlet process alone. none: all of it; with a Dirichlet process so much "
        "that a segment falls into many clusters, which can part.",
    )
