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
from tfbdl.parametric import ParametricModel
from tfbdl.protocols import Params, Statistics

from . import gaussian_features as gaussian
from . import kmeans_plus_plus as kmeans
from .config import GmmOptions
from .gaussian_features import Sums
from .table import in_blocks, query_table, training_table

FLOORED = 1.001  # a variance up to so many floors is said to be at the floor


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
    options: GmmOptions

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
        kmeans.check_rows(len(x), self.num_components)
        return tf.constant(self._standardized(x), self.dtype)

    def start(self, rows: tf.Tensor, method: str, seed: int) -> Params:
        """Means at centres, and the covariances of the rows around them.

        Args:
            rows: As ``rows`` gives them.
            method: ``auto`` and ``kmeans++``: k-means from rows that lie far apart; ``random``:
                means at random rows, each with the covariance of all.
            seed: Of the centres.

        Raises:
            OptionsError: If the method has another name.
        """
        x, k = rows.numpy(), self.num_components
        if method in ("auto", "kmeans++"):
            centers = kmeans.lloyd(x, kmeans.centers(x, k, seed))["centers"]
            labels, _ = kmeans.nearest_centers(rows, tf.constant(centers))
            return self.m_step(self._sums(rows, tf.one_hot(labels, k, dtype=rows.dtype)))
        if method != "random":
            raise OptionsError(
                "A Gaussian mixture starts by 'auto', 'kmeans++', 'random' or from arrays. "
                f"Received: {method!r}."
            )
        even = tf.fill((len(x), k), tf.constant(1.0 / k, rows.dtype))
        params = dict(self.m_step(self._sums(rows, even)))
        order = np.argsort(random.uniform((len(x),), random.key(seed, "start"), "float64"))
        chosen = x[order[:k]].astype(np.float64)
        params["means"] = tf.constant(chosen * self._scale + self._shift, rows.dtype)
        return params

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
        logits = tf.matmul(phi, self._coefficients(params))
        peak = tf.reduce_max(logits, axis=1, keepdims=True)
        shares = tf.exp(logits - peak)
        total = tf.reduce_sum(shares, axis=1, keepdims=True)
        log_prob = tf.reduce_sum(peak + tf.math.log(total))
        expected = gaussian.sums(phi, shares / total, rows, self.form)
        return {**expected._asdict(), "log_prob": log_prob}

    def sampled_e_step(self, params: Params, rows: tf.Tensor, key: tf.Tensor) -> Statistics:
        """Each row given to a component drawn from its responsibilities (Celeux & Diebolt 1985)."""
        phi = gaussian.features(rows, self.form)
        logits = tf.matmul(phi, self._coefficients(params))
        uniform = random.uniform(tf.shape(logits), key, logits.dtype)
        labels = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), axis=1)  # Gumbel-max
        members = tf.one_hot(labels, self.num_components, dtype=rows.dtype)
        log_prob = tf.reduce_sum(tf.reduce_logsumexp(logits, axis=1))
        drawn = gaussian.sums(phi, members, rows, self.form)
        return {**drawn._asdict(), "log_prob": log_prob}

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
            value -= 0.5 * tf.reduce_sum(precision * statistics["second"])
        rows = tf.reduce_sum(statistics["count"])
        return value - rows * tf.constant(self._log_volume(), value.dtype)

    def notices(self) -> list[str]:
        """The components that collapsed, and the columns that are constant."""
        found = []
        constant = self._constant_columns()
        if constant:
            listed = ", ".join(map(str, constant))
            found.append(
                f"Constant columns say nothing about components; their variance is held at "
                f"variance_floor. Columns: {listed}."
            )
        collapsed = self._collapsed()
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

    def assignments(self, x: Any) -> np.ndarray:
        """The most probable component of each row: ``[n]``."""
        return self._log_joint(x).argmax(axis=1)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw ``n`` rows: ``[n, d]``."""
        return self.sample_with_components(n, seed)[0]

    def sample_with_components(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``n`` rows ``[n, d]``, and the component ``[n]`` that each is from."""
        fitted = self.fitted()
        k, d = fitted["means"].shape
        key = random.key(seed, "mixture")
        uniform = random.uniform((n,), random.fold_in(key, "components"), "float64").numpy()
        edges = np.cumsum(fitted["weights"].astype(np.float64))
        chosen = np.minimum(np.searchsorted(edges / edges[-1], uniform), k - 1)
        noise = random.normal((n, d), random.fold_in(key, "noise"), "float64").numpy()
        roots = np.linalg.cholesky(self._matrices())
        x = fitted["means"][chosen] + np.einsum("nij,nj->ni", roots[chosen], noise)
        return x.astype(self.dtype), chosen

    def bic(self, x: Any) -> float:
        """``-2 log p(x) + num_parameters log n`` (Schwarz 1978): less is better."""
        values = self.log_prob(x)
        return float(-2.0 * values.sum() + self.num_parameters * np.log(len(values)))

    # -- inside ---------------------------------------------------------------------------------

    def _sums(self, rows: tf.Tensor, responsibilities: tf.Tensor) -> dict[str, tf.Tensor]:
        phi = gaussian.features(rows, self.form)
        return gaussian.sums(phi, responsibilities, rows, self.form)._asdict()

    def _standardized(self, x: Any) -> Any:
        return (x - self._shift) / self._scale

    def _squares(self) -> np.ndarray:
        """What turns covariances of scaled rows into those of the data."""
        if self.form in ("full", "tied"):
            return np.multiply.outer(self._scale, self._scale)
        return self._scale[0] ** 2 if self.form == "spherical" else self._scale**2

    def _floor(self) -> np.ndarray:
        """The floor of scaled rows' variances along each axis."""
        return self.options.variance_floor * np.minimum(1.0, 1.0 / self._scale**2)

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
            logits = tf.matmul(gaussian.features(u, self.form), coefficients)
            if shared is not None:
                logits -= 0.5 * tf.reduce_sum(tf.matmul(u, shared) * u, axis=1, keepdims=True)
            return logits - self._log_volume()

        return np.asarray(in_blocks(joint, table, 2 * self.row_bytes))

    def _matrices(self) -> np.ndarray:
        """The covariances of all forms as ``[k, d, d]``."""
        fitted = self.fitted()
        (k, d), covariances = fitted["means"].shape, fitted["covariances"].astype(np.float64)
        if self.form == "tied":
            return np.broadcast_to(covariances, (k, d, d))
        if self.form == "diagonal":
            return covariances[:, :, np.newaxis] * np.eye(d)
        if self.form == "spherical":
            return covariances[:, np.newaxis, np.newaxis] * np.eye(d)
        return covariances

    def _constant_columns(self) -> list[int]:
        variances = np.diagonal(self._matrices(), axis1=1, axis2=2).max(axis=0)
        floor = self._floor() * self._scale**2
        spread = np.ptp(self.fitted()["means"], axis=0)
        return np.flatnonzero((variances <= floor * FLOORED) & (spread**2 <= floor)).tolist()

    def _collapsed(self) -> list[int]:
        """Components with a direction at the floor, constant columns left aside."""
        moving = np.setdiff1d(np.arange(self._scale.size), self._constant_columns())
        if not moving.size:
            return []
        root = np.sqrt(self._floor() * self._scale**2)[moving]
        matrices = self._matrices()[:, moving][:, :, moving] / np.multiply.outer(root, root)
        smallest = np.linalg.eigvalsh(matrices)[:, 0]
        return np.flatnonzero(smallest <= FLOORED).tolist()


def _columns(info: DataInfo | None) -> int:
    """The columns of the table that a mixture is made for."""
    shape = None if info is None else info.x_shape
    if not isinstance(shape, tuple) or len(shape) != 1 or shape[0] is None:
        received = "no data" if info is None else f"rows of shape {shape}"
        raise DataError(f"A mixture is made for a table [n, d]. Received: {received}.")
    return shape[0]
