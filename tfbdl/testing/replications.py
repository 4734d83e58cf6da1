"""A model that can be simulated, and samplers that run on many simulated data sets at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from .. import random
from ..errors import OptionsError
from ..inference.mcmc import FlatTarget, Length, sample
from ..inference.mcmc.lockstep import with_room
from ..protocols import Context, Params, Site
from ..serial import map_serially


@dataclass(frozen=True, kw_only=True)
class GenerativeModel:
    """A joint distribution of parameters and data, in the three forms that a check needs.

    Attributes:
        sites: The parameters.
        prior: From a key ``[2]`` (for ``tfbdl.random``, or bitcast to int32 as a seed of TFP) to a
            state: site name -> constrained value.
        simulate: From a state and a key to data, a tensor or a nest of tensors.
        log_density: From a state and data to ``log p(params) + log p(data | params)``, a scalar.
    """

    sites: tuple[Site, ...]
    prior: Callable[[tf.Tensor], Params]
    simulate: Callable[[Params, tf.Tensor], Any]
    log_density: Callable[[Params, Any], tf.Tensor]

    def simulate_joint(self, key: tf.Tensor, count: int) -> tuple[Params, Any]:
        """``count`` states and their data, each with a leading axis."""

        @tf.function(autograph=False)
        def simulate() -> tuple[Params, Any]:
            keys = random.split(random.fold_in(key, "prior"), count)
            params = _each(lambda k: dict(self.prior(k)), keys)
            return params, self.simulate_each(
                params, random.split(random.fold_in(key, "data"), count)
            )

        return simulate()

    def simulate_each(self, params: Params, keys: tf.Tensor) -> Any:
        """Data of each state, from keys ``[count, 2]``."""
        return _each(lambda pair: self.simulate(*pair), (dict(params), keys))

    def log_joints(self, params: Mapping[str, Any], data: Any) -> np.ndarray:
        """``[replication, draw]``, of states ``[replication, draw, ...]`` given each one's data."""

        def of_replication(pair: Any) -> tf.Tensor:
            draws, own = pair
            return tf.vectorized_map(lambda state: self.log_density(state, own), draws, warn=False)

        @tf.function(autograph=False)
        def compute(params: Params, data: Any) -> tf.Tensor:
            signature = tf.TensorSpec(None, self.log_density(*_first((_first(params), data))).dtype)
            return map_serially(of_replication, (params, data), signature)

        tensors = {name: tf.convert_to_tensor(value) for name, value in params.items()}
        found: np.ndarray = compute(tensors, data).numpy()
        return found

    def given(self, data: Any) -> Conditioned:
        """The posterior given one data set, as engines take it."""
        return Conditioned(self, data)


class Conditioned:
    """A log joint with its data inside; fulfils ``protocols.LogJoint``.

    Attributes:
        data: The data.
    """

    takes_no_data = True

    def __init__(self, model: GenerativeModel, data: Any) -> None:
        self.model, self.data = model, data

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parameters."""
        return self.model.sites

    def init(self, seed: int) -> Params:
        """A draw from the prior."""
        return self.model.prior(random.key(seed, "init"))

    def log_joint(self, params: Params, batch: Any = None) -> tf.Tensor:
        """The log joint of one state and the data."""
        return self.model.log_density(params, self.data)


class ReplicatedTarget(FlatTarget):
    """Flat states ``z [replication, D]``, each under the posterior given its own data.

    Args:
        model: Prior, simulator and log joint.
        data: ``[replication, ...]``: tensors, or variables that change between calls.
    """

    def __init__(self, model: GenerativeModel, data: Any) -> None:
        super().__init__(Conditioned(model, None))
        self.generative, self.data = model, data
        self._unconstrained = tf.function(lambda p: _each(self.unconstrain, p), autograph=False)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of each replication's state: ``[replication]``."""
        data = tf.nest.map_structure(tf.convert_to_tensor, self.data)
        return tf.vectorized_map(self._log_prob_given, (z, data), warn=False)

    def log_prob_and_gradient(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log densities and their gradients ``[replication, D]``.

        The gradient is taken within the map: one through it would make the data a constant of
        XLA's program, which would be compiled anew for other data.
        """

        def one(pair: tuple[tf.Tensor, Any]) -> tuple[tf.Tensor, tf.Tensor]:
            state, data = pair
            with tf.GradientTape() as tape:
                tape.watch(state)
                value = self._log_prob_given((state, data))
            return value, tape.gradient(value, state)

        data = tf.nest.map_structure(tf.convert_to_tensor, self.data)
        found: tuple[tf.Tensor, tf.Tensor] = tf.vectorized_map(one, (z, data), warn=False)
        return found

    def unconstrain_each(self, params: Params) -> tf.Tensor:
        """States ``[replication, D]`` from constrained values with a leading axis."""
        return self._unconstrained(dict(params))

    def _log_prob_given(self, pair: tuple[tf.Tensor, Any]) -> tf.Tensor:
        z, data = pair
        one = FlatTarget(self.generative.given(data))
        return one._log_prob_of_one(z)


def sample_together(
    model: GenerativeModel, engine: Any, data: Any, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Posterior draws ``[replication, draw, ...]``, by one run with a chain for each data set.

    Args:
        model: Prior, simulator and log joint.
        engine: With ``kernel(target)``, ``stat_names``, and ``options`` ``warmup`` and ``thin``.
        data: ``[replication, ...]``.
        draws: Kept draws of each chain.
        seed: Of the chains.
    """
    target = ReplicatedTarget(model, data)
    count = int(tf.nest.flatten(data)[0].shape[0])
    start, _ = model.simulate_joint(random.key(seed, "starts"), count)
    length = Length(
        chains=count, warmup=engine.options.warmup, draws=draws, thin=engine.options.thin
    )
    result = sample(
        engine.kernel(target),
        target,
        engine.stat_names,
        length,
        Context(seed=seed),
        start=target.unconstrain_each(start),
    )
    assert result.posterior is not None
    return dict(result.posterior.draws)


def sample_each(
    model: GenerativeModel, engine: Any, data: Any, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Posterior draws ``[replication, draw, ...]``, by one run of ``engine`` for each data set.

    Raises:
        OptionsError: If the engine draws fewer than are wanted.
    """
    count = int(tf.nest.flatten(data)[0].shape[0])
    seeds = random.bits((count,), random.key(seed, "runs")).numpy()
    found: list[dict[str, np.ndarray]] = []
    for i in range(count):
        own = tf.nest.map_structure(lambda part, i=i: part[i], data)
        result = engine.fit(model.given(own), None, Context(seed=int(seeds[i])))
        posterior = result.posterior
        if posterior.num_draws < draws:
            raise OptionsError(
                f"The engine must draw at least draws={draws} states of each replication. "
                f"Received: {posterior.num_draws}."
            )
        spaced = np.linspace(0, posterior.num_draws - 1, draws).astype(int)
        found.append({n: v.reshape(-1, *v.shape[2:])[spaced] for n, v in posterior.draws.items()})
    return {site.name: np.stack([one[site.name] for one in found]) for site in model.sites}


class KernelTransition:
    """One transition of an engine's kernel, for many states with data of their own.

    It is compiled once: the data are variables of the compiled program.

    Args:
        model: Prior, simulator and log joint.
        engine: With ``kernel(target)`` and ``options``.

    Raises:
        OptionsError: If the engine adapts its step size, which one transition cannot.
    """

    def __init__(self, model: GenerativeModel, engine: Any) -> None:
        options = engine.options
        if options.step_size is None or options.warmup or options.thin != 1:
            raise OptionsError(
                "A single transition needs a fixed step_size, warmup=0 and thin=1. Received: "
                f"step_size={options.step_size}, warmup={options.warmup}, thin={options.thin}."
            )
        self.model, self.engine = model, engine
        self.target: ReplicatedTarget | None = None
        self.kernel: Any = None

    def __call__(self, params: Params, data: Any, keys: tf.Tensor) -> Params:
        """From states, data and keys, each with a leading axis of chains, to new states."""
        if self.target is None:
            held = tf.nest.map_structure(tf.Variable, data)
            self.target = ReplicatedTarget(self.model, held)
            self.kernel = self.engine.kernel(self.target)
        tf.nest.map_structure(lambda held, now: held.assign(now), self.target.data, data)
        state = with_room(self.kernel.start(self.target.unconstrain_each(params), keys), 1)
        many = tf.constant(2**30)  # passes: until each chain has made its one transition
        state = self.kernel.advance(state, keys, tf.constant(1), many)
        return self.target.constrain(state.draws[0])


def _each(fn: Callable[[Any], Any], given: Any) -> Any:
    """``fn`` of each part along the first axis, one after the other: it may draw numbers."""
    outputs = tf.nest.map_structure(tf.convert_to_tensor, fn(_first(given)))
    signature = tf.nest.map_structure(
        lambda value: tf.TensorSpec(value.shape, value.dtype), outputs
    )
    return map_serially(
        lambda part: tf.nest.map_structure(tf.convert_to_tensor, fn(part)), given, signature
    )


def _first(nest: Any) -> Any:
    return tf.nest.map_structure(lambda value: value[0], nest)
