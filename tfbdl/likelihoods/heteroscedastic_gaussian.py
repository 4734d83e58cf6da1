"""Gaussian noise whose size the net predicts for each datum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from ..errors import DataError
from .base import Tensor
from .location_scale import LocationScale, NormalNoise, positive


class HeteroscedasticGaussian(NormalNoise, LocationScale):
    """``y ~ N(loc(x), scale(x)^2)``: the net gives ``d`` locations, then ``d`` raw scales.

    In standardised units ``scale = scale_floor + softplus(raw)``: the floor keeps the density
    bounded where the net fits a datum exactly.

    Args:
        target_mean: Mean of the targets, or one per output.
        target_scale: Standard deviation of the targets (above 0), or one per output.
        scale_floor: The least noise, in standard deviations of the targets, above 0.

    Raises:
        OptionsError: If a value is not admitted.

    References:
        Kendall & Gal 2017, "What uncertainties do we need in Bayesian deep learning for computer
        vision?", section 2.2, there with the log variance as output.
    """

    name: ClassVar[str] = "heteroscedastic_gaussian"

    def __init__(
        self,
        target_mean: float | Sequence[float] = 0.0,
        target_scale: float | Sequence[float] = 1.0,
        scale_floor: float = 1e-4,
    ) -> None:
        super().__init__(target_mean, target_scale)
        self.scale_floor = positive("scale_floor", scale_floor)

    def outputs_for(self, size: int) -> int:
        """See Likelihood."""
        return 2 * size

    def size_for(self, num_outputs: int) -> int:
        """See Likelihood."""
        return half(self.name, num_outputs)

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {**super().get_config(), "scale_floor": self.scale_floor}

    def _standardized(
        self, outputs: Tensor, parameters: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        loc, raw = halves(self.name, outputs)
        return loc, self.scale_floor + tf.math.softplus(raw)


def half(name: str, num_outputs: int) -> int:
    """Half of an even number of outputs.

    Raises:
        DataError: If the number is odd.
    """
    if num_outputs % 2 or num_outputs < 2:
        raise DataError(
            f"The likelihood {name!r} needs two outputs for each target dimension or class: the "
            f"locations, then the raw scales. Received: {num_outputs} outputs."
        )
    return num_outputs // 2


def halves(name: str, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Part ``[..., 2 d]`` into locations and raw scales ``[..., d]``.

    Raises:
        DataError: If the number of outputs is odd.
    """
    size = outputs.shape[-1]
    if size is None:
        loc, raw = tf.split(outputs, 2, axis=-1)
        return loc, raw
    d = half(name, size)
    return outputs[..., :d], outputs[..., d:]
