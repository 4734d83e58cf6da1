"""PPCA: probabilistic principal component analysis, in closed form or by EM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfbdl import Capability, random
from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.parametric import ParametricModel, information_criteria

from . import ppca_steps
from .latent_config import PPCAOptions
from .ppca_queries import PPCAQueries
from .ppca_steps import Rows
from .scatter import Scatter, constant_columns
from .scatter_model import ScatterModel, not_varying
from .table import training_table


class PPCA(PPCAQueries, ScatterModel):
    """``x = W z + mean + noise``, ``z ~ N(0, I)``, ``noise ~ N(0, noise_variance I)``.

    W is known up to a rotation of z. It is given with orthogonal columns, the longest first, whose
    entry of largest size is positive: then its columns lie along the principal axes.

    After a fit: ``W_`` ``[d, k]``, ``mean_`` ``[d]``, ``noise_variance_``.

    References:
        Tipping & Bishop 1999; Bishop 2006, section 12.2.
    """

    options_class: ClassVar[Any] = PPCAOptions
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EM, Capability.EXACT})
    default_engine: ClassVar[str] = "exact"
    missing_values: ClassVar[bool] = True
    objective: ClassVar[str] = "log_likelihood"
    jit_compile: ClassVar[bool] = (
        False  # XLA's Cholesky of a small matrix a row is ten times slower
    )

    origin: Any = 0.0
    num_rows: int = 0
    floor: float = 0.0  # of the noise variance, in squared units of the data
    constant_columns: tuple[int, ...] = ()
    _log_likelihood: float = float("nan")
    _rows: Rows | None = None

    def condition(self, data: Dataset) -> None:
        """The maximum of the likelihood in closed form, of the rows seen so far and these.

        There is none as long as all of them are equal.

        ``noise_variance`` is the mean of the discarded eigenvalues of the covariance with divisor N
        (Bishop 12.46), and ``W = U (L - noise_variance I)^(1/2)`` (12.45).

        Raises:
            DataError: If the rows are no table, or a value is missing.
            OptionsError: If latent_dim is not below the number of columns.
        """
        scatter = self.take_in(data)
        self._rows = None
        self._check_size(len(scatter.mean))
        if self.shortcoming(scatter):
            return
        self.floor = self._floor_of(scatter.squares / scatter.num_rows)
        self.assign(self._closed_form(scatter))
        self.num_rows = scatter.num_rows
        self.constant_columns = scatter.constant_columns
        self._log_likelihood = _log_likelihood(scatter, self.options.latent_dim, self.floor)

    def shortcoming(self, scatter: Scatter) -> str:
        """What these rows lack for a fit; empty if nothing."""
        return not_varying(scatter.constant_columns, len(scatter.mean), scatter.num_rows)

    def rows(self, data: Dataset) -> Rows:
        """The inputs ``[n, d]``; where values are missing a pair (filled rows, mask).

        Raises:
            DataError: If they are no table, a column has no value at all, or all rows are equal.
            OptionsError: If latent_dim is not below the number of columns.
        """
        table = training_table(data, self.dtype)
        self._check_size(table.shape[1])
        observed = ~np.isnan(table)
        empty = np.flatnonzero(~observed.any(axis=0))
        if len(empty):
            raise DataError(
                "Each column needs values to learn from. Received: all values missing in "
                f"{len(empty)} of {table.shape[1]} columns, the first at {empty[0]}. "
                "Leave them out."
            )
        mean = np.asarray(np.nanmean(table, axis=0, dtype=np.float64))
        variance = np.asarray(np.nanmean((table - mean) ** 2, axis=0, dtype=np.float64))
        self.constant_columns = constant_columns(mean, variance)
        if wrong := not_varying(self.constant_columns, len(mean), len(table)):
            raise DataError(wrong)
        self.floor = self._floor_of(variance)
        self.scatter, self.num_rows = None, len(table)
        self.origin = mean.astype(self.dtype)
        x = tf.constant(np.where(observed, table, self.origin))
        self._rows = x if observed.all() else (x, tf.constant(observed.astype(self.dtype)))
        return self._rows

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes in the E-step."""
        k = self.options.latent_dim
        numbers = 4 * np.size(self.origin) + 4 * k
        if isinstance(self._rows, tuple):
            numbers += 5 * (k + 1) ** 2
        return int(np.dtype(self.dtype).itemsize * numbers)

    def start(self, rows: Rows, method: str, seed: int) -> dict[str, tf.Tensor]:
        """Parameters to begin with.

        ``random``: a W of normal numbers. ``auto``: the same, or with missing values the closed
        form for rows whose gaps are filled with the column means.

        Raises:
            OptionsError: If the method is another.
        """
        if method not in ("auto", "random"):
            raise OptionsError(
                "ppca starts at 'auto' or 'random', or at given W, mean and noise_variance. "
                f"Received: {method!r}."
            )
        x = rows[0] if isinstance(rows, tuple) else rows
        if method == "auto" and isinstance(rows, tuple):
            found = self._closed_form(Scatter.of(x.numpy()))
            return {name: tf.constant(value) for name, value in found.items()}
        k = self.options.latent_dim
        mean = tf.constant(self.origin)
        variance = tf.reduce_mean((x - mean) ** 2)
        shape = (x.shape[1], k)
        W = random.normal(shape, random.key(seed, "ppca"), x.dtype)
        noise = tf.maximum(variance, tf.constant(self.floor, x.dtype))
        return {"W": W * tf.sqrt(variance / k), "mean": mean, "noise_variance": noise}

    def check_start(self, params: Mapping[str, Any]) -> None:
        """Raise OptionsError unless the noise variance of a start is positive."""
        if not np.asarray(params["noise_variance"]) > 0:
            raise OptionsError(
                "noise_variance of initial must be above 0. "
                f"Received: {float(params['noise_variance'])!r}."
            )

    def e_step(self, params: Mapping[str, tf.Tensor], rows: Rows) -> dict[str, tf.Tensor]:
        """Moments of the latents under their posterior (Bishop 12.54, 12.55)."""
        return ppca_steps.expected(*self._from_origin(params, rows))

    def sampled_e_step(
        self, params: Mapping[str, tf.Tensor], rows: Rows, keys: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The same moments at one draw of the latents."""
        return ppca_steps.sampled(*self._from_origin(params, rows), keys)

    def variational_e_step(
        self, params: Mapping[str, tf.Tensor], rows: Rows
    ) -> dict[str, tf.Tensor]:
        """The same moments under the best factorised distribution of the latents."""
        return ppca_steps.factorised(*self._from_origin(params, rows))

    def m_step(self, statistics: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """W, mean and noise variance (Bishop 12.56, 12.57)."""
        origin = tf.cast(self.origin, statistics["products"].dtype)
        return ppca_steps.maximised(statistics, origin, self.floor)

    def log_likelihood(
        self, params: Mapping[str, tf.Tensor], statistics: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Of all observed values, or the bound of the factorised E-step: nats."""
        del params
        return statistics["value"]

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these parameters, with the latents turned so that W's columns are orthogonal."""
        W = np.asarray(params["W"], np.float64)
        axes, lengths, _ = np.linalg.svd(W, full_matrices=False)  # W R with R = V
        peaks = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[np.newaxis], axis=0)
        turned = axes * lengths * np.where(peaks < 0, -1.0, 1.0)
        noise = np.asarray(params["noise_variance"], self.dtype)
        if self._rows is not None:
            noise = np.maximum(noise, np.asarray(self.floor, self.dtype))
        super().assign(
            {
                "W": turned.astype(self.dtype),
                "mean": np.asarray(params["mean"], self.dtype),
                "noise_variance": noise,
            }
        )
        if self._rows is not None:
            self._log_likelihood = float(self._log_prob(self._rows).sum(dtype=np.float64))
            self._rows = None  # a fitted model keeps no data

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a stored state, bit for bit.

        Raises:
            CheckpointError: If it is of another kind of model.
        """
        super().set_state(state)
        ParametricModel.assign(self, {name: state[name] for name in self.params})

    @property
    def num_parameters(self) -> int:
        """Free numbers of a fit: ``d k - k (k - 1) / 2 + d + 1``; a rotation of W is none."""
        d, k = self.fitted()["W"].shape
        return int(d * k - k * (k - 1) // 2 + d + 1)

    def figures(self) -> dict[str, float]:
        """Log likelihood, BIC and AIC of the training rows."""
        if not self.num_rows:
            return {}
        value = self._log_likelihood
        criteria = information_criteria(value, self.num_parameters, self.num_rows)
        return {"log_likelihood": value, **criteria}

    def notices(self) -> list[str]:
        """Sentences on columns that are constant, and on noise at its floor.

        Raises:
            DataError, ModelError: As ``fitted``.
        """
        sentences = super().notices()
        if self.constant_columns:
            some = ", ".join(map(str, self.constant_columns[:5]))
            more = ", ..." if len(self.constant_columns) > 5 else ""
            sentences.append(
                f"Constant columns ({some}{more}) lower the noise variance, which all columns "
                "share. Leave them out."
            )
        if self.num_rows and self.noise_variance_ <= self.floor * (1.0 + 1e-6):
            sentences.append(
                f"The noise variance is at its floor, {self.floor:.4g}: "
                f"{self.options.latent_dim} latent dimensions explain the {self.num_rows} rows "
                "whole. Ask for fewer."
            )
        return sentences

    def _closed_form(self, scatter: Scatter) -> dict[str, np.ndarray]:
        d, k = len(scatter.mean), self.options.latent_dim
        kept, noise = _kept_and_noise(scatter, k, self.floor)
        W = np.zeros((d, k))
        W[:, : len(kept)] = scatter.axes[: len(kept)].T * np.sqrt(np.maximum(kept - noise, 0.0))
        arrays = {"W": W, "mean": scatter.mean, "noise_variance": np.asarray(noise)}
        return {name: value.astype(self.dtype) for name, value in arrays.items()}

    def _from_origin(
        self, params: Mapping[str, tf.Tensor], rows: Rows
    ) -> tuple[dict[str, tf.Tensor], Rows]:
        """Means and rows seen from the column means, so that large offsets cost no digits.

        The noise variance of a given start is raised to the floor.
        """
        dtype = params["W"].dtype
        origin = tf.cast(self.origin, dtype)
        noise = tf.maximum(params["noise_variance"], tf.constant(self.floor, dtype))
        moved = {**params, "mean": params["mean"] - origin, "noise_variance": noise}
        return moved, ppca_steps.centred(rows, origin)

    def _floor_of(self, variances: np.ndarray) -> float:
        """The least noise variance where columns have these variances ``[d]``."""
        return self.options.noise_floor * min(1.0, float(variances.mean()))

    def _check_size(self, num_columns: int) -> None:
        if self.options.latent_dim >= num_columns:
            raise OptionsError(
                f"latent_dim must be below the number of columns, {num_columns}, so that there is "
                f"noise to learn. Received: {self.options.latent_dim}."
            )


def _kept_and_noise(scatter: Scatter, k: int, floor: float) -> tuple[np.ndarray, float]:
    """The eigenvalues that W takes up, and the mean of the others (Bishop 12.46)."""
    variances = scatter.variances
    noise = variances[k:].sum() / (len(scatter.mean) - k)
    return variances[:k], max(float(noise), floor)


def _log_likelihood(scatter: Scatter, k: int, floor: float) -> float:
    """At the closed form (Bishop 12.44), from the eigenvalues of the covariance."""
    kept, noise = _kept_and_noise(scatter, k, floor)
    d, inside = len(scatter.mean), np.maximum(kept, noise)
    log_det = np.log(inside).sum() + (d - len(kept)) * np.log(noise)
    trace = (kept / inside).sum() + scatter.variances[k:].sum() / noise
    return float(-0.5 * scatter.num_rows * (d * np.log(2.0 * np.pi) + log_det + trace))
