"""The options of the engines without Markov chains, but for the moves of particles."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field


class MonteCarloOptions(Config):
    """In which precision, and from where."""

    dtype: Literal["auto", "float32", "float64"] = Field(
        "auto",
        description="Of state, data and log joint. auto: as the model is; a network is copied into "
        "another, any other model must be built in it.",
    )
    initial: Literal["fresh", "current"] = Field(
        "fresh", description="Begin a given model anew from the seed, or from its weights."
    )


class ProposalOptions(MonteCarloOptions):
    """What candidates are drawn from."""

    proposal: Literal["student_t", "normal", "prior"] = Field(
        "student_t",
        description="A Student t or a normal at the mode, with the curvature there; or the prior "
        "(of a network, a joint distribution or a model with log_prior and sample_prior).",
    )
    degrees: float = Field(5.0, gt=0, description="Of freedom of the Student t: fewer, more tail.")
    at_once: int = Field(
        1_000, ge=1, description="Candidates that are looked at together: fewer take less memory."
    )


class RejectionOptions(ProposalOptions):
    """Of rejection sampling."""

    draws: int = Field(1_000, ge=1, description="Draws, independent.")
    log_bound: float | None = Field(
        None,
        description="Highest log density minus log proposal, over unconstrained parameters, in "
        "nats. None: found by climbing from some candidates; the run ends where a candidate lies "
        "above it.",
    )
    max_candidates: int = Field(
        10_000_000, ge=1, description="Candidates after which the run is given up."
    )


class ImportanceOptions(ProposalOptions):
    """Of importance sampling."""

    draws: int = Field(4_000, ge=1, description="Draws of equal weight, chosen anew by weight.")
    samples: int = Field(10_000, ge=2, description="Draws of the proposal, which are weighted.")
    smoothing: bool = Field(
        True, description="Replace the largest weights by what their Pareto fit expects of them."
    )
    resampling: Literal["systematic", "stratified", "residual", "multinomial"] = Field(
        "systematic", description="How draws of equal weight are chosen."
    )


class AdaptiveRejectionOptions(MonteCarloOptions):
    """Of adaptive rejection sampling."""

    chains: int = Field(
        4, ge=1, description="Chains, run at once; of one parameter, rows of draws."
    )
    warmup: int = Field(
        100, ge=0, description="Sweeps that are not kept; of one parameter there are none."
    )
    draws: int = Field(1_000, ge=1, description="Draws of each chain that are kept.")
    space: Literal["constrained", "unconstrained"] = Field(
        "constrained",
        description="In which the density must be log-concave in each parameter: of the values "
        "themselves, or of what the bijectors map to them, Jacobians included.",
    )


class SmcOptions(MonteCarloOptions):
    """Of sequential Monte Carlo."""

    particles: int = Field(1_000, ge=2, description="Particles, which are the draws.")
    start: Literal["auto", "prior", "normal"] = Field(
        "auto",
        description="Where the path to the posterior begins: the prior (of a network, a joint "
        "distribution or a model with log_prior and sample_prior), or a normal around the model's "
        "own start. auto: the prior, if there is one.",
    )
    start_scale: float = Field(
        2.0,
        gt=0,
        description="Standard deviation of that normal, over unconstrained parameters: as wide as "
        "the posterior, or wider.",
    )
    kernel: Literal["hmc", "random_walk"] = Field(
        "hmc", description="How particles move; random_walk needs no gradient, and more moves."
    )
    moves: int = Field(5, ge=1, description="Moves of each particle in a stage.")
    num_leapfrog: int = Field(4, ge=1, description="Mean number of steps of a trajectory of hmc.")
    mass_matrix: Literal["auto", "diagonal", "dense"] = Field(
        "auto",
        description="What moves take of the particles' covariance; auto: all of it, of at most 500 "
        "parameters.",
    )
    resampling: Literal["systematic", "stratified", "residual", "multinomial"] = Field(
        "systematic", description="How particles are chosen anew in each stage."
    )
    share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Effective sample size, as a share of the particles, that a stage aims at: "
        "nearer to 1, smaller stages.",
    )
    unbiased: bool = Field(
        True,
        description="Run twice: the first run chooses stages and moves, the second repeats them, "
        "so that the evidence Z has no bias. Otherwise its bias is of order 1 / particles.",
    )
    checkpoint_seconds: float = Field(30.0, ge=0, description="Minimum time between checkpoints.")
