"""What users give as numbers, as tensors of the dtype that is at work."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def as_dtype(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Numbers, arrays, tensors or variables; ``tf.cast`` alone rounds Python numbers to float32."""
    if isinstance(value, (bool, int, float, list, tuple, np.generic, np.ndarray)):
        return tf.constant(np.asarray(value), dtype)
    return tf.cast(value, dtype)
