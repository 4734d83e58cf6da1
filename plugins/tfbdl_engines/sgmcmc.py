"""The stochastic-gradient Markov chain engines: draws of a posterior from minibatches."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from tfbdl import functional
from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.mcmc.target import full_batch
from tfbdl.inference.rows import set_num_data
from tfbdl.inference.sgmcmc import (
    Constant,
    Cyclical,
    Length,
    Polynomial,
    PsgldRule,
    SghmcRule,
    SgldRule,
    StochasticDensity,
    sample,
)
from tfbdl.protocols import Context, EngineResult

from .sgmcmc_config import PsgldOptions, SghmcOptions, SgldOptions, StochasticOptions


class StochasticEngine(abc.ABC):
    """What all have in common; a subclass says which step is made.

    Args:
        options: See the options' class.

    Attributes:
        default_step: Times one over the number of rows, the step size where none is given.
    """

    default_step = 0.01
    options: StochasticOptions

    def __init__(self, options: Any) -> None:
        self.options = options

    @abc.abstractmethod
    def rule(self, num_data: int) -> SgldRule:
        """The step, for a model of so many rows."""

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the model's posterior given the data.

        Raises:
            DataError: If the rows come from a stream that does not end, or have weights.
            OptionsError: If the draws would take too much memory, or options contradict.
            RunError: If a chain leaves the finite numbers.
        """
        options = self.options
        density = stochastic_density(model, data, options.batch_size)
        num_data = set_num_data(model, density.num_rows) or 1
        step_size = options.step_size or self.default_step / num_data
        length = Length(
            chains=options.chains,
            warm_start=options.warm_start,
            warmup=options.warmup,
            draws=options.draws,
            thin=options.thin,
            cycles=options.cycles if options.schedule == "cyclical" else 1,
            refresh=options.refresh if options.control_variate == "moving" else 0,
            gibibytes=options.memory_limit,
        )
        return sample(
            density,
            self.rule(num_data),
            _schedule(options, step_size),
            length,
            context,
            temperature=options.temperature,
            control_variate=options.control_variate != "none",
            warm_start_rate=options.warm_start_rate,
            checkpoint_seconds=options.checkpoint_seconds,
        )


class Sgld(StochasticEngine):
    """Stochastic gradient Langevin dynamics."""

    options: SgldOptions

    def rule(self, num_data: int) -> SgldRule:
        return SgldRule()


class Psgld(StochasticEngine):
    """Preconditioned stochastic gradient Langevin dynamics."""

    default_step = 0.002
    options: PsgldOptions

    def rule(self, num_data: int) -> PsgldRule:
        options = self.options
        return PsgldRule(
            decay=options.decay,
            damping=options.damping,
            num_data=float(num_data),
            correction=options.correction,
        )


class Sghmc(StochasticEngine):
    """Stochastic gradient Hamiltonian Monte Carlo."""

    default_step = 0.001
    options: SghmcOptions

    def rule(self, num_data: int) -> SghmcRule:
        options = self.options
        if options.noise_estimate >= options.friction:
            raise OptionsError(
                "noise_estimate must be below friction, or no noise could be added. Received: "
                f"noise_estimate={options.noise_estimate}, friction={options.friction}."
            )
        return SghmcRule(options.friction, options.noise_estimate)


def stochastic_density(
    model: Any, data: Dataset | None, batch_size: int | None
) -> StochasticDensity:
    """The posterior of ``model`` given ``data``, in minibatches.

    A BayesianNetwork is told the number of rows, unless it was given one.

    Raises:
        DataError: If the rows come from a stream that does not end, have weights, or are of
            different numbers in the parts of the data.
    """
    rows = full_batch(model, data)
    lengths = {part.shape[0] for part in tf.nest.flatten(rows)} if rows is not None else set()
    if batch_size is not None and len(lengths) > 1:
        raise DataError(
            "A minibatch takes the same rows of all parts of the data. Expected parts of one "
            f"length, or batch_size=None. Received: lengths {sorted(lengths)}."
        )
    net = getattr(model, "net", None)
    layers = [] if net is None else functional.layers_of(net)
    return StochasticDensity(
        model,
        rows,
        batch_size=batch_size,
        vectorize=net is None or functional.is_vectorizable(net),
        jit_compile=all(getattr(layer, "supports_jit", True) for layer in layers),
    )


def _schedule(options: StochasticOptions, step_size: float) -> Constant:
    if options.schedule == "polynomial":
        return Polynomial(
            step_size=step_size, offset=options.decay_offset, power=options.decay_power
        )
    if options.schedule == "cyclical":
        return Cyclical(step_size=step_size, exploration=options.exploration)
    return Constant(step_size=step_size)
