"""Rademacher variables: fair signs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .... import random
from ..row import Noise, Parameters, Reparameterization


def rademacher(noise: tf.Tensor) -> tf.Tensor:
    """``2 e - 1``."""
    return 2.0 * noise - 1.0


def _coin(shape: Any, key: tf.Tensor, dtype: tf.DType, _: Parameters) -> tf.Tensor:
    return 0.5 * (random.rademacher(shape, key, dtype) + 1.0)


ROWS = (
    Reparameterization(
        name="rademacher",
        law="Rademacher",
        formula="2 e - 1",
        noise=Noise("Bernoulli(1/2)", _coin),
        parameters={},
        transform=rademacher,
    ),
)
