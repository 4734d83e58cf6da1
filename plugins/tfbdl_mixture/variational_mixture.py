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
from tfbdl.inference.em import sum_over_rows
from tfbdl.inference.reparameterizations import gumbel_of_uniform
from tfbdl.protocols import Params, Statistics

from . import wishart
from .gaussian_features import Sums
from .gibbs_mixture import GibbsMixture
from .hyperparameters import check_options, prior_of
from .kmeans_plus_plus import start_labels
from .table import check_count, in_blocks, query_table, training_table
from .wishart import GaussWishart

ACTIVE = 0.01  # share of the rows above which a component counts as active


class VariationalMixture(GibbsMixture, abc.ABC):
    """A mixture of normals with Gauss-Wishart priors, fitted by variational Bayes.

    The exact E-step of the engine ``em`` is the variational one: q(z) at its best given the rest
    of q. There is no narrower family to ask for with ``e_step="variational"``;
    ``"monte_carlo"`` draws z from q(z).

    After a fit there are, beside the parameters of q (``beta_ [k]``, ``nu_ [k]``, ``m_ [k, d]``,
    ``W_ [k, d, d]``): ``weights_ [k]``, the expected weights; ``means_ [k, d]``, the expected
    means; and ``covariances_ [k, d, d]``, the inverses of the expected precisions ``nu W``.

    Attributes:
        objective: ``elbo``: the whole evidence lower bound, in nats.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EM, Capability.CONDITIONALS}
    )
    default_engine: ClassVar[str] = "em"
    objective = "elbo"
    _reach: Any = 0.0  # the largest distances of rows from m0 along the axes, [d]
    jit_compile = False  # the matrix products are faster without XLA, which takes seconds to begin

    def __init__(
        self, options: Any, info: DataInfo | None = None, prior: Prior | None = None, seed: int = 0
    ) -> None:
        super().__init__(options, info, prior, seed)
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
        d = 0 if self.base is None else len(self.base.m)
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
        self._reach = np.abs(x - self.base.m).max(axis=0)
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
        k, m0 = self.num_components, self._base.m
        who = f"A {type(self).__name__}"
        labels = start_labels(rows, min(k, len(rows)), method, seed, who)

        def sums_of(part: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            x, z = part
            return wishart.moments(x, tf.one_hot(z, k, dtype=x.dtype), m0)._asdict()

        return self.m_step(sum_over_rows(sums_of, (rows, labels), self.row_bytes))

    def check_start(self, params: Params) -> None:
        """Raise OptionsError unless a start has the parameters of distributions."""
        d = params["m"].shape[1]
        bounds = {name: 0.0 for name in params if name not in ("nu", "m", "W")} | {"nu": d - 1.0}
        for name, least in bounds.items():
            values = np.asarray(params[name])
            if not (np.isfinite(values) & (values > least)).all():
                raise OptionsError(
                    f"{name!r} of initial must be finite and above {least:g}. "
                    f"Received: a smallest value of {float(values.min()):g}."
                )
        W = np.asarray(params["W"], np.float64)
        if not (np.isfinite(W).all() and np.isfinite(params["m"]).all()):
            raise OptionsError("'m' and 'W' of initial must be finite. Received: NaN or Inf.")
        symmetric = np.allclose(W, np.swapaxes(W, 1, 2), rtol=1e-6, atol=0.0)
        smallest = float(np.linalg.eigvalsh(0.5 * (W + np.swapaxes(W, 1, 2))).min())
        if not (symmetric and smallest > 0.0):
            what = f"a smallest eigenvalue of {smallest:g}" if symmetric else "one that is not"
            raise OptionsError(
                f"Each 'W' of initial must be symmetric and positive definite. Received: {what}."
            )

    def e_step(self, params: Params, rows: tf.Tensor) -> Statistics:
        """Sums under the best q(z) (10.49), and what normalises it."""
        log_rho = self._log_rho(params, rows)
        log_normalizer = tf.reduce_logsumexp(log_rho, axis=1)
        r = tf.exp(log_rho - log_normalizer[:, tf.newaxis])  # 10.49
        return self._statistics(rows, r, log_normalizer)

    def sampled_e_step(self, params: Params, rows: tf.Tensor, key: tf.Tensor) -> Statistics:
        """Sums at z drawn from the best q(z), and what normalises that."""
        log_rho = self._log_rho(params, rows)
        u = random.uniform(tf.shape(log_rho), key, log_rho.dtype)
        labels = tf.argmax(log_rho + gumbel_of_uniform(u), axis=1)  # Gumbel-max
        members = tf.one_hot(labels, self.num_components, dtype=rows.dtype)
        return self._statistics(rows, members, tf.reduce_logsumexp(log_rho, axis=1))

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
        of_rows = statistics["log_normalizer"]
        return of_rows - tf.cast(self._divergence(params), of_rows.dtype)

    def rounding(self, params: Mapping[str, np.ndarray]) -> float:
        """By how much rounding may move a row's log density: more in a component that is narrow.

        It takes the last digits of the terms of ``nu (x - m0)' W (x - m0)``.
        """
        precisions = params["nu"][:, np.newaxis, np.newaxis] * np.abs(params["W"])
        largest = np.einsum("i,kij,j->k", self._reach, precisions, self._reach).max()
        return float(np.finfo(self.dtype).eps * largest)

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these parameters of q for the fitted ones."""
        super().assign(params)
        self.weights_ = self.expected_weights(self.params)
        self.means_ = self.params["m"]
        self.covariances_ = np.linalg.inv(self.nu_[:, np.newaxis, np.newaxis] * self.W_)

    def figures(self) -> dict[str, float]:
        """``active_components`` and ``effective_components``, the exponential of the entropy."""
        self.fitted()
        w = self.weights_[self.weights_ > 0.0]
        return {
            "active_components": float(len(self.active())),
            "effective_components": float(np.exp(-(w * np.log(w)).sum())),
        }

    # -- what is read from the fit --------------------------------------------------------------

    def active(self, threshold: float = ACTIVE) -> np.ndarray:
        """The components whose expected weight is above ``threshold``, heaviest first."""
        weights = np.asarray(self.fitted() and self.weights_)
        order = np.argsort(-weights, kind="stable")
        return order[weights[order] > threshold]

    def elbo(self, x: Any) -> float:
        """The bound of the fitted q(weights, means, precisions) for rows ``[n, d]``, in nats.

        q(z) is the best for these rows; the prior is that of the fit.
        """
        params = self._tensors()
        of_rows = self._by_block(lambda p, rows: tf.reduce_logsumexp(self._log_rho(p, rows), 1), x)
        return float(of_rows.sum(dtype=np.float64)) - float(self._divergence(params))

    def log_prob(self, x: Any) -> np.ndarray:
        """``ln p(x | data)`` of each row, a mixture of Student t densities (10.81): ``[n]``."""
        self.fitted()
        log_weights = np.log(np.maximum(self.weights_, np.finfo(self.dtype).tiny))

        def density(params: Params, rows: tf.Tensor) -> tf.Tensor:
            each = wishart.student_t_log_prob(components_of(params), rows)
            return tf.reduce_logsumexp(log_weights + each, axis=1)

        return self._by_block(density, x)

    def responsibilities(self, x: Any) -> np.ndarray:
        """The best q(z) of each row (10.49): ``[n, k]``, rows sum to one."""
        self.fitted()
        return self._by_block(lambda params, rows: tf.nn.softmax(self._log_rho(params, rows)), x)

    def predict(self, x: Any) -> np.ndarray:
        """The component of each row that is most probable under q: ``[n]``, from 0."""
        self.fitted()
        return self._by_block(lambda params, rows: tf.argmax(self._log_rho(params, rows), 1), x)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """``n`` new rows ``[n, d]``, independent draws from the density of ``log_prob``.

        Raises:
            OptionsError: If n is no whole number of at least 1.
        """
        n = check_count(n)
        keys = random.split(random.key(seed, "mixture"), 2)
        q, places = components_of(self._tensors()), np.cumsum(self.weights_, dtype=np.float64)
        u = random.uniform((n,), keys[0], "float64").numpy()
        z = np.searchsorted(places, u * places[-1], side="right")
        return wishart.sample_student_t(GaussWishart(*(tf.gather(part, z) for part in q)), keys[1])

    @property
    def posterior(self) -> ClosedFormPosterior | None:
        """Of ``weights [k]``, ``means [k, d]``, ``precisions [k, d, d]``; None before a fit."""
        if not self.params:
            return None
        q = components_of(self._tensors())

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

    def _statistics(self, x: tf.Tensor, r: tf.Tensor, log_normalizer: tf.Tensor) -> Statistics:
        sums = wishart.moments(x, r, self._base.m)  # 10.51 to 10.53, as sums
        whole = tf.reduce_sum(tf.cast(log_normalizer, tf.float64))
        return {**sums._asdict(), "log_normalizer": whole}

    def _divergence(self, params: Params) -> tf.Tensor:
        """``KL(q || p)`` of weights, means and precisions."""
        of_components = wishart.kl_divergence(components_of(params), self._base)
        return self.weights_divergence(params) + tf.reduce_sum(of_components)

    def _log_rho(self, params: Params, x: tf.Tensor) -> tf.Tensor:
        """``ln rho`` (10.46): ``[n, k]``."""
        return self.expected_log_weights(params) + wishart.expected_log_normal(
            components_of(params), x
        )

    def _tensors(self) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(value) for name, value in self.fitted().items()}

    def _by_block(self, fn: Callable[[Params, tf.Tensor], tf.Tensor], x: Any) -> np.ndarray:
        """``fn(params, rows)`` of the fitted parameters, for some rows at a time."""
        params = self._tensors()
        rows = query_table(x, params["m"].shape[1], self.dtype)
        found = in_blocks(lambda part: fn(params, tf.convert_to_tensor(part)), rows, self.row_bytes)
        return np.asarray(found)


def components_of(params: Params) -> GaussWishart:
    """The Gauss-Wishart posteriors among the parameters of q."""
    return GaussWishart(*(params[name] for name in GaussWishart._fields))
