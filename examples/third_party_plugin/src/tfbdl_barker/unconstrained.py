"""The change of variables: from a model's sites to one flat, unconstrained state, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfbdl.protocols import LogJoint


class Unconstrained:
    """A model as a density over flat states ``[d]``.

    log p(u) = log_joint(T(u), batch) + log |det dT / du|, with T the bijectors of the sites.

    Args:
        model: What offers sites, init and log_joint.
        batch: Its data.
    """

    def __init__(self, model: LogJoint, batch: Any) -> None:
        self.model, self.batch = model, batch
        self.bijectors = {site.name: site.bijector or tfb.Identity() for site in model.sites}
        start = self._free(model.init(0))
        self.shapes = {name: value.shape for name, value in start.items()}
        self.sizes = [shape.num_elements() for shape in self.shapes.values()]

    def start(self, seed: int) -> tf.Tensor:
        """A starting state: ``[d]``."""
        free = self._free(self.model.init(seed))
        return tf.concat([tf.reshape(value, [-1]) for value in free.values()], axis=0)

    def density(self, states: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Log densities ``[chain]`` and gradients ``[chain, d]`` of states ``[chain, d]``."""
        with tf.GradientTape() as tape:
            tape.watch(states)
            values = tf.map_fn(self._log_prob, states)
        return values, tape.gradient(values, states)

    def constrained(self, states: tf.Tensor) -> dict[str, tf.Tensor]:
        """Site name -> ``[..., *shape]`` of states ``[..., d]``."""
        return {name: self.bijectors[name].forward(u) for name, u in self._parts(states).items()}

    def _log_prob(self, state: tf.Tensor) -> tf.Tensor:
        value = self.model.log_joint(self.constrained(state), self.batch)
        for name, part in self._parts(state).items():
            jacobian = tf.reduce_sum(self.bijectors[name].forward_log_det_jacobian(part))
            value += tf.cast(jacobian, value.dtype)
        return value

    def _free(self, params: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: self.bijectors[name].inverse(params[name]) for name in self.bijectors}

    def _parts(self, states: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = tf.split(states, self.sizes, axis=-1)
        return {
            name: tf.reshape(column, [*states.shape[:-1], *shape])
            for (name, shape), column in zip(self.shapes.items(), columns, strict=True)
        }
