"""The Markov chain engines: from a model and data to draws of the posterior."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from tfbdl.data import Dataset
from tfbdl.inference.mcmc import (
    FlatTarget,
    GaussianTarget,
    Length,
    Lockstep,
    Nuts,
    Sweeps,
    elliptical_slice,
    lockstep,
    nuts,
    sample,
)
from tfbdl.inference.mcmc import transitions as kernels
from tfbdl.inference.mcmc.starts import starting_points
from tfbdl.inference.mcmc.target import full_batch, is_vectorizable
from tfbdl.protocols import Context, EngineResult

from .fields import single_site
from .mcmc_config import (
    ChainOptions,
    EllipticalSliceOptions,
    GibbsOptions,
    HmcOptions,
    LengthOptions,
    MalaOptions,
    NutsOptions,
    RandomWalkOptions,
    SliceOptions,
)
from .precision import computing_in


class ChainEngine(abc.ABC):
    """What the engines over a log joint have in common; a subclass says which kernel runs.

    Args:
        options: See the options' class.
    """

    stat_names: ClassVar[tuple[str, ...]] = lockstep.STATS
    options: ChainOptions

    def __init__(self, options: Any) -> None:
        self.options = options

    @abc.abstractmethod
    def kernel(self, target: FlatTarget) -> Any:
        """The compiled sampler over ``target``."""

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the model's posterior given the data.

        Raises:
            ModelError: If the model cannot have the precision or start that the options ask for.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        with computing_in(self.options.dtype, model, data) as (model, data):
            return self._sample(model, data, context)

    def _sample(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        options = self.options
        target = FlatTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
        return sample(
            self.kernel(target),
            target,
            self.stat_names,
            length_of(options),
            context,
            start=starting_points(target, options.start, options.chains, context.seed),
            checkpoint_seconds=options.checkpoint_seconds,
        )

    def _common(self) -> dict[str, Any]:
        options = self.options
        return {
            "warmup": options.warmup,
            "thin": options.thin,
            "dense": options.mass_matrix == "dense",
            "step_size": options.step_size,
        }


class NoUTurn(ChainEngine):
    """The no-U-turn sampler."""

    stat_names = nuts.STATS
    options: NutsOptions

    def kernel(self, target: FlatTarget) -> Nuts:
        """The compiled sampler over ``target``."""
        return Nuts(
            target.log_prob_and_gradient,
            target_accept=self.options.target_accept,
            max_tree_depth=self.options.max_tree_depth,
            **self._common(),
        )


class Hamiltonian(ChainEngine):
    """Hamiltonian Monte Carlo."""

    stat_names = lockstep.HAMILTONIAN_STATS
    options: HmcOptions

    def kernel(self, target: FlatTarget) -> Lockstep:
        """The compiled sampler over ``target``."""
        transition = kernels.hmc(self.options.num_leapfrog)
        return Lockstep(
            target.log_prob_and_gradient,
            transition,
            target_accept=self.options.target_accept,
            stats=self.stat_names,
            **self._common(),
        )


class Langevin(ChainEngine):
    """The Metropolis-adjusted Langevin algorithm."""

    stat_names = lockstep.HAMILTONIAN_STATS
    options: MalaOptions

    def kernel(self, target: FlatTarget) -> Lockstep:
        """The compiled sampler over ``target``."""
        return Lockstep(
            target.log_prob_and_gradient,
            kernels.mala,
            target_accept=self.options.target_accept,
            stats=self.stat_names,
            **self._common(),
        )


class RandomWalk(ChainEngine):
    """Adaptive random-walk Metropolis."""

    options: RandomWalkOptions

    def kernel(self, target: FlatTarget) -> Lockstep:
        """The compiled sampler over ``target``."""
        return Lockstep(
            target.log_prob_alone,
            kernels.random_walk,
            target_accept=self.options.target_accept,
            **self._common(),
        )


class Slice(ChainEngine):
    """Slice sampling; ``step_size`` is the width of the first interval."""

    stat_names = ("lp", "n_steps", "step_size")
    options: SliceOptions

    def kernel(self, target: FlatTarget) -> Lockstep:
        """The compiled sampler over ``target``."""
        transition = kernels.slice_direction(self.options.max_steps_out)
        return Lockstep(
            target.log_prob_alone,
            transition,
            adapts_step=False,
            initial_step=2.0,
            stats=self.stat_names,
            **self._common(),
        )


class EllipticalSlice:
    """Elliptical slice sampling, for models whose prior is normal.

    Args:
        options: See EllipticalSliceOptions.
    """

    stat_names: ClassVar[tuple[str, ...]] = ("lp", "n_steps")

    def __init__(self, options: EllipticalSliceOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the model's posterior given the data.

        Raises:
            ModelError: If the prior is not normal, or the precision cannot be had.
            DataError: If the rows come from a stream that does not end, or have weights.
        """
        with computing_in(self.options.dtype, model, data) as (model, data):
            return self._sample(model, data, context)

    def _sample(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        options = self.options
        target = GaussianTarget(model, full_batch(model, data), vectorize=is_vectorizable(model))
        kernel = Lockstep(
            target.log_prob_alone,
            elliptical_slice(target.mean, target.stddev),
            warmup=options.warmup,
            thin=options.thin,
            adapts_step=False,
            adapts_mass=False,
            stats=self.stat_names,
            log_joint_of=target.log_joint,
        )
        if options.start == "prior":
            start = target.prior_draws(options.chains, context.seed)
        else:
            start = target.initial_states(options.chains, context.seed)
        return sample(
            kernel,
            target,
            self.stat_names,
            length_of(options),
            context,
            start=start,
            checkpoint_seconds=options.checkpoint_seconds,
        )


class Gibbs:
    """Gibbs sampling, for models whose blocks can be drawn exactly given the rest.

    The blocks of a discrete field are its sites.

    Args:
        options: See GibbsOptions.
    """

    def __init__(self, options: GibbsOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the model's posterior given the data."""
        options = self.options
        if not hasattr(model, "conditionals"):
            return single_site(model, data, options, context)
        kernel = Sweeps(
            model,
            full_batch(model, data),
            warmup=options.warmup,
            thin=options.thin,
            random_order=options.order == "random",
        )
        return sample(
            kernel,
            kernel,
            kernel.stats,
            length_of(options),
            context,
            start=kernel.initial_states(options.chains, context.seed),
            checkpoint_seconds=options.checkpoint_seconds,
        )


def length_of(options: LengthOptions) -> Length:
    """How much the options ask for."""
    return Length(
        chains=options.chains, warmup=options.warmup, draws=options.draws, thin=options.thin
    )
