"""A model's log joint over stacked chains, and estimates of its gradient from minibatches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from ... import random
from ...errors import ModelError
from ...log_density import unconstrained_shape
from ...protocols import LogJoint, Site
from ...serial import map_serially
from ..mcmc.target import chain_seeds

States = dict[str, tf.Tensor]
BLOCK = 4096


class Estimate(NamedTuple):
    """What one step sees of the density, each with a leading axis of chains.

    Attributes:
        log_joint: ``[chain]``, in nats, Jacobians included.
        gradient: Site name -> of the states' shapes.
        curvature: Site name -> estimate of the Hessian's diagonal; None if not asked for.
    """

    log_joint: tf.Tensor
    gradient: States
    curvature: States | None = None


class StochasticDensity:
    """``log p(data, T(z)) + log |T'(z)|`` of states z by site, ``[chain, ...]``, T the bijectors.

    Rows of a minibatch are drawn with replacement and anew in each step and chain, so every step's
    gradient is unbiased whatever came before.

    Args:
        model: What offers ``sites``, ``init`` and ``log_joint``.
        data: What its ``log_joint`` takes, for all rows: a nest of tensors ``[row, ...]``, or None.
        batch_size: Rows of a minibatch; None or as many as there are: all rows.
        vectorize: Run all chains at once; otherwise one after the other.
        jit_compile: Compile by XLA.

    Attributes:
        num_rows: Of the data; 0 without.
    """

    def __init__(
        self,
        model: LogJoint,
        data: Any = None,
        *,
        batch_size: int | None = None,
        vectorize: bool = True,
        jit_compile: bool = True,
    ) -> None:
        self.model, self.data = model, data
        self.vectorize, self.jit_compile = vectorize, jit_compile
        self.sites: Mapping[str, Site] = {site.name: site for site in model.sites}
        if not self.sites:
            raise ModelError("The model has no sites to sample.")
        self.shapes = {name: unconstrained_shape(site) for name, site in self.sites.items()}
        self.num_rows = 0 if data is None else int(tf.nest.flatten(data)[0].shape[0])
        small = batch_size is not None and batch_size < self.num_rows
        self.batch_size: int | None = batch_size if small else None
        self._gradient_of_rows = tf.function(
            lambda states, rows: self.estimate(states, rows).gradient,
            jit_compile=jit_compile,
            autograph=False,
        )

    @property
    def num_parameters(self) -> int:
        """How many numbers one chain's state holds."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def initial_states(self, chains: int, seed: int) -> States:
        """Starting states: the model's own, each from a seed of its chain.

        Raises:
            ModelError: If a start is not finite.
        """
        starts = [self.model.init(s) for s in chain_seeds(chains, seed, "initial states")]
        states = {}
        for name, site in self.sites.items():
            values = [tf.convert_to_tensor(start[name], site.dtype) for start in starts]
            if site.bijector is not None:
                values = [site.bijector.inverse(value) for value in values]
            states[name] = tf.stack(values)
            if not bool(tf.reduce_all(tf.math.is_finite(states[name]))):
                raise ModelError(f"The model's start of the site {name!r} is not finite.")
        return states

    def constrain(self, states: Mapping[str, Any]) -> States:
        """Site name -> constrained values, of unconstrained ones with any leading axes."""
        return {
            name: value
            if self.sites[name].bijector is None
            else self.sites[name].bijector.forward(value)
            for name, value in states.items()
        }

    def rows(self, keys: tf.Tensor, step: tf.Tensor) -> tf.Tensor | None:
        """The minibatch of each chain in a step: ``[chain, batch]`` int32; None for all rows.

        Args:
            keys: ``[chain, 2]``.
            step: A scalar integer.
        """
        if self.batch_size is None:
            return None
        words = random.bits((self.batch_size,), random.fold_in(keys, step))
        scaled = tf.cast(words, tf.int64) * self.num_rows  # below 2**63
        return tf.cast(tf.bitwise.right_shift(scaled, tf.constant(32, tf.int64)), tf.int32)

    def estimate(
        self, states: States, rows: tf.Tensor | None, probes: States | None = None
    ) -> Estimate:
        """The log joint and its gradient, from all rows or from each chain's own.

        Args:
            states: Site name -> ``[chain, ...]``.
            rows: ``[chain, batch]``, or None.
            probes: Signs of the states' shapes, for the curvature by Hutchinson's estimate
                ``probe * (Hessian @ probe)``, whose expectation is the diagonal.
        """
        given = {"states": states}
        if rows is not None:
            given["rows"] = rows
        if probes is not None:
            given["probes"] = probes
        found: dict[str, Any] = self._each_chain(self._estimate_of_one, given)
        return Estimate(**found)

    def full_gradient(self, states: States) -> States:
        """The gradient from all rows, summed over blocks of them so that memory is bounded."""
        if self.num_rows <= BLOCK:
            return dict(self._gradient_of_rows(states, None))
        total = tf.nest.map_structure(tf.zeros_like, states)
        chains = next(iter(states.values())).shape[0]
        for start in range(0, self.num_rows, BLOCK):
            stop = min(start + BLOCK, self.num_rows)
            rows = tf.tile(tf.range(start, stop)[tf.newaxis], [chains, 1])
            share = (stop - start) / self.num_rows  # shares of prior and likelihood add up to one
            part = self._gradient_of_rows(states, rows)
            total = tf.nest.map_structure(
                lambda sum_, g, share=share: sum_ + tf.constant(share, g.dtype) * g, total, part
            )
        return dict(total)

    def controlled(
        self,
        states: States,
        rows: tf.Tensor | None,
        anchor: States,
        anchor_gradient: States,
        probes: States | None = None,
    ) -> Estimate:
        """A gradient with less variance near ``anchor``, and unbiased everywhere.

        ``grad(states; rows) - grad(anchor; rows) + grad(anchor; all rows)``

        References:
            Baker, Fearnhead, Fox & Nemeth 2019, "Control variates for stochastic gradient MCMC",
            eq. 4; Dubey et al. 2016, "Variance Reduction in Stochastic Gradient Langevin
            Dynamics", for anchors that move.
        """
        here, there = self.estimate(states, rows, probes), self.estimate(anchor, rows)
        gradient = tf.nest.map_structure(
            lambda g, at_anchor, whole: g - at_anchor + whole,
            here.gradient,
            there.gradient,
            anchor_gradient,
        )
        return Estimate(here.log_joint, gradient, here.curvature)

    def log_density(self, state: States, batch: Any) -> tf.Tensor:
        """Of one chain's unconstrained state, in nats, Jacobians included: a scalar."""
        total = tf.convert_to_tensor(self.model.log_joint(self.constrain(state), batch))
        for name, value in state.items():
            bijector = self.sites[name].bijector
            if bijector is not None:
                dims = bijector.forward_min_event_ndims
                terms = bijector.forward_log_det_jacobian(value, event_ndims=dims)
                total += tf.cast(tf.reduce_sum(terms), total.dtype)
        return total

    def _estimate_of_one(self, given: Mapping[str, Any]) -> dict[str, Any]:
        state = given["states"]
        batch = self.data
        if "rows" in given:
            batch = tf.nest.map_structure(lambda part: tf.gather(part, given["rows"]), self.data)
        if "probes" not in given:
            with tf.GradientTape() as tape:
                tape.watch(state)
                log_joint = self.log_density(state, batch)
            return {"log_joint": log_joint, "gradient": _gradient(tape, log_joint, state)}
        with tf.GradientTape() as outer:
            outer.watch(state)
            with tf.GradientTape() as inner:
                inner.watch(state)
                log_joint = self.log_density(state, batch)
            gradient = _gradient(inner, log_joint, state)
            along = tf.zeros((), log_joint.dtype)
            for name, slope in gradient.items():
                along += tf.cast(tf.reduce_sum(slope * given["probes"][name]), along.dtype)
        product = _gradient(outer, along, state)
        curvature = {name: given["probes"][name] * product[name] for name in state}
        return {"log_joint": log_joint, "gradient": gradient, "curvature": curvature}

    def _each_chain(self, fn: Callable[[Any], Any], given: Any) -> Any:
        """``fn`` of each chain's part of a nest; one chain alone needs no mapping."""
        first = tf.nest.map_structure(lambda value: value[0], given)
        if tf.nest.flatten(given)[0].shape[0] == 1:
            return tf.nest.map_structure(lambda value: value[tf.newaxis], fn(first))
        if self.vectorize:
            return tf.vectorized_map(fn, given, warn=False)
        outputs = fn(first)
        signature = tf.nest.map_structure(lambda v: tf.TensorSpec(v.shape, v.dtype), outputs)
        return map_serially(fn, given, signature)


def _gradient(tape: tf.GradientTape, value: tf.Tensor, state: States) -> States:
    zero = tf.UnconnectedGradients.ZERO
    found: States = tape.gradient(value, state, unconnected_gradients=zero)
    return found
