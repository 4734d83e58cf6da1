"""Student's t noise: regression that outliers do not upset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from ..errors import OptionsError
from .base import Distribution, Tensor
from .location_scale import SharedScale, positive

tfd = tfp.distributions


class StudentT(SharedScale):
    """``y ~ StudentT(df, target_mean + target_scale * output, target_scale * scale)``.

    Args:
        df: Degrees of freedom, above 1, so that the mean exists; the variance is infinite up to 2.
        scale: Scale of the noise of standardised targets, above 0 (the standard deviation is
            ``scale * sqrt(df / (df - 2))``); None: learned, from 0.5, with the prior
            LogNormal(0, 1).
        target_mean: Mean of the targets, or one per output.
        target_scale: Standard deviation of the targets (above 0), or one per output.
        scale_shape: Of a learned scale, see Gaussian.

    Raises:
        OptionsError: If a value is not admitted.

    References:
        Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution".
    """

    name: ClassVar[str] = "student_t"

    def __init__(
        self,
        df: float = 4.0,
        scale: float | None = None,
        target_mean: float | Sequence[float] = 0.0,
        target_scale: float | Sequence[float] = 1.0,
        scale_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(scale, target_mean, target_scale, scale_shape)
        self.df = positive("df", df)
        if self.df <= 1:
            raise OptionsError(f"'df' must be above 1, or there is no mean. Received: {df!r}.")

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {"df": self.df, **super().get_config()}

    def _density(self, loc: Tensor, scale: Tensor) -> Distribution:
        return tfd.StudentT(tf.constant(self.df, loc.dtype), loc, scale)

    def _log_standard(self, z: Tensor) -> Tensor:
        nu = self.df
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
        return constant - (nu + 1) / 2 * tf.math.log1p(tf.square(z) / nu)

    def _noise_variance(self) -> float:
        return self.df / (self.df - 2) if self.df > 2 else math.inf
