"""``tf.map_fn``, one element after the other, that leaves nothing behind when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def map_serially(fn: Callable[[Any], Any], elements: Any, signature: Any = None) -> Any:
    """``fn`` of each element along the first axis, one after the other.

    In a graph ``tf.map_fn`` gives the variable scope a caching device while it runs, and keeps it
    there if ``fn`` raises an error. Every strategy of the process would then refuse to begin.

    Args:
        fn: From one element, a nest like ``elements`` without its first axis, to a nest.
        elements: A nest of tensors ``[n, ...]``.
        signature: Nest of ``tf.TensorSpec`` or dtypes of what ``fn`` gives; None: as ``elements``.

    Returns:
        A nest of tensors ``[n, ...]``.
    """
    scope = tf.compat.v1.get_variable_scope()
    before = scope.caching_device
    try:
        return tf.map_fn(fn, elements, fn_output_signature=signature, parallel_iterations=1)
    finally:
        if scope.caching_device is not before:
            scope.set_caching_device(before)
