"""Attention: self-attention over the places of an image, with infinitely many heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfbdl.config import check_choice
from tfbdl.errors import OptionsError

from .base import Covariances, Flow, Layer, require
from .variances import checked


class Attention(Layer):
    """``z = b + sum_h zeta(G_h) V_h O_h``, ``G = Q K' / d^s``: each place attends to all.

    Queries, keys and values of a head are ``a W_Q``, ``a W_K`` and ``a W_V``; the variance of a
    weight is the given one over its fan-in (for O the units of all heads). The heads and their
    width d go to infinity:

    - ``linear``, s = 1: query and key weights are the same but for their scales; of independent
      ones the scores would vanish. The scores become numbers, and the tangent has no part of
      queries and keys.
    - ``square_root``, s = 1/2: query and key weights are independent; the scores stay random, each
      head has its own, and the limit is a closed form for ``zeta(G) = G``.

    The places of an image are the tokens; a sequence of T tokens is an image ``[n, 1, T, c]``.
    Encodings of positions are one vector for each place, with infinitely many channels beside
    those of the input; they are weights too, and the tangent counts them.

    Identity, unlike softmax, gives sums over places that grow with their number. Memory is that of
    the number of places squared; time under ``linear`` is that of its third power.

    Args:
        scaling: ``linear`` or ``square_root``.
        activation: zeta: ``softmax`` over the places attended to, or ``identity``; by default
            ``softmax`` under ``linear``, ``identity`` under ``square_root``, which admits no other.
        query_variance: sigma_q^2, above 0.
        key_variance: sigma_k^2, above 0.
        value_variance: sigma_v^2, above 0.
        output_variance: sigma_o^2, above 0.
        bias_variance: sigma_b^2 of the output's bias, at least 0.
        position_variance: rho, at least 0; 0: places are told apart by what stands there alone.
        position_decay: phi, above 0, of ``R = exp(-phi distance^2)`` between places; None: the
            vectors of different places are independent.
        position_values: Whether values see positions, or queries and keys alone.

    Raises:
        OptionsError: If an argument is not admitted.

    References:
        Hron et al. 2020, "Infinite attention: NNGP and NTK for deep attention networks", the
        sections on the linear and the square root scaling limits and on positional encodings.
    """

    needs_places = True

    def __init__(
        self,
        scaling: Literal["linear", "square_root"] = "linear",
        activation: Literal["softmax", "identity"] | None = None,
        query_variance: Any = 1.0,
        key_variance: Any = 1.0,
        value_variance: Any = 1.0,
        output_variance: Any = 1.0,
        bias_variance: Any = 0.0,
        position_variance: Any = 0.0,
        position_decay: Any = None,
        position_values: bool = False,
    ) -> None:
        check_choice("scaling", scaling, ("linear", "square_root"))
        self.scaling = scaling
        if activation is None:
            activation = "softmax" if scaling == "linear" else "identity"
        check_choice("activation", activation, ("softmax", "identity"))
        if scaling == "square_root" and activation != "identity":
            raise OptionsError(
                "Under the square root scaling scores stay random, and softmax of them has no "
                "closed form. Expected: activation='identity', or scaling='linear'. "
                f"Received: {activation!r}."
            )
        self.activation = activation
        self.query_variance = checked("query_variance", query_variance, positive=True)
        self.key_variance = checked("key_variance", key_variance, positive=True)
        self.value_variance = checked("value_variance", value_variance, positive=True)
        self.output_variance = checked("output_variance", output_variance, positive=True)
        self.bias_variance = checked("bias_variance", bias_variance)
        self.position_variance = checked("position_variance", position_variance)
        if position_decay is not None:
            position_decay = checked("position_decay", position_decay, positive=True)
        self.position_decay, self.position_values = position_decay, position_values
        self._positions = tf.is_tensor(position_variance) or self.position_variance > 0.0
        if not self._positions and (position_decay is not None or position_values):
            raise OptionsError(
                "position_decay and position_values are of encodings of positions. Expected: "
                f"position_variance above 0 beside them. Received: {position_variance!r}."
            )

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(
            before.spatial,
            "Attention needs places to attend to. Expected: images [n, height, width, channels], "
            "or sequences [n, 1, length, channels], not yet flattened or pooled over. Received: "
            "vectors.",
        )
        return before._replace(gaussian=True)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        if before.tangent is not None:
            whole = tf.broadcast_to(before.tangent, tf.shape(before.cross))
            before = replace(before, tangent=whole)
        seen = before
        if self._positions:
            height, width = before.first.shape[-2:]
            R = position_covariance(height, width, self.position_decay, before.first.dtype)
            # as weights: their tangent is their covariance
            seen = before.linear(lambda part: part + self.position_variance * R)
        values = seen if self.position_values else before
        limit = self._linear if self.scaling == "linear" else self._square_root
        return limit(seen, values)

    def _linear(self, seen: Covariances, values: Covariances) -> Covariances:
        """``K -> s A(x) K A(x')' + sigma_b^2``, ``T -> s A(x) (T + 2 K) A(x')' + sigma_b^2``.

        Here ``s = sigma_o^2 sigma_v^2``. Twice K is of the weights of values and of the output;
        the part of queries and keys is of the order 1 / d.
        """
        variance, bias = self.output_variance * self.value_variance, self.bias_variance
        A1, A2 = self._attention(seen.first), self._attention(seen.second)
        cross = variance * _attended(A1, values.cross, A2, paired=values.paired)
        tangent = values.tangent
        if tangent is not None:
            path = variance * _attended(A1, tangent, A2, paired=values.paired)
            tangent = path + 2.0 * cross + bias
        return replace(
            values,
            cross=cross + bias,
            first=variance * _attended(A1, values.first, A1, paired=True) + bias,
            second=variance * _attended(A2, values.second, A2, paired=True) + bias,
            tangent=tangent,
        )

    def _attention(self, own: tf.Tensor) -> tf.Tensor:
        """``A = zeta(sigma_q sigma_k K(x, x))``: to which places each of a row attends."""
        scores = (self.query_variance * self.key_variance) ** 0.5 * own
        if self.activation == "identity":
            return scores
        return tf.exp(scores - tf.reduce_logsumexp(scores, axis=[-2, -1], keepdims=True))

    def _square_root(self, seen: Covariances, values: Covariances) -> Covariances:
        """``K[p, q] -> s K[p, q] <K, K> + sigma_b^2``, with ``<., .>`` the sum over both places.

        Here s is the product of the four variances: scores have the covariance
        ``sigma_q^2 sigma_k^2 K[p, q] K[i, j]``, and ``K[i, j]`` is that of the values. The tangent
        has a part of each of the four weights, equal to K without its bias, and one of the input
        through queries, keys and values: ``s (4 K <K, K> + T <K, K> + 2 K <K, T>) + sigma_b^2``
        where values see what queries and keys see.
        """
        variance = self.query_variance * self.key_variance
        variance *= self.value_variance * self.output_variance

        def change(K: tf.Tensor, V: tf.Tensor) -> tf.Tensor:
            return variance * K * _product(K, V) + self.bias_variance

        K, V, T, tangent = seen.cross, values.cross, seen.tangent, None
        if T is not None:
            keys_and_values = _product(T, V) + _product(K, values.tangent)
            queries = T * _product(K, V)
            weights = 4.0 * K * _product(K, V)
            tangent = variance * (weights + queries + K * keys_and_values) + self.bias_variance
        return replace(
            values,
            cross=change(K, V),
            first=change(seen.first, values.first),
            second=change(seen.second, values.second),
            tangent=tangent,
        )


def position_covariance(height: int, width: int, decay: Any, dtype: tf.DType) -> tf.Tensor:
    """R, ``[h, w, h, w]``: one at equal places, and ``exp(-decay distance^2)``, or 0, elsewhere."""
    places = np.indices((height, width)).reshape(2, -1)
    squares = np.sum((places[:, :, None] - places[:, None]) ** 2, axis=0)
    square = tf.constant(squares.reshape(height, width, height, width), dtype)
    if decay is None:
        return tf.cast(square == 0.0, dtype)
    return tf.exp(-decay * square)


def _attended(A1: tf.Tensor, part: tf.Tensor, A2: tf.Tensor, *, paired: bool) -> tf.Tensor:
    """``A1 part A2'`` over places, for each pair of rows or (``paired``) each row."""
    if paired:
        return tf.einsum("apqij,aijkl,arskl->apqrs", A1, part, A2)
    return tf.einsum("apqij,abijkl,brskl->abpqrs", A1, part, A2)


def _product(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The sum over both places of the products, ``[..., 1, 1, 1, 1]``."""
    return tf.reduce_sum(first * second, axis=[-4, -3, -2, -1], keepdims=True)
