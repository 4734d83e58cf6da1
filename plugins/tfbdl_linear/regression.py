"""What the linear regressions share: columns and targets of the data, and what a state predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.likelihoods import Gaussian
from tfbdl.parametric import ParametricModel

from .basis import Basis, make_basis
from .config import BasisOptions


class BasisRegression(ParametricModel):
    """``t = w_0 + Phi(x) w + e`` with normal noise of precision beta."""

    options: BasisOptions
    likelihood = Gaussian(scale=None)
    _basis: Basis | None = None

    @property
    def basis(self) -> Basis:
        """The functions that make columns of inputs.

        Raises:
            ModelError: If the model was made without data.
        """
        if self._basis is None:
            if self.info is None:
                raise ModelError(
                    f"A {type(self).__name__} is made for data: give them to tfbdl.build or "
                    "tfbdl.fit. Received: None."
                )
            self._basis = make_basis(self.options, self.info)
        return self._basis

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Of one row's target: ``()`` or ``(k,)``."""
        shape = () if self.info is None else self.info.y_shape or ()
        return tuple(int(size or 0) for size in shape)

    @property
    def num_targets(self) -> int:
        """How many targets a row has: k."""
        return self.target_shape[0] if self.target_shape else 1

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        super().assign(params)
        if self.info is not None:
            self._basis = self.basis.restored(self.params)

    def design(self, x: Any) -> tf.Tensor:
        """The columns ``[n, M]`` of inputs ``[n, d]``, in the model's precision."""
        return self.basis(tf.cast(tf.convert_to_tensor(x), self.dtype))

    def columns_and_targets(self, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """``[n, M]`` and ``[n, k]`` in float64.

        Raises:
            DataError: If there are no targets, they are classes, or rows have weights.
            OptionsError: If columns stand at rows, and rows were seen before.
        """
        if data.y is None or data.info.task == "classification":
            received = "none" if data.y is None else f"classes ({data.y.dtype})"
            raise DataError(
                "A linear regression needs targets that are numbers, [n] or [n, k]. "
                f"Received: {received}."
            )
        if data.sample_weight is not None:
            raise DataError(
                "A linear regression counts each row once. Expected (x, y). Received: a "
                "sample_weight."
            )
        if data.y.shape[1:] != self.target_shape or data.y.ndim > 2:
            raise DataError(
                f"Expected targets [n] or [n, k], as the model was made for: rows of shape "
                f"{self.target_shape}. Received: {data.y.shape[1:]}."
            )
        if self.basis.at_rows and self.params:
            raise OptionsError(
                "With centers='rows' the columns stand at the rows of one fit, and no more rows "
                "can come after them. Expected all rows at once (no batch_size, "
                "initial='fresh'), or centers='grid'. Received: more rows."
            )
        self._basis = self.basis.seen(np.asarray(data.x))
        columns = self.basis(np.asarray(data.x, np.float64)).numpy()
        return columns, np.asarray(data.y, np.float64).reshape(len(data.y), -1)

    def outputs(self, params: Mapping[str, tf.Tensor], x: Any) -> tf.Tensor:
        """The regression function under one state: ``[n, k]``."""
        columns = self.design(x)
        weights = tf.reshape(params["weights"], [self.basis.num_columns, self.num_targets])
        values = columns @ tf.cast(weights, columns.dtype)
        if "intercept" in params:
            values += tf.cast(params["intercept"], columns.dtype)
        return values

    def likelihood_parameters(self, params: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The noise's standard deviation under one state."""
        return {"scale": 1.0 / tf.sqrt(self.noise_precision(params))}

    def noise_precision(self, params: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The precision of the noise under one state."""
        return params["beta"]
