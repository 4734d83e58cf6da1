"""A model's log joint as one function of a flat, unconstrained vector per chain."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from ... import functional, random
from ...data import Dataset
from ...errors import DataError, ModelError
from ...log_density import unconstrained_shape
from ...protocols import Site
from ...serial import map_serially
from ..rows import set_num_data


class FlatTarget:
    """``log p(data, T(z)) + log |T'(z)|`` of states ``z [chain, D]``, T the sites' bijectors.

    Args:
        model: What offers ``sites``, ``init`` and ``log_joint``, as protocols.LogJoint says.
        batch: What its ``log_joint`` takes.
        vectorize: Run all chains at once; otherwise one after the other, for nets with layers that
            cannot be vectorised.

    Attributes:
        dim: D.
        dtype: Of z: float64 if any site is.
    """

    def __init__(self, model: Any, batch: Any = None, *, vectorize: bool = True) -> None:
        self.model, self.batch, self.vectorize = model, batch, vectorize
        self.sites: Mapping[str, Site] = {site.name: site for site in model.sites}
        if not self.sites:
            raise ModelError("The model has no sites to sample.")
        self.dtype = (
            "float64" if any(s.dtype == "float64" for s in self.sites.values()) else "float32"
        )
        self._shapes = {name: unconstrained_shape(site) for name, site in self.sites.items()}
        self._sizes = [math.prod(shape) for shape in self._shapes.values()]
        self.dim = sum(self._sizes)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of each chain's state, in nats: ``[chain]``."""
        density, takes_many = self._density()
        if takes_many:
            return self._log_prob_of(z, density)
        if z.shape[0] == 1:  # mapped over, its gradient would be slices of unknown number
            return self._log_prob_of_one(z[0])[tf.newaxis]
        if self.vectorize:
            return tf.vectorized_map(self._log_prob_of_one, z, warn=False)
        return map_serially(self._log_prob_of_one, z)

    def log_prob_and_gradient(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log density ``[chain]`` and its gradient ``[chain, D]``."""
        if self.vectorize or self._density()[1]:
            return _with_gradient(self.log_prob, z)
        kinds = (z.dtype, z.dtype)  # the gradient within the map: half the time of one through it
        one = functools.partial(_with_gradient, self._log_prob_of_one)
        return map_serially(one, z, kinds)

    def log_prob_alone(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log density ``[chain]``, and zeros for samplers that use no gradient."""
        return self.log_prob(z), tf.zeros_like(z)

    def constrain(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """Site name -> constrained values, of states ``[..., D]``."""
        return {
            name: value
            if self.sites[name].bijector is None
            else self.sites[name].bijector.forward(value)
            for name, value in self._split(z).items()
        }

    def unconstrain(self, params: Mapping[str, Any]) -> tf.Tensor:
        """One state from constrained values: ``[D]``."""
        parts = []
        for name, site in self.sites.items():
            value = tf.convert_to_tensor(params[name], site.dtype)
            if site.bijector is not None:
                value = site.bijector.inverse(value)
            parts.append(tf.cast(tf.reshape(value, [-1]), self.dtype))
        return tf.concat(parts, axis=0)

    def initial_states(self, chains: int, seed: int) -> tf.Tensor:
        """Starting states ``[chain, D]``: the model's own, each from a seed of its chain."""
        seeds = chain_seeds(chains, seed, "initial states")
        return tf.stack([self.unconstrain(self.model.init(s)) for s in seeds])

    def _density(self) -> tuple[Callable[..., tf.Tensor], bool]:
        """What is sampled, from params and batch; and whether it takes many states at once."""
        if getattr(self.model, "vectorized", False):
            return self.model.log_joints, True
        return self.model.log_joint, False

    def _log_prob_of_one(self, z: tf.Tensor) -> tf.Tensor:
        return self._log_prob_of(z, self._density()[0])

    def _log_prob_of(self, z: tf.Tensor, density: Callable[..., tf.Tensor]) -> tf.Tensor:
        """The density of a state ``[D]``, or of states ``[chain, D]``, and the Jacobians."""
        leading = z.shape.rank - 1
        params: dict[str, tf.Tensor] = {}
        jacobian = tf.zeros(z.shape[:-1], self.dtype)
        for name, value in self._split(z).items():
            bijector = self.sites[name].bijector
            params[name] = value if bijector is None else bijector.forward(value)
            if bijector is not None:
                event_ndims = value.shape.rank - leading
                term = bijector.forward_log_det_jacobian(value, event_ndims=event_ndims)
                jacobian += tf.cast(term, self.dtype)
        return tf.cast(density(params, self.batch), self.dtype) + jacobian

    def _split(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        leading = z.shape[:-1]
        parts = tf.split(z, self._sizes, axis=-1)
        return {
            name: tf.cast(tf.reshape(part, (*leading, *self._shapes[name])), self.sites[name].dtype)
            for name, part in zip(self.sites, parts, strict=True)
        }


def full_batch(model: Any, data: Dataset | None) -> Any:
    """All rows at once, as a model's ``log_joint`` takes them; a net is told their number.

    A model that predicts from the rows themselves, as a Gaussian process does, has
    ``observe(data)`` and is shown them.

    Returns:
        ``(x, y)``, or ``x`` where there are no targets; None without data.

    Raises:
        DataError: If the rows have weights, or come from a stream that does not end.
    """
    if data is None:
        return None
    rows = data.in_memory()
    if rows.sample_weight is not None:
        raise DataError(
            "A Markov chain counts each row once. Expected (x, y). Received: a sample_weight; "
            "engine='variational' takes them."
        )
    if hasattr(model, "observe"):
        model.observe(rows)
    batch = rows.x if rows.y is None else (rows.x, rows.y)
    batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
    set_num_data(model, tf.nest.flatten(batch)[0].shape[0])
    return batch


def chain_seeds(chains: int, seed: int, salt: str) -> list[int]:
    """A seed for each chain, a function of (seed, salt, chain): runs do not share any."""
    first = random.key(seed, salt)
    bits = tf.cast(random.bits((chains,), first), tf.int64).numpy()
    return [int(value) for value in bits]


def is_vectorizable(model: Any) -> bool:
    """Whether the density of all chains can be computed at once: as the layers of its net admit."""
    net = getattr(model, "net", None)
    return not isinstance(net, keras.Layer) or functional.is_vectorizable(net)


def _with_gradient(
    log_prob: Callable[[tf.Tensor], tf.Tensor], z: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = log_prob(z)
    gradient = tape.gradient(value, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return value, gradient
