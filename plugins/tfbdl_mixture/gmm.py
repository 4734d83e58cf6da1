"""Mixtures of normals, fitted by EM (Bishop 2006, section 9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfbdl import Capability, random
from tfbdl.data import DataInfo, Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.em import sum_over_rows
from tfbdl.parametric import ParametricModel, information_criteria
from tfbdl.protocols import Params, Statistics

from . import gaussian_features as gaussian
from . import geometry
from . import kmeans_plus_plus as kmeans
from .config import GmmOptions
from .gaussian_features import Sums
from .table import check_count, in_blocks, query_table, training_table

LEAST = {"float64": 1e-9, "float32": 1e-5}
"""Share of a column's variance below which the digits of its squares do not reach."""


class GaussianMixture(ParametricModel):
    """``p(x) = sum_k w_k N(x | mu_k, S_k)``.

    Inside, rows are shifted and scaled to mean 0 and standard deviation 1, so that sums of
    squares keep their digits.

    Attributes:
        weights_: ``[k]``.
        means_: ``[k, d]``.
        covariances_: ``[k, d, d]``; tied ``[d, d]``; diagonal ``[k, d]``; spherical ``[k]``.
        objective: ``log_likelihood``, in nats, of all rows.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EM})
    default_engine: ClassVar[str] = "em"
    objective = "log_likelihood"
    jit_compile = False  # two products of matrices, which XLA makes no faster
    options: GmmOptions
    _reach = 1.0  # the largest squared length of a scaled row

    def __init__(
        self,
        options: GmmOptions,
        info: DataInfo | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(options, info, prior, seed)
        self.form: gaussian.Form = options.covariance
        d = _columns(info)
        assert info is not None
        self._shift = np.zeros(d) if info.x_mean is None else np.asarray(info.x_mean)
        self._scale = np.ones(d) if info.x_std is None else np.asarray(info.x_std)
        if self.form == "spherical":  # one unit for all columns, or spheres would be none
            self._scale = np.full(d, np.sqrt(np.mean(self._scale**2)))

    @property
    def num_components(self) -> int:
        """How many components."""
        return self.options.num_components

    @property
    def num_parameters(self) -> int:
        """How many free numbers a fit decides."""
        k, d = self.fitted()["means"].shape
        pairs = d * (d + 1) // 2
        shapes = {"full": k * pairs, "tied": pairs, "diagonal": k * d, "spherical": k}
        return k - 1 + k * d + shapes[self.form]

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes in the E-step."""
        p = gaussian.num_features(self.form, self._scale.size)
        return int(np.dtype(self.dtype).itemsize * (p + 3 * self.num_components))

    # -- the engine em ------------------------------------------------------------------------

    def rows(self, data: Dataset) -> tf.Tensor:
        """``[n, d]``, shifted and scaled.

        Raises:
            DataError: If they are no matrix, have weights, or are fewer than the components.
        """
        x = training_table(data, "float64")
        kmeans.check_rows(len(x), self.num_components, "component")
        u = self._standardized(x)
        self._reach = float((u**2).sum(axis=1).max())
        return tf.constant(u, self.dtype)

    def start(self, rows: tf.Tensor, method: str, seed: int) -> Params:
        """The components of a clustering, each row wholly in one of them.

        Args:
            rows: As ``rows`` gives them.
            method: ``auto`` and ``kmeans++``: k-means from rows that lie far apart; ``random``:
                each row goes to the nearest of some random rows.
            seed: Of the clustering.

        Raises:
            OptionsError: If the method has another name.
        """
        who = "A Gaussian mixture"
        labels = kmeans.start_labels(rows.numpy(), self.num_components, method, seed, who)
        return self.m_step(self._sums(rows, tf.constant(labels)))

    def check_start(self, params: Mapping[str, np.ndarray]) -> None:
        """Raise OptionsError unless weights are a distribution and covariances positive."""
        weights = params["weights"]
        if (weights < 0).any() or not np.isclose(weights.sum(), 1.0, atol=1e-6):
            raise OptionsError(
                "The weights of a mixture are not negative and sum to one. "
                f"Received: {weights.tolist()}."
            )
        covariances = params["covariances"]
        if self.form in ("full", "tied"):
            symmetric = np.allclose(covariances, np.swapaxes(covariances, -1, -2))
            positive = symmetric and bool((np.linalg.eigvalsh(covariances) > 0).all())
        else:
            positive = bool((covariances > 0).all())
        if not positive:
            raise OptionsError(
                "The covariances of a mixture are symmetric and positive definite. "
                f"Received: {covariances.tolist()}."
            )

    def e_step(self, params: Params, rows: tf.Tensor) -> Statistics:
        """Responsibilities (Bishop 9.23), as sums over the rows."""
        phi = gaussian.features(rows, self.form)
        shares, log_prob = self._responsibilities(params, phi)
        return {**gaussian.sums(phi, shares, rows, self.form)._asdict(), **_counted(log_prob)}

    def sampled_e_step(self, params: Params, rows: tf.Tensor, key: tf.Tensor) -> Statistics:
        """Each row given to a component drawn from its responsibilities (Celeux & Diebolt 1985)."""
        phi = gaussian.features(rows, self.form)
        shares, log_prob = self._responsibilities(params, phi)
        uniform = random.uniform(tf.shape(shares)[1:], key, shares.dtype)
        below = tf.cumsum(shares) < uniform * tf.reduce_sum(shares, axis=0)
        labels = tf.reduce_sum(tf.cast(below, tf.int32), axis=0)  # by the inverse of the cdf
        members = self._members(labels, rows.dtype)
        return {**gaussian.sums(phi, members, rows, self.form)._asdict(), **_counted(log_prob)}

    def m_step(self, statistics: Statistics) -> Params:
        """Weights, means and covariances in the units of the data."""
        sums = Sums(*(statistics[name] for name in Sums._fields))
        dtype = sums.count.dtype
        floor = tf.constant(self._floor(), dtype)
        weights, means, covariances = gaussian.maximum(sums, floor, self.form)
        scale, shift = tf.constant(self._scale, dtype), tf.constant(self._shift, dtype)
        return {
            "weights": weights,
            "means": means * scale + shift,
            "covariances": covariances * tf.constant(self._squares(), dtype),
        }

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """``sum_n log p(x_n)`` (Bishop 9.14), in nats and in the units of the data."""
        value = statistics["log_prob"]
        if self.form == "tied":  # the quadratic term that all components share
            precision, _ = self._precisions(params)
            product = tf.cast(precision * statistics["second"], value.dtype)
            value -= 0.5 * tf.reduce_sum(product)
        return value - statistics["rows"] * self._log_volume()

    def rounding(self, params: Mapping[str, np.ndarray]) -> float:
        """By how much rounding may move a row's log density: more in a component that is narrow.

        The products of features cancel to the last digits of ``|u|^2`` over the smallest variance.
        """
        smallest = float(self._narrowest(params, self._scale**2).min())
        return float(np.finfo(self.dtype).eps) * self._reach / max(smallest, LEAST[self.dtype])

    def degenerate(self, params: Mapping[str, np.ndarray]) -> bool:
        """Whether a component collapsed, so that its likelihood means little."""
        return bool(self._collapsed(params))

    def notices(self) -> list[str]:
        """The components that collapsed, and the columns that are constant."""
        found, fitted = [], self.fitted()
        constant = np.setdiff1d(np.arange(self._scale.size), self._moving_columns(fitted))
        if constant.size:
            found.append(
                "Constant columns say nothing about components; their variance is held at "
                f"variance_floor. Columns: {', '.join(map(str, constant))}."
            )
        collapsed = self._collapsed(fitted)
        if collapsed:
            listed = ", ".join(f"{k} (weight {self.weights_[k]:.3g})" for k in collapsed)
            found.append(
                "Components shrank onto points or into a plane until variance_floor "
                f"({self.options.variance_floor:g}) held them, so their likelihood means little: "
                f"{listed}. Take fewer components, a simpler covariance, or a larger floor."
            )
        return found

    # -- what is read from the fit --------------------------------------------------------------

    def log_prob(self, x: Any) -> np.ndarray:
        """``log p(x)`` of rows ``[n, d]`` in nats: ``[n]``."""
        joint = self._log_joint(x)
        peak = joint.max(axis=1, keepdims=True)
        return (peak + np.log(np.exp(joint - peak).sum(axis=1, keepdims=True)))[:, 0]

    def responsibilities(self, x: Any) -> np.ndarray:
        """``p(component | x)`` (Bishop 9.23): ``[n, k]``."""
        joint = self._log_joint(x)
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, x: Any) -> np.ndarray:
        """The most probable component of each row: ``[n]``."""
        return self._log_joint(x).argmax(axis=1)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw ``n`` rows: ``[n, d]``."""
        return self.sample_with_components(n, seed)[0]

    def sample_with_components(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``n`` rows ``[n, d]``, and the component ``[n]`` that each is from."""
        fitted, n = self.fitted(), check_count(n)
        k, d = fitted["means"].shape
        key = random.key(seed, "mixture")
        uniform = random.uniform((n,), random.fold_in(key, "components"), "float64").numpy()
        edges = np.cumsum(fitted["weights"].astype(np.float64))
        chosen = np.minimum(np.searchsorted(edges / edges[-1], uniform), k - 1)
        noise = random.normal((n, d), random.fold_in(key, "noise"), "float64").numpy()
        roots = np.linalg.cholesky(geometry.matrices(fitted, self.form))
        x = fitted["means"][chosen] + np.einsum("nij,nj->ni", roots[chosen], noise)
        return x.astype(self.dtype), chosen

    def bic(self, x: Any) -> float:
        """``-2 log p(x) + num_parameters log n`` (Schwarz 1978): less is better."""
        values = self.log_prob(x)
        total = float(values.sum())
        return information_criteria(total, self.num_parameters, len(values))["bic"]

    # -- inside ---------------------------------------------------------------------------------

    def _sums(self, rows: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Statistics with each row wholly in the component of its label ``[n]``."""

        def of(part: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            phi = gaussian.features(part[0], self.form)
            members = self._members(part[1], phi.dtype)
            return gaussian.sums(phi, members, part[0], self.form)._asdict()

        return dict(sum_over_rows(of, (rows, labels), self.row_bytes))

    def _members(self, labels: tf.Tensor, dtype: Any) -> tf.Tensor:
        """Labels ``[n]`` as responsibilities ``[k, n]``."""
        return tf.one_hot(labels, self.num_components, axis=0, dtype=dtype)

    def _responsibilities(self, params: Params, phi: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``[k, n]``, and the log density of each row ``[n]`` but for what all rows share."""
        logits = tf.matmul(self._coefficients(params), phi)
        peak = tf.reduce_max(logits, axis=0)
        shares = tf.exp(logits - peak)
        total = tf.reduce_sum(shares, axis=0)
        return shares / total, peak + tf.math.log(total)

    def _standardized(self, x: Any) -> Any:
        return (x - self._shift) / self._scale

    def _squares(self) -> np.ndarray:
        """What turns covariances of scaled rows into those of the data."""
        if self.form in ("full", "tied"):
            return np.multiply.outer(self._scale, self._scale)
        return self._scale[0] ** 2 if self.form == "spherical" else self._scale**2

    def _floor(self) -> np.ndarray:
        """The floor of scaled rows' variances along each axis."""
        floor = self.options.variance_floor
        scaled = floor * np.minimum(1.0, 1.0 / self._scale**2)
        return np.maximum(scaled, min(LEAST[self.dtype], floor))

    def _log_volume(self) -> float:
        return float(np.log(self._scale).sum())

    def _precisions(self, params: Params) -> tuple[tf.Tensor, tf.Tensor]:
        covariances = params["covariances"]
        scaled = covariances / tf.constant(self._squares(), covariances.dtype)
        return gaussian.inverse(scaled, self.form, params["means"].shape[1])

    def _coefficients(self, params: Params) -> tf.Tensor:
        """What features are multiplied by, for rows that are shifted and scaled."""
        means = params["means"]
        shift, scale = (tf.constant(v, means.dtype) for v in (self._shift, self._scale))
        precisions, log_det = self._precisions(params)
        log_weights = tf.math.log(params["weights"])
        return gaussian.coefficients(
            log_weights, (means - shift) / scale, precisions, log_det, self.form
        )

    def _log_joint(self, x: Any) -> np.ndarray:
        """``log w_k + log N(x | mu_k, S_k)``: ``[n, k]``."""
        params = {n: tf.constant(v.astype(np.float64)) for n, v in self.fitted().items()}
        table = query_table(x, params["means"].shape[1], "float64")
        coefficients = self._coefficients(params)
        shared = self._precisions(params)[0] if self.form == "tied" else None

        def joint(rows: np.ndarray) -> tf.Tensor:
            u = tf.constant(self._standardized(rows))
            logits = tf.transpose(tf.matmul(coefficients, gaussian.features(u, self.form)))
            if shared is not None:
                logits -= 0.5 * tf.reduce_sum(tf.matmul(u, shared) * u, axis=1, keepdims=True)
            return logits - self._log_volume()

        return np.asarray(in_blocks(joint, table, 2 * self.row_bytes))

    def _moving_columns(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        return geometry.moving_columns(params, self.form, self._floor() * self._scale**2)

    def _narrowest(self, params: Mapping[str, np.ndarray], unit: np.ndarray) -> np.ndarray:
        """The smallest variance of each component ``[k]``, in units ``[d]``."""
        columns = self._moving_columns(params)
        return geometry.smallest_variances(params, self.form, columns, unit)

    def _collapsed(self, params: Mapping[str, np.ndarray]) -> list[int]:
        """Components with a direction at the floor."""
        variances = self._narrowest(params, self._floor() * self._scale**2)
        return np.flatnonzero(variances <= geometry.FLOORED).tolist()


def _counted(log_prob: tf.Tensor) -> dict[str, tf.Tensor]:
    """The sum of log densities ``[n]`` and the number of rows, with all digits of float64."""
    return {
        "log_prob": tf.reduce_sum(tf.cast(log_prob, tf.float64)),
        "rows": tf.cast(tf.shape(log_prob)[0], tf.float64),
    }


def _columns(info: DataInfo | None) -> int:
    """The columns of the table that a mixture is made for."""
    shape = None if info is None else info.x_shape
    if not isinstance(shape, tuple) or len(shape) != 1 or shape[0] is None:
        received = "no data" if info is None else f"rows of shape {shape}"
        raise DataError(f"A mixture is made for a table [n, d]. Received: {received}.")
    return shape[0]
