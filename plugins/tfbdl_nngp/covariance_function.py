"""CovarianceFunction: any kernel as a function of arrays, ours and those of TFP alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import DataError, OptionsError

from . import blocks

Pairs = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class CovarianceFunction:
    """A kernel whose matrices are computed block by block, by compiled functions without XLA.

    Args:
        between: From ``[a, ...]`` and ``[b, ...]`` to ``[a, b]``, in a graph.
        paired: From ``[n, ...]`` to ``[n]``: of each row with itself.
        dtype: Of inputs and results.
        check: What makes an array of inputs; it raises DataError.
        rows: From the shape of a row to the rows of a block.
        compiled: Whether both are compiled already.
    """

    def __init__(
        self,
        between: Pairs,
        paired: Callable[[tf.Tensor], tf.Tensor],
        dtype: str,
        check: Callable[[Any], np.ndarray] | None = None,
        rows: Callable[[tuple[int, ...]], int] | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        self.dtype = dtype
        self._check = check or (lambda x: blocks.finite(x, dtype))
        self._rows = rows or (lambda shape: int(blocks.ELEMENTS**0.5))
        self._programs, self._as_they_are = (between, paired), compiled
        self._compiled: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def matrix(self, x1: Any, x2: Any = None) -> np.ndarray:
        """``[n1, n2]``; of x1 with itself without x2.

        Raises:
            DataError: If inputs are not finite, or of unequal width.
        """
        first = self.check(x1)
        second = None if x2 is None else self.check(x2)
        if second is not None and first.shape[1:] != second.shape[1:]:
            raise DataError(
                f"Both sets of inputs must have rows of one shape. Received: "
                f"{list(first.shape[1:])} and {list(second.shape[1:])}."
            )
        between, _ = self._functions(first.shape[1:])
        found = blocks.fill(between, first, second, self._rows(first.shape[1:]), self.dtype)
        if second is None:
            # a covariance that rounding sets apart from its variance costs half of the digits of
            # an angle of 0
            found[np.diag_indices_from(found)] = self.diagonal(first)
        return found

    def diagonal(self, x: Any) -> np.ndarray:
        """``[n]``: of each row with itself.

        Raises:
            DataError: As ``matrix``.
        """
        array = self.check(x)
        rows = max(1, min(self._rows(array.shape[1:]) ** 2, blocks.PAIRED_ROWS))
        parts = blocks.slices(len(array), rows)
        _, paired = self._functions(array.shape[1:])
        return np.concatenate([paired(tf.constant(array[p])).numpy() for p in parts])

    def check(self, x: Any) -> np.ndarray:
        """Inputs as an array.

        Raises:
            DataError: If they are none.
        """
        return self._check(x)

    def _functions(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Both programs, compiled for rows of a shape and any number of them."""
        if self._as_they_are:
            return self._programs
        if shape not in self._compiled:
            spec = tf.TensorSpec([None, *shape], self.dtype)
            between, paired = self._programs
            self._compiled[shape] = (
                tf.function(between, input_signature=[spec, spec], autograph=False),
                tf.function(paired, input_signature=[spec], autograph=False),
            )
        return self._compiled[shape]


def covariance_of(kernel: Any) -> CovarianceFunction:
    """The covariance function of a Kernel, of a kernel of TFP, or itself.

    Raises:
        OptionsError: If it is none of them.
    """
    if isinstance(kernel, CovarianceFunction):
        return kernel
    if hasattr(kernel, "function") and hasattr(kernel, "nngp"):
        found: CovarianceFunction = kernel.function("nngp")
        return found
    if hasattr(kernel, "matrix") and hasattr(kernel, "apply"):
        return _of_tfp(kernel)
    raise OptionsError(
        "kernel must be a tfbdl_nngp.Kernel or a kernel of tfp.math.psd_kernels. "
        f"Received: a {type(kernel).__name__}."
    )


def _of_tfp(kernel: Any) -> CovarianceFunction:
    dtype = getattr(kernel, "dtype", None)
    name = "float64" if dtype is None else tf.as_dtype(dtype).name
    return CovarianceFunction(kernel.matrix, lambda x: kernel.apply(x, x, example_ndims=1), name)
