"""Compiled loops: small pieces as one kernel each, sums in order, what XLA could not compile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from ..errors import ModelError


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


@contextmanager
def sums_in_order() -> Iterator[None]:
    """Within this, or decorated by it, what runs without XLA adds in the order that is written.

    Grappler merges chains of additions, such as those of a log joint, into one ``AddN``, which
    begins with whichever of its inputs nobody else holds at that moment: of three numbers or more
    the last bit depends on which thread was first, and a chain of accepted moves on the last bit.
    """
    options = tf.config.optimizer
    before = options.get_experimental_options().get("arithmetic_optimization")
    options.set_experimental_options({"arithmetic_optimization": False})
    try:
        yield
    finally:
        options.set_experimental_options({"arithmetic_optimization": before})


@contextmanager
def naming_the_operation(what: str = "Markov chains") -> Iterator[None]:
    """Within this, a density that XLA cannot compile is named as the cause.

    Args:
        what: Is compiled.

    Raises:
        ModelError: With the operation that XLA does not know.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        found = re.search(r"unsupported operations.*?XLA\w*: (\w+)", error.message, re.DOTALL)
        if found is None:
            raise
        raise ModelError(
            f"{what} are compiled by XLA, which does not know the operation "
            f"{found[1]!r} that this model uses. Do its work on the data beforehand, or write "
            "the density with other functions of TensorFlow."
        ) from error
