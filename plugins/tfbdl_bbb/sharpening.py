"""Posterior sharpening: weights moved along the gradient of the very sequences they predict.

    q(theta | phi, (x, y)) = N(theta | phi - eta g_phi, s0^2 I),    phi ~ q(phi),
    p(theta | phi) = N(theta | phi, s0^2 I),

with g_phi the gradient of ``-log p(y | phi, x)`` and eta learned for each weight. The loss of a
minibatch is ``-log p(y | theta, x) + KL[q(theta | phi, (x, y)) || p(theta | phi)]`` beside its
share of ``KL[q(phi) || p(phi)]``. Gradients go through g_phi too.

References:
    Fortunato, Blundell & Vinyals 2017, "Bayesian Recurrent Neural Networks", equations (10) to
    (13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.inference.surrogate import read

Tensors = dict[str, tf.Tensor]


class Sharpening(keras.layers.Layer):
    """eta of each weight, and the draws that it sharpens.

    Args:
        shapes: Site name -> the shape of a weight.
        rate: Start of eta. g is the gradient of the mean over the symbols of a minibatch, so that
            eta is of the size of a learning rate.
        scale: s0.
        **kwargs: Of ``keras.layers.Layer``.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], rate: float, scale: float, **kwargs: Any
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.scale = scale
        self.supports_jit = False  # XLA compiles a gradient's gradient of a loop anew at each step
        self.eta = {
            name: self.add_weight(
                name=f"{name}.eta",
                shape=shape,
                initializer=keras.initializers.Constant(rate),
                autocast=False,
            )
            for name, shape in shapes.items()
        }
        self.built = True

    def draw(
        self, phi: Tensors, nll: Callable[[Tensors], tf.Tensor], key: tf.Tensor
    ) -> tuple[Tensors, tf.Tensor]:
        """Draw theta; see ``sharpened``.

        Args:
            phi: Site name -> a draw from q(phi).
            nll: The negative log-likelihood per symbol of the minibatch, of given weights.
            key: Of the noise, ``[2]``.
        """
        noise = {
            name: random.normal(value.shape, random.fold_in(key, name), value.dtype)
            for name, value in phi.items()
        }
        eta = {name: tf.cast(read(self.eta[name]), value.dtype) for name, value in phi.items()}
        return sharpened(phi, nll, eta, self.scale, noise)


def sharpened(
    phi: Tensors,
    nll: Callable[[Tensors], tf.Tensor],
    eta: Tensors,
    scale: float,
    noise: Tensors,
) -> tuple[Tensors, tf.Tensor]:
    """A draw of theta given phi and a minibatch, and what it costs.

    Args:
        phi: Name -> weights.
        nll: From weights to a scalar, whose gradient is g_phi.
        eta: Name -> how far to go along the gradient, of the shape of the weights.
        scale: s0.
        noise: Name -> standard normal numbers.

    Returns:
        theta, and ``KL[q(theta | phi, (x, y)) || p(theta | phi)]`` in nats.
    """
    with tf.GradientTape() as tape:
        tape.watch(phi)
        value = nll(phi)
    gradients = tape.gradient(value, phi, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    g = {name: tf.convert_to_tensor(part) for name, part in gradients.items()}
    moved = {name: eta[name] * g[name] for name in phi}
    theta = {name: phi[name] - moved[name] + scale * noise[name] for name in phi}
    squares = [tf.reduce_sum(tf.square(part)) for part in moved.values()]
    return theta, tf.add_n(squares) / (2.0 * scale**2)  # of two normals of one scale
