"""The log likelihood of constant parameters, of several chains at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfbdl.protocols import Params

from .score import score
from .sequential import Filtered, filter_sequentially
from .system import Observed, System


def system_of(params: Params) -> System:
    """The parameters ``A, B, H, Q, R, m0, P0`` as a system.

    Args:
        params: Each with the same leading axes of chains, or with none.
    """
    chains = tf.broadcast_static_shape(params["m0"].shape[:-1], params["P0"].shape[:-2])
    for name in ("A", "H", "Q", "R"):
        chains = tf.broadcast_static_shape(chains, params[name].shape[:-2])
    chains = tf.broadcast_static_shape(chains, params["B"].shape[:-1])
    size = params["m0"].shape[-1]
    return System(
        A=params["A"][..., tf.newaxis, :, :],
        offset=params["B"][..., tf.newaxis, tf.newaxis, :],
        H=params["H"][..., tf.newaxis, :, :],
        Q=params["Q"][..., tf.newaxis, :, :],
        R=params["R"][..., tf.newaxis, :, :],
        m0=tf.broadcast_to(params["m0"], [*chains, size]),
        P0=tf.broadcast_to(params["P0"], [*chains, size, size]),
    )


def observe(y: tf.Tensor, *, shared: bool, chains: int = 0) -> Observed:
    """Sequences ``[n, T, m]`` with NaN, in the order of the filter.

    Args:
        y: Observations.
        shared: Whether all sequences miss the same elements, so that they share covariances.
        chains: Axes of chains that the parameters have before their own.
    """
    by_time = tf.transpose(y, [1, 0, 2])
    there = ~tf.math.is_nan(by_time)
    values = tf.where(there, by_time, tf.zeros_like(by_time))
    seen = tf.cast(there[:, :1] if shared else there, y.dtype)
    for _ in range(chains):
        values, seen = values[:, tf.newaxis], seen[:, tf.newaxis]
    return Observed(values, seen)


def log_likelihood(params: Params, y: tf.Tensor, *, shared: bool) -> tf.Tensor:
    """``log p(y)`` of each sequence, the states integrated out: ``[..., n]``, in nats.

    Its gradient is that of ``score``: several times faster than automatic differentiation, which
    stores all that a step computes. It can be differentiated again.

    Args:
        params: As ``system_of`` takes them.
        y: ``[n, T, m]``, NaN where one is missing.
        shared: See ``observe``.
    """
    system = system_of(params)
    chains = system.m0.shape[:-1]
    parts = [  # axes of chains for all, so that a gradient has the shape of its parameter
        tf.broadcast_to(part, [*chains, *part.shape[part.shape.rank - rank :]])
        for part, rank in zip(system, (3, 3, 3, 3, 3, 1, 2), strict=True)
    ]
    seen = observe(y, shared=shared, chains=chains.rank)
    return _with_score(seen.seen)(seen.values, *parts)


def _with_score(seen: tf.Tensor) -> Callable[..., tf.Tensor]:
    """``log p(y)`` of what was seen, as a function of observations and parameters."""

    @tf.custom_gradient
    def total(values: tf.Tensor, *parts: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def filtered() -> Filtered:
            return filter_sequentially(System(*parts), Observed(values, seen), square_root=False)

        def gradient(weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # the filter runs anew: a second derivative must know how its results came about
            by_part, by_value = score(System(*parts), Observed(values, seen), filtered(), weights)
            chains = list(range(1, values.shape.rank - 2))
            return tf.reduce_sum(by_value, chains, keepdims=True), *by_part

        return tf.reduce_sum(filtered().increments, 0), gradient

    compute: Callable[..., tf.Tensor] = total
    return compute
