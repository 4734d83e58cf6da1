"""Several networks of one architecture: weights stacked ``[J, ...]``, all run in one graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from tfbdl import functional, random
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError
from tfbdl.serial import map_serially

Tensors = dict[str, tf.Tensor]


class StackedNet:
    """``count`` networks like ``net``, each with weights of its own.

    Dense nets run as batched products (``tf.vectorized_map``); others, such as convolutions, one
    after the other (``map_serially``), for no device has a fast kernel with a filter for each row.

    Args:
        net: A built Keras net; a template alone, whose own weights stay as they are. Where
            ``net.trainable`` is False, all copies keep its weights, and none is sampled.
        count: J, at least 1.
        role: Begins the names of the sites: ``generator`` gives ``generator.dense.kernel``.

    Attributes:
        variables: Site name -> the template's variable, for all weights.
        is_trainable: Whether the weights are sampled.
        is_vectorized: Whether all copies run at once.

    Raises:
        ModelError: If the net is not built, has no weights, or keeps state beside its weights, as
            BatchNormalization does: rows would not be independent given the weights.
    """

    def __init__(self, net: keras.Model, count: int, role: str) -> None:
        if not net.built:
            raise ModelError(
                f"The {role} must know the shape of its inputs. Expected a built net: begin it "
                "with keras.layers.Input(shape). Received: one that is not built."
            )
        variables = functional.site_names(net)
        state = [v.path for v in net.non_trainable_variables] if net.trainable else []
        if state or not variables:
            raise ModelError(
                f"The likelihood of a {role}'s weights needs rows that are independent given the "
                "weights. Expected a net whose weights all train (LayerNormalization in place of "
                "BatchNormalization, no Dropout), or one that is frozen as a whole. Received: "
                f"{', '.join(state) or 'a net without weights'}."
            )
        self.net, self.count, self.role = net, count, role
        self.variables = {f"{role}.{name}": variable for name, variable in variables.items()}
        self.is_trainable = bool(net.trainable)
        self.is_vectorized = functional.is_vectorizable(net)

    @property
    def num_parameters(self) -> int:
        """Of one network."""
        return functional.count(list(self.variables.values()))

    def start(self, seed: int) -> Tensors:
        """Fresh weights, each network from a seed of its own: site name -> ``[J, ...]``."""
        keys = random.split(random.key(seed, self.role), self.count)
        each = []
        for number in random.bits((), keys).numpy():
            net = functional.clone(self.net, int(number)) if self.is_trainable else self.net
            values = functional.site_names(net).values()
            each.append([tf.convert_to_tensor(value) for value in values])
        stacked = [tf.stack(parts) for parts in zip(*each, strict=True)]
        return dict(zip(self.variables, stacked, strict=True))

    def one(
        self, params: Mapping[str, tf.Tensor], inputs: tf.Tensor, net: keras.Model | None = None
    ) -> tf.Tensor:
        """One network, or a part of it, with the given weights, without a leading axis."""
        pairs = [(variable, params[name]) for name, variable in self.variables.items()]
        outputs: tf.Tensor = functional.apply(net or self.net, pairs, inputs)[0]
        return outputs

    def each(self, params: Mapping[str, tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
        """Each network on rows of its own.

        Args:
            params: Site name -> ``[J, ...]``.
            inputs: ``[J, n, ...]``.

        Returns:
            ``[J, n, ...]``.
        """
        return self._map(lambda given: self.one(*given), (dict(params), inputs), inputs.shape[1])

    def all(self, params: Mapping[str, tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
        """Every network on the same rows.

        Args:
            params: Site name -> ``[J, ...]``.
            inputs: ``[n, ...]``.

        Returns:
            ``[J, n, ...]``.
        """
        return self._map(lambda given: self.one(given, inputs), dict(params), inputs.shape[0])

    def features(self, params: Mapping[str, tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
        """What the last layer of every network sees of the same rows: ``[J, n, ...]``."""
        net = self._below_last
        return self._map(
            lambda given: self.one(given, inputs, net), dict(params), inputs.shape[0], net
        )

    @cached_property
    def _below_last(self) -> keras.Model:
        return keras.Model(self.net.inputs, self.net.layers[-1].input)

    def log_prior(self, params: Mapping[str, tf.Tensor], prior: Prior) -> tf.Tensor:
        """``log p(theta | alpha)`` of each network, in nats: ``[J]``."""
        terms = [
            prior.distribution(value.shape[1:], value.dtype.name, name).log_prob(value)
            for name, value in params.items()
        ]
        return tf.add_n([tf.reshape(term, [-1]) for term in terms])

    def _map(
        self, fn: Any, given: Any, rows: int | None, net: keras.Model | None = None
    ) -> tf.Tensor:
        leading = tf.nest.flatten(given)[0].shape[0]
        if leading == 1:
            return fn(tf.nest.map_structure(lambda part: part[0], given))[tf.newaxis]
        if self.is_vectorized:
            return tf.vectorized_map(fn, given, warn=False)
        shape = (net or self.net).output_shape
        signature = tf.TensorSpec((rows, *shape[1:]), self.net.compute_dtype)
        return map_serially(fn, given, signature)
