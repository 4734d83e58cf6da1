"""Kernel: the covariances of an infinitely wide network, NNGP and NTK, from its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, ModelError, OptionsError

from . import blocks
from .covariance_function import CovarianceFunction
from .layers import Activation, Covariances, Dense, Flow, Layer

Which = Literal["nngp", "ntk"]
KINDS = ("nngp", "ntk")


class Kernel:
    """The prior covariance (``nngp``) and the tangent kernel (``ntk``) of an infinitely wide net.

    Inputs are ``[n, d]``, or images ``[n, height, width, channels]`` where a layer has places. All
    is computed block by block, in memory that the result alone makes grow, and of a symmetric
    matrix one half.

    Args:
        layers: From input to readout; see ``tfbdl_nngp.layers``.
        dtype: ``float64``, or ``float32``: half the memory and time, and few digits of depth.

    Raises:
        ModelError: If a layer cannot stand where it does.
        OptionsError: If dtype is neither.

    Example:
        ```python
        kernel = Kernel.mlp(depth=3, activation="relu", weight_variance=2.0, bias_variance=0.1)
        K = kernel.nngp(x)  # [n, n], NumPy
        T = kernel.ntk(x, x_test)
        tfd.GaussianProcess(kernel.psd_kernel(), index_points=x)
        ```

    References:
        Lee et al. 2018, "Deep neural networks as Gaussian processes"; Jacot et al. 2018, "Neural
        tangent kernel"; Novak et al. 2019.
    """

    def __init__(self, layers: Sequence[Layer], dtype: str = "float64") -> None:
        check_choice("dtype", dtype, ("float64", "float32"))
        self.layers, self.dtype = tuple(layers), dtype
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise OptionsError(
                    "A kernel is made of layers of tfbdl_nngp.layers, or Kernel.from_keras(model) "
                    f"reads those of Keras. Received: a {type(layer).__name__}."
                )
        self.takes_images = _takes_images(self.layers)
        state = Flow(spatial=self.takes_images, gaussian=False)
        for layer in self.layers:
            state = layer.flow(state)
        if state.spatial or not self.layers:
            raise ModelError(
                "A kernel is that of one output for each row. Expected: Flatten or "
                "GlobalAveragePooling, and a dense readout, after the convolutions."
            )
        self._places = 0
        if self.takes_images:
            self._places = 4 if any(layer.needs_places for layer in self.layers) else 2
        self._functions: dict[str, CovarianceFunction] = {}

    @classmethod
    def mlp(
        cls,
        depth: int = 3,
        activation: Any = "relu",
        weight_variance: Any = 2.0,
        bias_variance: Any = 0.1,
        dtype: str = "float64",
    ) -> Kernel:
        """A fully connected network.

        Args:
            depth: Hidden layers, before a linear readout; 0 is a linear model.
            activation: See ``layers.Activation``.
            weight_variance: sigma_w^2 of every layer.
            bias_variance: sigma_b^2 of every layer.
            dtype: See Kernel.
        """
        check_whole("depth", depth, least=0)
        hidden = Activation(activation)
        layers: list[Layer] = []
        for _ in range(depth):
            layers += [Dense(weight_variance, bias_variance), hidden]
        return cls([*layers, Dense(weight_variance, bias_variance)], dtype)

    @classmethod
    def from_keras(
        cls,
        model: Any,
        weight_variance: float | None = None,
        bias_variance: float | None = None,
        dtype: str = "float64",
    ) -> Kernel:
        """The infinitely wide limit of a Keras network, with the variances of its initializers.

        Args:
            model: A Sequential model, or a functional one whose branches are joined by Add.
            weight_variance: sigma_w^2 of every layer in place of its initializer's.
            bias_variance: sigma_b^2 likewise.
            dtype: See Kernel.

        Raises:
            ModelError: If a layer or an initializer has no such limit here.
        """
        from .keras_layers import read

        return cls(read(model, weight_variance, bias_variance), dtype)

    def nngp(self, x1: Any, x2: Any = None) -> np.ndarray:
        """Prior covariances of the outputs, ``[n1, n2]``; of x1 with itself without x2.

        Raises:
            DataError: If inputs are not finite, or not of the shape that the layers take.
        """
        return self.function("nngp").matrix(x1, x2)

    def ntk(self, x1: Any, x2: Any = None) -> np.ndarray:
        """Neural tangent kernel, ``[n1, n2]``; of x1 with itself without x2.

        The sum over all weights of the product of the output's derivatives, in the
        parametrisation where each weight is ``sqrt(variance / width)`` times a standard normal.

        Raises:
            DataError: As ``nngp``.
        """
        return self.function("ntk").matrix(x1, x2)

    def diagonal(self, x: Any, which: Which = "nngp") -> np.ndarray:
        """The kernel of each row with itself, ``[n]``, in time and memory of n.

        Raises:
            DataError: As ``nngp``.
        """
        return self.function(which).diagonal(x)

    def function(self, which: Which = "nngp") -> CovarianceFunction:
        """The kernel as a function of arrays, block by block.

        Raises:
            OptionsError: If ``which`` is neither nngp nor ntk.
        """
        check_choice("which", which, KINDS)
        if which not in self._functions:
            self._functions[which] = CovarianceFunction(
                lambda x1, x2: self.between(x1, x2, which),
                lambda x: self.between(x, x, which, paired=True),
                self.dtype,
                check=self.check_inputs,
                rows=self._block_rows,
            )
        return self._functions[which]

    def between(
        self, x1: tf.Tensor, x2: tf.Tensor, which: Which = "nngp", *, paired: bool = False
    ) -> tf.Tensor:
        """The kernel in a graph, at once and with gradients: ``[n1, n2]``.

        Args:
            x1: ``[n1, ...]``.
            x2: ``[n2, ...]``.
            which: ``nngp`` or ``ntk``.
            paired: Of each row with that of the same number alone: ``[n]``.
        """
        state = self._inputs(x1, x2, paired, which == "ntk")
        for layer in self.layers:
            state = layer(state)
        if which == "nngp" or state.tangent is None:
            return state.cross
        return tf.broadcast_to(state.tangent, tf.shape(state.cross))

    def psd_kernel(self, which: Which = "nngp") -> tfp.math.psd_kernels.PositiveSemidefiniteKernel:
        """The same as a kernel of TensorFlow Probability, for ``tfd.GaussianProcess``."""
        from .psd import NetworkKernel

        check_choice("which", which, KINDS)
        return NetworkKernel(self, which)

    def check_inputs(self, x: Any) -> np.ndarray:
        """Inputs as an array of the kernel's dtype.

        Raises:
            DataError: If they are not finite, or not ``[n, d]`` (images ``[n, h, w, c]``).
        """
        array = blocks.finite(x, self.dtype)
        rank = 4 if self.takes_images else 2
        if array.ndim != rank or 0 in array.shape[1:]:
            form = "images [n, height, width, channels]" if self.takes_images else "vectors [n, d]"
            raise DataError(f"This kernel takes {form}. Received: shape {list(array.shape)}.")
        return array

    def _inputs(self, x1: tf.Tensor, x2: tf.Tensor, paired: bool, tangent: bool) -> Covariances:
        """``x . x' / d`` of inputs, or of the channels of each place."""
        products = {
            0: ("ad,bd->ab", "ad,ad->a", "ad,ad->a"),
            2: ("ahwc,bhwc->abhw", "ahwc,ahwc->ahw", "ahwc,ahwc->ahw"),
            4: ("ahwc,bijc->abhwij", "ahwc,aijc->ahwij", "ahwc,aijc->ahwij"),
        }[self._places]
        size = tf.cast(tf.shape(x1)[-1], x1.dtype)
        if self._places:
            size = tf.constant(x1.shape[-1], x1.dtype)
        cross, own, row = products
        return Covariances(
            cross=tf.einsum(row if paired else cross, x1, x2) / size,
            first=tf.einsum(own, x1, x1) / size,
            second=tf.einsum(own, x2, x2) / size,
            tangent=tf.zeros([], x1.dtype) if tangent else None,
            places=self._places,
            paired=paired,
        )

    @cached_property
    def _block_rows(self) -> Callable[[tuple[int, ...]], int]:
        places = self._places

        def rows(shape: tuple[int, ...]) -> int:
            """Rows of a block for inputs of a shape without rows."""
            each = 1
            if places:
                each = (shape[0] * shape[1]) ** (places // 2)
            return max(1, int((blocks.ELEMENTS / each) ** 0.5))

        return rows


def _takes_images(layers: Sequence[Layer]) -> bool:
    from .layers import Convolution, Flatten, Residual

    for layer in layers:
        if isinstance(layer, Residual):
            if _takes_images(layer.branch) or _takes_images(layer.shortcut):
                return True
        elif layer.needs_places or isinstance(layer, (Convolution, Flatten)):
            return True
    return False
