"""DPPNet: a net that predicts conditional marginals of a k-DPP, for fast approximate draws.

The net gets the set A taken so far and says how probable each other item is to be in Y as well. If
it were right, adding items one by one in proportion to what it says would be an exact draw: the
marginals sum to ``k - |A|``, so that a subset has probability
``sum_orders prod_t P(i_t in Y | A_t in Y) / (k - t) = P(Y)``.

References:
    Mariet, Ovadia, Snoek 2019, "DPPNet: Approximating determinantal point processes with deep
    networks", NeurIPS (arXiv:1901.02051).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.errors import ModelError, OptionsError
from tfbdl.inference.reparameterizations import gumbel_of_uniform

from .checks import check_subset
from .k_dpp import KDPP

OUT = -1e9  # a logit of what cannot come
BLOCK = 4_096  # draws made together


class DPPNet:
    """A net for one ground set: a mask of A in, a logit for each item out.

    It is trained on exact draws Y in random orders: A is the beginning of an order, and the log
    loss of the items that follow is least where the net gives the conditional marginals
    ``P(i in Y | A in Y) = (k - |A|) softmax_i``. No determinant is needed for it.

    Args:
        process: The k-DPP that it stands in for.
        hidden: Units of the hidden layers.
        seed: Of the weights.

    Example:
        ```python
        import numpy as np
        from tfbdl_dpp import KDPP, DPPNet

        x = np.random.default_rng(0).normal(size=(30, 4))
        net = DPPNet(KDPP(features=x, k=3), hidden=(64,)).fit(steps=200)
        net.marginals([4])                 # [30]: given that item 4 is in
        net.sample(1000, seed=1)           # [1000, 3]
        ```
    """

    def __init__(self, process: KDPP, hidden: Sequence[int] = (128, 128), seed: int = 0) -> None:
        if not isinstance(process, KDPP):
            raise OptionsError(
                f"DPPNet stands in for a KDPP. Received: {type(process).__name__}. A DPP of any "
                "size is drawn from by its size first: size_probabilities()."
            )
        self.process = process
        self.seed = check_whole("seed", seed, least=0)
        self.hidden = tuple(check_whole("hidden", units) for units in hidden)
        self.history: dict[str, list[float]] = {"loss": []}
        self._is_fitted = False
        self._net = self._made()

    @property
    def num_items(self) -> int:
        """Items of the ground set."""
        return self.process.num_items

    def fit(
        self,
        steps: int = 1_000,
        batch_size: int = 128,
        draws: int = 10_000,
        learning_rate: float = 2e-3,
    ) -> DPPNet:
        """Learn from exact draws.

        Args:
            steps: Of Adam, with a learning rate that falls to zero by a cosine.
            batch_size: Draws in a step, each cut at a random place.
            draws: Exact draws to learn from; more of them leave less error.
            learning_rate: At the start.

        Returns:
            Itself. ``history["loss"]`` has the log loss of an item after each tenth of the steps;
            that of the true marginals is the least there is.
        """
        check_whole("steps", steps)
        check_whole("batch_size", batch_size)
        masks = self._masks(self.process.sample(check_whole("draws", draws), self.seed))
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        optimizer = keras.optimizers.Adam(schedule)
        optimizer.build(self._net.trainable_variables)
        key = random.key(self.seed, "dpp_net")
        train = _trainer(self._net, optimizer, self.process.k, batch_size)
        rows = tf.constant(masks)
        for start in range(0, steps, -(-steps // 10)):
            stop = min(start + -(-steps // 10), steps)
            loss = train(rows, key, tf.constant(start), tf.constant(stop))
            self.history["loss"].append(float(loss))
        self._is_fitted = True
        return self

    def marginals(self, include: Any = ()) -> np.ndarray:
        """``P(i in Y | A in Y)`` as the net sees it, ``[n]``; 1 for the items of A.

        Args:
            include: A: distinct indices, or booleans ``[n]``; fewer than k items.

        Raises:
            DataError: If it is no subset.
            OptionsError: If it has k items or more.
            ModelError: If the net was not fitted.
        """
        self._check_fitted()
        items = check_subset(include, self.num_items, "include")
        left = self.process.k - len(items)
        if left < 1:
            raise OptionsError(
                f"include must have fewer than k = {self.process.k} items. Received: {len(items)}."
            )
        A = self._masks(items[np.newaxis])
        shares = tf.nn.softmax(_logits(self._net, tf.constant(A))).numpy()[0]
        found = np.minimum(left * shares.astype(np.float64), 1.0)
        found[items] = 1.0
        return found

    def sample(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Draw subsets, approximately from the k-DPP: all n at once, item by item.

        Args:
            n: How many.
            seed: The same seed gives the same subsets.

        Returns:
            Sorted indices ``[n, k]``.

        Raises:
            ModelError: If the net was not fitted.
        """
        self._check_fitted()
        check_whole("n", n)
        key = random.key(check_whole("seed", seed, least=0), "draws")
        blocks = []
        for start in range(0, n, BLOCK):
            keys = random.fold_in(key, tf.range(start, min(start + BLOCK, n)))
            blocks.append(self._draw(keys).numpy())
        return np.nonzero(np.concatenate(blocks))[1].reshape(n, self.process.k)

    def get_weights(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return {f"net_{i:02d}": w for i, w in enumerate(self._net.get_weights())}

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Take these for the learned ones."""
        self._net.set_weights([np.asarray(weights[name]) for name in sorted(weights)])
        self._is_fitted = True

    def _made(self) -> keras.Model:
        n = self.num_items
        start = np.log(np.maximum(self.process.inclusion_probabilities(), 1e-12))
        h = inputs = keras.Input((n,))
        for layer, units in enumerate(self.hidden):
            seed = (self.seed + layer) % 2**31
            start_of = keras.initializers.GlorotUniform(seed)
            h = keras.layers.Dense(units, "relu", kernel_initializer=start_of)(h)
        out = keras.layers.Dense(n, kernel_initializer="zeros")  # at first as if A said nothing
        net = keras.Model(inputs, out(h))
        out.bias.assign(start)
        return net

    def _masks(self, subsets: np.ndarray) -> np.ndarray:
        masks = np.zeros((len(subsets), self.num_items), np.float32)
        np.put_along_axis(masks, subsets, 1.0, axis=1)
        return masks

    def _check_fitted(self) -> None:
        if not self._is_fitted:
            raise ModelError("The net has learned nothing yet. Call fit() first.")

    @tf.function(reduce_retracing=True)
    def _draw(self, keys: tf.Tensor) -> tf.Tensor:
        """Booleans ``[n, items]``: the largest of logits with Gumbel noise is a draw of softmax."""
        A = tf.zeros([tf.shape(keys)[0], self.num_items])
        for t in tf.range(self.process.k):
            u = random.uniform([self.num_items], random.fold_in(keys, t))
            noisy = _logits(self._net, A) + gumbel_of_uniform(u)
            A += tf.one_hot(tf.argmax(noisy, axis=1), self.num_items)
        return A > 0.5


def _logits(net: keras.Model, A: tf.Tensor) -> tf.Tensor:
    """Of the items outside A."""
    return tf.where(A > 0.5, OUT, net(A))


def _trainer(net: keras.Model, optimizer: Any, k: int, batch_size: int) -> Any:
    """``train(masks, key, start, stop)``: these steps; the loss of the last."""

    def loss_of(Y: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        order = random.uniform(tf.shape(Y), random.fold_in(keys, 1))
        order = tf.where(Y > 0.5, order, 2.0)
        size = tf.cast(k * random.uniform([batch_size], random.fold_in(keys, 2)), tf.int32)
        size = tf.minimum(size, k - 1)
        first = tf.gather(tf.sort(order, axis=1), size, axis=1, batch_dims=1)
        A = tf.cast(order < first[:, tf.newaxis], tf.float32)
        log_shares = tf.nn.log_softmax(_logits(net, A))
        followed = tf.reduce_sum(tf.where(Y - A > 0.5, log_shares, 0.0), axis=1)
        return -tf.reduce_mean(followed / tf.cast(k - size, tf.float32))

    @tf.function
    def train(masks: tf.Tensor, key: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        loss = tf.zeros([])
        for step in tf.range(start, stop):
            keys = random.fold_in(key, step)
            u = random.uniform([batch_size], random.fold_in(keys, 0))
            rows = tf.cast(u * tf.cast(len(masks), tf.float32), tf.int32)
            Y = tf.gather(masks, tf.minimum(rows, len(masks) - 1))
            with tf.GradientTape() as tape:
                loss = loss_of(Y, keys)
            gradients = tape.gradient(loss, net.trainable_variables)
            optimizer.apply(gradients, net.trainable_variables)
        return loss

    return train
