"""Traced: a dual whose graphs outlive the networks that it is asked for."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from . import get
from .base import Dual


class Traced(Dual):
    """A dual whose graphs are kept: one for each rank of its arguments, whatever the network.

    A quadrature such as that of tanh is hundreds of operations, which a kernel of many layers
    would trace again for each layer and each move of a slider.
    """

    def __init__(self, dual: Dual) -> None:
        self._dual = dual
        self._graphs: dict[int, Any] = {}

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual; arguments of one rank."""
        rank = k.shape.rank
        if rank not in self._graphs:
            spec = tf.TensorSpec([None] * rank, k.dtype)
            self._graphs[rank] = tf.function(
                self._dual.__call__, input_signature=[spec] * 3, autograph=False
            )
        value, slope = self._graphs[rank](k, q1, q2)
        return value, slope


def traced(activation: Any) -> Dual:
    """The dual of an activation; of one with a name it is kept with its graphs.

    Args:
        activation: As ``duals.get`` takes it.

    Raises:
        OptionsError: If the name is not known.
    """
    return _by_name(activation) if isinstance(activation, str) else get(activation)


@functools.cache
def _by_name(activation: str) -> Traced:
    return Traced(get(activation))
