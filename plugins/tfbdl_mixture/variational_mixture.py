"""What the Bayesian mixtures share: coordinate ascent on the bound, and what is read from it.

Both posteriors have the form ``q(z) q(weights) prod_k q(mu_k, Lambda_k)`` with a Gauss-Wishart
for each component; the models differ in the prior of the weights alone. Equation numbers are
those of Bishop 2006, chapter 10.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfbdl import Capability, random
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import DataInfo, Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError, OptionsError
from tfbdl.parametric import ParametricModel
from tfbdl.protocols import Params, Statistics

from . import kmeans_plus_plus as kmeans
from . import wishart
from .gaussian_features import Sums
from .hyperparameters import check_options, prior_of
from .table import in_blocks, query_table, training_table
from .wishart import GaussWishart

ACTIVE = 0.01  # share of the rows above which a component counts as active


class VariationalMixture(ParametricModel, abc.ABC):
    """A mixture of normals with Gauss-Wishart priors, fitted by variational Bayes.

    After a fit there are, beside the parameters of q (``beta_ [k]``, ``nu_ [k]``, ``m_ [k, d]``,
    ``W_ [k, d, d]``): ``weights_ [k]``, the expected weights; ``means_ [k, d]``, the expected
    means; and ``covariances_ [k, d, d]``, the inverses of the expected precisions ``nu W``.

    Attributes:
        objective: ``elbo``: the whole evidence lower bound, in nats.
        base: The Gauss-Wishart prior in use; None before a fit.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EM, Capability.CONDITIONALS}
    )
    default_engine: ClassVar[str] = "em"
    objective = "elbo"
    jit_compile = False  # the matrix products are faster without XLA, which takes seconds to begin
    given_num_data: int | None = None  # the Gibbs sampler says how many rows there are
    num_data: int | None = None

    def __init__(
        self, options: Any, info: DataInfo | None = None, prior: Prior | None = None, seed: int = 0
    ) -> None:
        super().__init__(options, info, prior, seed)
        self.base: GaussWishart | None = None
        shape = None if info is None else info.x_shape
        if isinstance(shape, tuple) and len(shape) == 1 and shape[0]:
            check_options(options, shape[0])

    # -- the weights: what a model adds ---------------------------------------------------------

    @property
    @abc.abstractmethod
    def num_components(self) -> int:
        """Components at the most."""

    @abc.abstractmethod
    def expected_log_weights(self, params: Params) -> tf.Tensor:
        """``E ln pi``: ``[k]``."""

    @abc.abstractmethod
    def expected_weights(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        """``E pi``: ``[k]``."""

    @abc.abstractmethod
    def update_weights(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """The parameters of q(weights) that expected counts ``[k]`` lead to."""

    @abc.abstractmethod
    def weights_divergence(self, params: Params) -> tf.Tensor:
        """``KL(q(weights) || p(weights))``, in nats."""

    @abc.abstractmethod
    def sample_weights(self, key: tf.Tensor, draws: int) -> tf.Tensor:
        """Draws ``[draws, k]`` of the weights under q."""

    # -- the engine em ------------------------------------------------------------------------

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes in the E-step."""
        d = len(self.base.m) if self.base is not None else len(self.params.get("m", [[0]])[0])
        return 8 * (self.num_components * (2 * d + 3) + d * (d + 1))

    def rows(self, data: Dataset) -> tf.Tensor:
        """``[n, d]``; the prior is set by them where the options leave it open.

        Raises:
            DataError: If they are no matrix of two rows or more, have weights, or have no
                covariance that could be inverted where W0 is to be its inverse.
            OptionsError: If the options do not fit the number of columns.
        """
        x = training_table(data, self.dtype)
        self.base = prior_of(self.options, x)
        return tf.convert_to_tensor(x)

    def start(self, rows: tf.Tensor, method: str, seed: int) -> Params:
        """The posterior, given that each row belongs to the nearest of some centres.

        Args:
            rows: ``[n, d]``.
            method: ``auto``, ``kmeans++`` (k-means from such centres) or ``random`` (the centres
                are rows).
            seed: Of the centres.

        Raises:
            OptionsError: If the method has another name.
        """
        x = np.asarray(rows)
        k = min(self.num_components, len(x))
        if method in ("auto", "kmeans++"):
            labels = kmeans.lloyd(x, kmeans.centers(x, k, seed))["labels"]
        elif method == "random":
            order = np.argsort(random.uniform((len(x),), random.key(seed, "start")).numpy())
            labels = kmeans.nearest_centers(rows, tf.gather(rows, order[:k]))[0]
        else:
            raise OptionsError(
                f"A {type(self).__name__} starts by 'auto', 'kmeans++', 'random' or from arrays. "
                f"Received: {method!r}."
            )
        members = tf.one_hot(labels, self.num_components, dtype=rows.dtype)
        return self.m_step(wishart.moments(rows, members, self._base.m)._asdict())

    def e_step(self, params: Params, rows: tf.Tensor) -> Statistics:
        """Sums under the best q(z) (10.49), and what normalises it."""
        log_rho = self._log_rho(params, rows)
        log_normalizer = tf.reduce_logsumexp(log_rho, axis=1)
        r = tf.exp(log_rho - log_normalizer[:, tf.newaxis])  # 10.49
        sums = wishart.moments(rows, r, self._base.m)  # 10.51 to 10.53, as sums
        return {**sums._asdict(), "log_normalizer": tf.reduce_sum(log_normalizer)}

    def m_step(self, statistics: Statistics) -> Params:
        """The best q(weights) and q(mu, Lambda) for a q(z)."""
        sums = Sums(*(statistics[name] for name in Sums._fields))
        return {
            **self.update_weights(sums.count),
            **wishart.posterior(self._base, sums)._asdict(),
        }

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """The bound (10.70), every constant included.

        With the best q(z) the terms 10.71, 10.72 and 10.75 add up to the sum of the rows'
        ``ln sum_k rho_nk``; the others are divergences from the prior.
        """
        divergence = tf.reduce_sum(wishart.kl_divergence(_components(params), self._base))
        return statistics["log_normalizer"] - self.weights_divergence(params) - divergence

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these parameters of q for the fitted ones."""
        super().assign(params)
        self.weights_ = self.expected_weights(self.params)
        self.means_ = self.params["m"]
        self.covariances_ = np.linalg.inv(self.nu_[:, np.newaxis, np.newaxis] * self.W_)

    def figures(self) -> dict[str, float]:
        """``active_components`` and ``effective_components``, the exponential of the entropy."""
        w = self.weights_[self.weights_ > 0.0]
        return {
            "active_components": float(len(self.active())),
            "effective_components": float(np.exp(-(w * np.log(w)).sum())),
        }

    # -- the engine gibbs -----------------------------------------------------------------------

    def gibbs_shape(self) -> tuple[int, int]:
        """Rows and columns of the data to come.

        Raises:
            ModelError: If they are not known, or there is more than one array.
        """
        n = self.num_data or (None if self.info is None else self.info.num_rows)
        shape = None if self.info is None else self.info.x_shape
        if n is None or not isinstance(shape, tuple) or len(shape) != 1 or shape[0] is None:
            raise ModelError(
                "The Gibbs sampler must know the rows [n, d] before it begins. "
                f"Received: {n} rows of shape {shape}."
            )
        return n, shape[0]

    def gibbs_rows(self, batch: Any) -> tuple[tf.Tensor, GaussWishart]:
        """The rows of a batch ``x`` or ``(x, y)``, and the prior for them as arrays.

        Raises:
            DataError, OptionsError: As ``rows``.
        """
        x = tf.cast(batch[0] if isinstance(batch, tuple) else batch, self.dtype)
        known = tf.get_static_value(batch[0] if isinstance(batch, tuple) else batch)
        if known is None:
            raise ModelError("The rows must be arrays when the sampler is compiled.")
        return x, prior_of(self.options, known.astype(self.dtype))

    # -- what is read from the fit --------------------------------------------------------------

    def active(self, threshold: float = ACTIVE) -> np.ndarray:
        """The components whose expected weight is above ``threshold``, heaviest first."""
        weights = np.asarray(self.fitted() and self.weights_)
        order = np.argsort(-weights, kind="stable")
        return order[weights[order] > threshold]

    def elbo(self, x: Any) -> float:
        """The bound of the fitted q(weights, means, precisions) for rows ``[n, d]``, in nats.

        q(z) is the best for these rows. The prior is that of the options; what they leave open
        comes from ``x``.
        """
        rows = query_table(x, len(self.fitted()["m"][0]), self.dtype)
        before, self.base = self.base, prior_of(self.options, rows)
        try:
            params = self._tensors()
            return float(self.log_likelihood(params, self.e_step(params, tf.constant(rows))))
        finally:
            self.base = before

    def log_prob(self, x: Any) -> np.ndarray:
        """``ln p(x | data)`` of each row, a mixture of Student t densities (10.81): ``[n]``."""
        self.fitted()
        log_weights = np.log(np.maximum(self.weights_, np.finfo(self.dtype).tiny))

        def density(params: Params, rows: tf.Tensor) -> tf.Tensor:
            each = wishart.student_t_log_prob(_components(params), rows)
            return tf.reduce_logsumexp(log_weights + each, axis=1)

        return self._by_block(density, x)

    def responsibilities(self, x: Any) -> np.ndarray:
        """The best q(z) of each row (10.49): ``[n, k]``, rows sum to one."""
        self.fitted()
        return self._by_block(lambda params, rows: tf.nn.softmax(self._log_rho(params, rows)), x)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """``n`` new rows ``[n, d]``, independent draws from the density of ``log_prob``."""
        if n < 1:
            raise OptionsError(f"n must be at least 1. Received: {n!r}.")
        keys = random.split(random.key(seed, "mixture"), 3)
        params, d = self._tensors(), self.m_.shape[1]
        places = np.cumsum(self.weights_, dtype=np.float64)
        u = random.uniform((n,), keys[0], "float64").numpy()
        z = np.searchsorted(places, u * places[-1], side="right")
        q = GaussWishart(*(tf.gather(part, z) for part in _components(params)))
        means, precisions = (part[0] for part in wishart.sample(q, keys[1], 1))
        noise = random.normal((n, d, 1), keys[2], self.dtype)
        root = tf.linalg.cholesky(precisions)
        return np.asarray(means + tf.linalg.triangular_solve(root, noise, adjoint=True)[..., 0])

    @property
    def posterior(self) -> ClosedFormPosterior | None:
        """Of ``weights [k]``, ``means [k, d]``, ``precisions [k, d, d]``; None before a fit."""
        if not self.params:
            return None
        q = _components(self._tensors())

        def draw(n: int, key: tf.Tensor) -> Mapping[str, tf.Tensor]:
            keys = random.split(tf.bitcast(key, tf.uint32), 2)
            means, precisions = wishart.sample(q, keys[1], n)
            weights = self.sample_weights(tf.bitcast(keys[0], tf.int32), n)
            return {"weights": weights, "means": means, "precisions": precisions}

        beta, nu, m, W = (np.asarray(part) for part in q)
        variances = np.diagonal(np.linalg.inv(W), axis1=1, axis2=2)
        spread = beta * (nu - m.shape[1] - 1.0)  # of a Student t, infinite up to two degrees
        of_means = variances / np.where(spread > 0.0, spread, np.nan)[:, np.newaxis]
        diagonal = np.diagonal(W, axis1=1, axis2=2)
        of_entries = W**2 + diagonal[:, :, np.newaxis] * diagonal[:, np.newaxis, :]
        nus = nu[:, np.newaxis, np.newaxis]
        return ClosedFormPosterior(
            draw,
            mean={"weights": self.weights_, "means": m, "precisions": nus * W},
            stddev={
                "weights": self.weights_stddev(),
                "means": np.sqrt(np.where(np.isnan(of_means), np.inf, of_means)),
                "precisions": np.sqrt(nus * of_entries),
            },
        )

    @abc.abstractmethod
    def weights_stddev(self) -> np.ndarray:
        """The standard deviation of each weight under q: ``[k]``."""

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _base(self) -> GaussWishart:
        if self.base is None:
            raise ModelError("The prior is known once there are rows: call rows(data) first.")
        return self.base

    def _log_rho(self, params: Params, x: tf.Tensor) -> tf.Tensor:
        """``ln rho`` (10.46): ``[n, k]``."""
        return self.expected_log_weights(params) + wishart.expected_log_normal(
            _components(params), x
        )

    def _tensors(self) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(value) for name, value in self.fitted().items()}

    def _by_block(self, fn: Callable[[Params, tf.Tensor], tf.Tensor], x: Any) -> np.ndarray:
        """``fn(params, rows)`` of the fitted parameters, for some rows at a time."""
        params = self._tensors()
        rows = query_table(x, self.m_.shape[1], self.dtype)
        found = in_blocks(lambda part: fn(params, tf.convert_to_tensor(part)), rows, self.row_bytes)
        return np.asarray(found)


def _components(params: Params) -> GaussWishart:
    return GaussWishart(*(params[name] for name in GaussWishart._fields))
