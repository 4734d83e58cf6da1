"""Small pieces of a compiled loop as one kernel each, instead of one for each operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def as_one_kernel(one: tf.Tensor, fn: Callable[[Any], Any], value: Any) -> Any:
    """``fn(value)``, as the body of a loop of one pass.

    XLA on a CPU starts a kernel for each group of fused operations, dozens for the book-keeping
    of a sampler, and each start costs as much as the arithmetic of a small state. A loop over
    little memory becomes one kernel instead (``tfbdl._backend`` says up to which size). What is
    left of ``fn`` if the loop is not compiled so is ``fn`` itself: the results are the same.

    Args:
        one: The number 1 as a scalar integer that is computed at run time: a loop whose length
            XLA knows would be unrolled.
        fn: From a nest of tensors to a nest of the same shapes; it may use others besides.
        value: What it takes.
    """
    loop = (tf.zeros_like(one), value)
    return tf.while_loop(lambda i, _: i < one, lambda i, value: (i + 1, fn(value)), loop)[1]
