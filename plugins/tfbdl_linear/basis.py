"""Basis functions: from inputs ``[n, d]`` to the columns that the weights multiply ``[n, M]``.

References:
    Bishop 2006, section 3.1: polynomials, (3.4) Gaussian, (3.5) sigmoidal; Tipping 2001 (rows).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import DataInfo
from tfbdl.errors import DataError, ModelError

from .config import BasisOptions

GRID_STDDEVS = 2.0
PAIRS = 1_000  # rows among which the median distance is taken


@dataclass(frozen=True)
class Basis:
    """Functions of the inputs whose places are known.

    Attributes:
        options: Which functions.
        num_inputs: d.
        shift, unit: What standardisation subtracts from and divides each input by, ``[d]``.
        centers: Of gaussian and sigmoid functions: ``[num_basis, d]`` along each input, or rows
            ``[c, d]`` of all inputs; empty for other functions, and at rows that are not seen yet.
        width: ``[d]``, or one number at rows.
        low, period: Of waves, ``[d]``.
    """

    options: BasisOptions
    num_inputs: int
    shift: np.ndarray
    unit: np.ndarray
    centers: np.ndarray
    width: np.ndarray
    low: np.ndarray
    period: np.ndarray

    @property
    def at_rows(self) -> bool:
        """Whether a function stands at each of some rows."""
        return self.options.at_rows

    @property
    def num_columns(self) -> int:
        """M.

        Raises:
            ModelError: If functions stand at rows, and none were seen yet.
        """
        if self.at_rows:
            if not len(self.centers):
                raise ModelError(
                    "With centers='rows' the columns are known once rows were seen. Use "
                    "engine='exact', or centers='grid'."
                )
            return len(self.centers)
        each = {
            "identity": 1,
            "polynomial": self.options.degree,
            "fourier": 2 * self.options.num_basis,
        }
        return self.num_inputs * each.get(self.options.basis, self.options.num_basis)

    def __call__(self, x: Any) -> tf.Tensor:
        """The columns ``[n, M]`` of inputs ``[n, d]``: first function of every input, then second.

        Raises:
            DataError: If the inputs are not those of training.
        """
        x = tf.convert_to_tensor(x)
        x = x[:, tf.newaxis] if x.shape.rank == 1 else x
        if x.shape.rank != 2 or x.shape[1] != self.num_inputs:
            raise DataError(
                f"Expected inputs of shape [n, {self.num_inputs}]. Received: {x.shape}."
            )
        x = (x - _constant(self.shift, x)) / _constant(self.unit, x)
        name = self.options.basis
        if name == "identity":
            return x
        if name == "polynomial":
            return tf.concat([x**power for power in range(1, self.options.degree + 1)], axis=1)
        if name == "fourier":
            return self._waves(x)
        if self.at_rows:
            return self._kernels(x)
        z = (x[:, tf.newaxis] - _constant(self.centers, x)) / _constant(self.width, x)
        values = tf.sigmoid(z) if name == "sigmoid" else tf.exp(-0.5 * z**2)  # (3.5), (3.4)
        return tf.reshape(values, [-1, self.num_columns])

    def seen(self, x: np.ndarray) -> Basis:
        """The basis with a function at each of these rows ``[n, d]``.

        That is, if functions stand at rows and none were seen before.
        """
        if not self.at_rows or len(self.centers):
            return self
        rows = (x.reshape(len(x), -1).astype(np.float64) - self.shift) / self.unit
        given = self.options.width
        width = _half_median_distance(rows) if given is None else given
        return self.at(rows, width)

    def at(self, centers: Any, width: Any) -> Basis:
        """The same functions elsewhere."""
        places = {"centers": np.asarray(centers, np.float64), "width": np.asarray(width)}
        return Basis(**{**self.__dict__, **places})

    def state(self) -> dict[str, np.ndarray]:
        """What was learned of the rows, to be stored."""
        return {"centers": self.centers, "width": self.width} if self.at_rows else {}

    def restored(self, state: Mapping[str, Any]) -> Basis:
        """The inverse of ``state``."""
        return self.at(state["centers"], state["width"]) if "centers" in state else self

    def _waves(self, x: tf.Tensor) -> tf.Tensor:
        phase = 2.0 * math.pi * (x - _constant(self.low, x)) / _constant(self.period, x)
        orders = range(1, self.options.num_basis + 1)
        return tf.concat([wave(k * phase) for k in orders for wave in (tf.sin, tf.cos)], axis=1)

    def _kernels(self, x: tf.Tensor) -> tf.Tensor:
        centers = _constant(self.centers, x)
        squares = tf.reduce_sum((x[:, tf.newaxis] - centers) ** 2, axis=-1)
        return tf.exp(-0.5 * squares / _constant(self.width, x) ** 2)


def make_basis(options: BasisOptions, info: DataInfo) -> Basis:
    """The basis for data that ``info`` describes.

    Raises:
        DataError: If x is no array ``[n]`` or ``[n, d]``, or its moments are needed and not known.
    """
    shape = info.x_shape
    if isinstance(shape, dict) or len(shape) > 1 or None in shape:
        raise DataError(f"A linear model needs x of shape [n, d]. Received rows: {shape}.")
    d = int(shape[0] or 0) if shape else 1
    mean, std = (np.asarray(moment or [], np.float64) for moment in (info.x_mean, info.x_std))
    spread = options.basis in ("sigmoid", "fourier") or (
        options.basis == "gaussian" and not options.at_rows
    )
    if (options.standardize or (spread and options.domain is None)) and not len(mean):
        raise DataError(
            "Mean and standard deviation of the inputs are needed, which are known for columns. "
            "Expected x of shape [n, d], or the option domain without standardize. "
            f"Received rows of shape {shape}."
        )
    zeros, ones = np.zeros(d), np.ones(d)
    shift, unit = (mean, std) if options.standardize else (zeros, ones)
    low = high = zeros
    if options.domain is not None:
        low, high = options.domain[0] * ones, options.domain[1] * ones
    elif spread:
        reach = GRID_STDDEVS * std
        low, high = (mean - reach - shift) / unit, (mean + reach - shift) / unit
    on_grid = spread and options.basis != "fourier"
    centers = np.linspace(low, high, options.num_basis) if on_grid else np.empty((0, d))
    gap = (high - low) / max(options.num_basis - 1, 1)
    return Basis(
        options=options,
        num_inputs=d,
        shift=shift,
        unit=unit,
        centers=centers,
        width=gap if options.width is None else options.width * ones,
        low=low,
        period=high - low if options.period is None else options.period * ones,
    )


def _half_median_distance(rows: np.ndarray) -> np.ndarray:
    some = rows[:: max(1, math.ceil(len(rows) / PAIRS))]
    squares = ((some[:, np.newaxis] - some) ** 2).sum(axis=-1)
    apart = squares[squares > 0]
    return np.asarray(0.5 * math.sqrt(np.median(apart)) if apart.size else 1.0)


def _constant(value: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    return tf.constant(value, like.dtype)
