"""Real-valued targets around a location, in the units of standardised targets."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from ..config import check_whole
from ..errors import DataError, OptionsError
from ..protocols import Parameter
from .base import Distribution, Likelihood, Tensor, as_outputs, as_targets, as_tensor, sum_events

tfb, tfd = tfp.bijectors, tfp.distributions

INITIAL_SCALE = 0.5
"""Where a learned scale starts, in standard deviations of the targets."""


class LocationScale(Likelihood):
    """``y = target_mean + target_scale * (loc + scale * e)`` with a standard noise ``e``.

    The net works on standardised targets, whose mean is 0 and standard deviation 1; whatever
    comes in (``y``) or goes out (``log_prob``, ``mean``, ``distribution``) is in original units.

    Args:
        target_mean: Mean of the targets, or one per output.
        target_scale: Standard deviation of the targets (above 0), or one per output.

    Raises:
        OptionsError: If a value is not admitted.
    """

    def __init__(
        self,
        target_mean: float | Sequence[float] = 0.0,
        target_scale: float | Sequence[float] = 1.0,
    ) -> None:
        self.target_mean = _number_or_tuple("target_mean", target_mean)
        self.target_scale = _number_or_tuple("target_scale", target_scale)
        if np.any(np.asarray(self.target_scale) <= 0):
            raise OptionsError(f"'target_scale' must be above 0. Received: {target_scale!r}.")
        sizes = {len(v) for v in (self.target_mean, self.target_scale) if isinstance(v, tuple)}
        if len(sizes) > 1:
            raise OptionsError(
                "'target_mean' and 'target_scale' must have the same length. "
                f"Received: {target_mean!r} and {target_scale!r}."
            )

    @abc.abstractmethod
    def _standardized(
        self, outputs: Tensor, parameters: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """Location and scale in standardised units; the scale broadcasts against the location."""

    @abc.abstractmethod
    def _density(self, loc: Tensor, scale: Tensor) -> Distribution:
        """The location-scale family."""

    @abc.abstractmethod
    def _log_standard(self, z: Tensor) -> Tensor:
        """Log density of the standard noise."""

    def _noise_variance(self) -> float:
        """Variance of the standard noise."""
        return 1.0

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {"target_mean": _plain(self.target_mean), "target_scale": _plain(self.target_scale)}

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        loc, scale, mean, unit = self._parts(outputs, parameters)
        return self._density(mean + unit * loc, tf.broadcast_to(unit * scale, tf.shape(loc)))

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood."""
        loc, scale, mean, unit = self._parts(outputs, parameters)
        z = ((as_targets(y, loc) - mean) / unit - loc) / scale
        return sum_events(self._log_standard(z) - tf.math.log(scale) - tf.math.log(unit))

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        loc, _, mean, unit = self._parts(outputs, parameters)
        return mean + unit * loc

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        loc, scale, _, unit = self._parts(outputs, parameters)
        return tf.broadcast_to(self._noise_variance() * tf.square(unit * scale), tf.shape(loc))

    def _parts(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        loc, scale = self._standardized(as_outputs(outputs), self._checked(parameters))
        for name in ("target_mean", "target_scale"):
            value = getattr(self, name)
            if isinstance(value, tuple) and loc.shape[-1] not in (None, len(value)):
                raise DataError(
                    f"{name!r} of the likelihood {self.name!r} has {len(value)} values, one per "
                    f"output. Received: outputs for {loc.shape[-1]} target dimensions."
                )
        mean, unit = (tf.constant(v, loc.dtype) for v in (self.target_mean, self.target_scale))
        return loc, scale, mean, unit


class NormalNoise(LocationScale):
    """A LocationScale whose standard noise is normal."""

    def _density(self, loc: Tensor, scale: Tensor) -> Distribution:
        return tfd.Normal(loc, scale)

    def _log_standard(self, z: Tensor) -> Tensor:
        return -0.5 * tf.square(z) - 0.5 * math.log(2 * math.pi)


class SharedScale(LocationScale):
    """A LocationScale whose scale is one number (or one per output) for all data.

    Args:
        scale: Standard deviation (or scale) of the noise of standardised targets, above 0; None:
            learned, from 0.5, with the prior LogNormal(0, 1).
        target_mean: See LocationScale.
        target_scale: See LocationScale.
        scale_shape: Of a learned scale, whose axes are the last of a row's outputs: ``()`` is one
            for all, ``(3,)`` one for each of three outputs (or channels of each pixel), ``(8, 8,
            3)`` one for each element of an image; None: one per output if ``target_scale`` is.

    Raises:
        OptionsError: If a value is not admitted.
    """

    def __init__(
        self,
        scale: float | None = None,
        target_mean: float | Sequence[float] = 0.0,
        target_scale: float | Sequence[float] = 1.0,
        scale_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(target_mean, target_scale)
        self.scale = None if scale is None else positive("scale", scale)
        if scale_shape is not None:
            if scale is not None or not isinstance(scale_shape, (tuple, list)):
                raise OptionsError(
                    "'scale_shape' is a list of sizes, of a scale that is learned. Expected: "
                    f"scale=None. Received: scale_shape={scale_shape!r}, scale={scale!r}."
                )
            scale_shape = tuple(check_whole("sizes of 'scale_shape'", n) for n in scale_shape)
        self.scale_shape = scale_shape

    def parameters(self, dtype: str = "float32") -> Mapping[str, Parameter]:
        """See Likelihood."""
        if self.scale is not None:
            return {}
        shape = np.shape(self.target_scale) if self.scale_shape is None else self.scale_shape
        prior = tfd.LogNormal(tf.zeros(shape, dtype), tf.ones(shape, dtype))
        return {
            "scale": Parameter(
                shape=shape,
                bijector=tfb.Softplus(),
                initial=INITIAL_SCALE,
                prior=tfd.Independent(prior, len(shape)) if shape else prior,
            )
        }

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        shape = None if self.scale_shape is None else list(self.scale_shape)
        return {"scale": self.scale, **super().get_config(), "scale_shape": shape}

    def _checked(self, parameters: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if self.scale is None and set(parameters or {}) == {"scale"}:  # no prior is built here
            return dict(parameters or {})
        return super()._checked(parameters)

    def _standardized(
        self, outputs: Tensor, parameters: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        value = parameters["scale"] if self.scale is None else self.scale
        own = self.scale_shape or ()
        axes = (None,) * len(own) if outputs.shape.rank is None else tuple(outputs.shape[1:])
        last = axes[len(axes) - len(own) :]
        if len(own) > len(axes) or any(
            n != 1 and m not in (n, None) for n, m in zip(own, last, strict=True)
        ):
            raise DataError(
                f"'scale_shape' {own} of the likelihood {self.name!r} must be the last axes of a "
                f"row's outputs. Received: outputs of shape {outputs.shape}."
            )
        return outputs, as_tensor(value, outputs.dtype)


def positive(name: str, value: Any) -> float:
    """``value`` as a float above 0.

    Raises:
        OptionsError: If it is none.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise OptionsError(f"{name!r} must be a finite number above 0. Received: {value!r}.")
    return float(value)


def _number_or_tuple(name: str, value: Any) -> float | tuple[float, ...]:
    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        array = np.full((1, 1), np.nan)
    if array.ndim > 1 or not np.isfinite(array).all() or array.size == 0:
        raise OptionsError(
            f"{name!r} must be a finite number, or one per output. Received: {value!r}."
        )
    return tuple(array.tolist()) if array.ndim else float(array)


def _plain(value: float | tuple[float, ...]) -> float | list[float]:
    return list(value) if isinstance(value, tuple) else value
