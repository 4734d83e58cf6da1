"""The Dirichlet process mixture of normals (Blei & Jordan 2006; Neal 2000).

    v_t ~ Beta(1, alpha),  pi_t = v_t prod_{s<t} (1 - v_s)        z_n ~ Categorical(pi)
    mu_t, Lambda_t ~ Gauss-Wishart(beta0, nu0, m0, W0)            x_n ~ N(mu_z, Lambda_z^-1)

Equation numbers are those of Blei & Jordan 2006, "Variational inference for Dirichlet process
mixtures", Bayesian Analysis 1.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning
from tfbdl.posterior import Posterior
from tfbdl.protocols import Conditional, Params

from . import collapsed, stick_breaking, wishart
from .bayesian_config import DPMixtureOptions
from .draw_average import Density, log_mean_density, some_draws
from .partitions import num_clusters
from .stick_breaking import Sticks
from .table import check_count, digest_of, query_table
from .variational_mixture import VariationalMixture
from .wishart import GaussWishart

tfd = tfp.distributions


class DPMixture(VariationalMixture):
    """A mixture of normals that has as many components as the rows ask for.

    Engine ``em`` is variational Bayes over ``truncation`` sticks, of which the last takes what is
    left; its bound is that of the process so truncated. The exact E-step takes the best q(z).
    ``v_t`` has the posterior ``Beta(gamma1_t, gamma2_t)``, and the components are sorted by their
    expected number of rows. On the way they keep their places, so that statistics of different
    steps belong together, and the sticks are those of the sorted order: no other has a higher
    bound, which holds the counts only in ``prod_t 1 / (alpha + N_t + N_{t+1} + ...)`` with q(v) at
    its best.

    Engine ``gibbs`` is the collapsed sampler; it draws ``z [n]``, the slot of each row, and
    ``concentration`` where that is learned. With the training rows ``log_prob`` and ``sample``
    answer from these; what names components does not, as slots may change places between draws.

    Example:
        ```python
        fit = tfbdl.fit("dp_mixture", x, engine="gibbs")
        z = fit.posterior.draws["z"]                        # [chain, draw, n]
        tfbdl_mixture.partitions.num_clusters(z)            # [chain, draw]
        fit.model.log_prob(x_new, x), fit.model.sample(100, rows=x)
        ```
    """

    options: DPMixtureOptions

    @property
    def num_components(self) -> int:
        """Sticks, or slots."""
        return self.options.truncation

    @property
    def is_learned(self) -> bool:
        """Whether the concentration has a prior."""
        return self.options.concentration is None

    @property
    def _gamma_prior(self) -> tuple[float, float]:
        return self.options.concentration_shape, self.options.concentration_rate

    # -- the engine em --------------------------------------------------------------------------

    def expected_log_weights(self, params: Params) -> tf.Tensor:
        """``E ln pi``: ``[T]``."""
        of_sticks = stick_breaking.expected_log_weights(_sticks(params))
        return tf.gather(of_sticks, tf.argsort(_sorted(params["beta"])))

    def expected_weights(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        """``E pi``: ``[T]``, summing to one, of components that are sorted."""
        return stick_breaking.expected_weights(_sticks(params))

    def update_weights(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """``gamma`` (18, 19) and, of a learned concentration, its gamma posterior ``w``."""
        count = tf.gather(count, _sorted(self._base.beta + count))
        if not self.is_learned:
            alpha = tf.constant(self.options.concentration, count.dtype)
            return stick_breaking.update(count, alpha)._asdict()
        w = stick_breaking.best_concentration(count, *self._gamma_prior)
        return {**stick_breaking.update(count, w[0] / w[1])._asdict(), "w": w}

    def check_start(self, params: Params) -> None:
        """Raise OptionsError unless a start has the parameters of distributions, in order."""
        super().check_start(params)
        beta = np.asarray(params["beta"])
        if (np.diff(beta) > 0.0).any():
            raise OptionsError(
                "The components of initial must be sorted like its sticks, those with most rows "
                f"first: 'beta' must not rise. Received: {beta.tolist()}."
            )

    def weights_divergence(self, params: Params) -> tf.Tensor:
        """``KL(q(v) || p(v))``, and that of the concentration where it is learned."""
        if not self.is_learned:
            alpha = tf.constant(self.options.concentration, params["gamma1"].dtype)
            return stick_breaking.kl_divergence(_sticks(params), alpha, tf.math.log(alpha))
        q = tfd.Gamma(*tf.unstack(params["w"]))
        p = tfd.Gamma(*(tf.constant(value, q.dtype) for value in self._gamma_prior))
        log_alpha = tf.math.digamma(q.concentration) - tf.math.log(q.rate)
        own = tfd.kl_divergence(q, p)
        return own + stick_breaking.kl_divergence(_sticks(params), q.mean(), log_alpha)

    def sample_weights(self, key: tf.Tensor, draws: int) -> tf.Tensor:
        """Draws ``[draws, T]`` under q(v)."""
        return stick_breaking.sample(_sticks(self._tensors()), key, draws)

    def weights_stddev(self) -> np.ndarray:
        """The standard deviation of each weight under q(v): ``[T]``."""
        return stick_breaking.weights_stddev(_sticks(self.params))

    def notices(self) -> list[str]:
        """A warning if even the last stick expects a row of its own."""
        full = self.fitted()["beta"][-1] - self.options.beta0 >= 1.0
        return [_full("sticks", self.options.truncation)] if full else []

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these parameters of q, with sorted components; ``concentration_`` is its mean."""
        order = np.asarray(_sorted(tf.convert_to_tensor(params["beta"])))
        components = {n: np.asarray(params[n])[order] for n in GaussWishart._fields}
        super().assign({**params, **components})
        w = self.params.get("w", np.array([self.options.concentration or 1.0, 1.0]))
        self.concentration_ = w[0] / w[1]

    # -- the engine gibbs -----------------------------------------------------------------------

    def init(self, seed: int) -> Params:
        """Labels by chance over half of the slots."""
        n, _ = self.gibbs_shape()
        u = random.uniform((n,), random.key(seed, "labels"))
        state = {"z": tf.cast(u * (self.num_components // 2), tf.int32)}
        if self.is_learned:
            shape, rate = self._gamma_prior
            state["concentration"] = tf.constant(shape / rate, self.dtype)
        return state

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """The labels, row by row, and the concentration where it is learned."""
        blocks: dict[str, Conditional] = {"labels": self._draw_labels}
        if self.is_learned:
            blocks["concentration"] = self._draw_concentration
        return blocks

    def _draw_labels(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        x, base = self.gibbs_rows(batch)
        alpha = params.get("concentration", self.options.concentration)
        alpha = tf.cast(alpha, x.dtype)
        return {"z": collapsed.sweep(x, params["z"], base, alpha, key, self.num_components)}

    def _draw_concentration(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        before = params["concentration"]
        shape, rate = self._gamma_prior
        drawn = collapsed.draw_concentration(
            params["z"], before, shape, rate, key, self.num_components
        )
        return {"concentration": drawn}

    def adopt(self, posterior: Posterior | None) -> None:
        """Take a Gibbs sampler's draws, over which densities are averaged then.

        Warns (TfbdlWarning) where draws use all slots.
        """
        super().adopt(posterior)
        if self.draws is not None and self.has_draws_alone:
            used = num_clusters(self.draws.draws["z"])
            if (used >= self.num_components).any():
                share = f" (in {(used >= self.num_components).mean():.0%} of the draws)"
                warnings.warn(
                    _full("slots", self.num_components, share), TfbdlWarning, stacklevel=2
                )

    # -- what is read from draws ----------------------------------------------------------------

    def log_prob(self, x: Any, rows: Any = None) -> np.ndarray:
        """``ln p(x | data)`` of each row: ``[n]``.

        Args:
            x: ``[n, d]``.
            rows: The training rows, which the draws of the engine ``gibbs`` divide into clusters
                and which are not stored with them; at most 250 draws are averaged over. After
                ``em`` they are not needed.

        Raises:
            ModelError: If the model is not fitted, or rows are needed and missing or others.
        """
        if self.draws is None or not self.has_draws_alone:
            return super().log_prob(x)
        known = self._training_rows(rows, "log_prob(x, rows)")
        states = some_draws(self.draws)

        def density(i: int) -> Density:
            return functools.partial(_log_density, *self._urn(states, i, known))

        d = known.shape[1]
        new = query_table(x, d, self.dtype)
        row_bytes = 8 * (self.num_components + 1) * (2 * d + 3)
        return log_mean_density(density, len(states["z"]), new, row_bytes)

    def sample(self, n: int, seed: int = 0, rows: Any = None) -> np.ndarray:
        """``n`` new rows ``[n, d]``, independent draws from the density of ``log_prob``.

        Args:
            n: How many.
            seed: Of the draws.
            rows: The training rows, after ``gibbs``.

        Raises:
            OptionsError: If n is no whole number of at least 1.
            ModelError: As ``log_prob``.
        """
        if self.draws is None or not self.has_draws_alone:
            return super().sample(n, seed)
        n = check_count(n)
        known = self._training_rows(rows, "sample(n, seed, rows)")
        states = some_draws(self.draws)
        keys = random.split(random.key(seed, "mixture"), 2)
        u = random.uniform((2, n), keys[0], "float64").numpy()
        chosen = (u[0] * len(states["z"])).astype(int)
        d = known.shape[1]
        each = [np.empty((n, *shape), self.dtype) for shape in ((), (), (d,), (d, d))]
        for s in np.unique(chosen):
            here = np.flatnonzero(chosen == s)
            log_weights, q = self._urn(states, int(s), known)
            places = np.cumsum(np.exp(log_weights.numpy().astype(np.float64)))
            z = np.searchsorted(places, u[1, here] * places[-1], side="right")
            for part, of_slots in zip(each, q, strict=True):
                part[here] = of_slots.numpy()[z]
        return wishart.sample_student_t(GaussWishart(*map(tf.constant, each)), keys[1])

    def _training_rows(self, rows: Any, how: str) -> np.ndarray:
        """The rows that the draws divide, checked by what is stored of them."""
        assert self.draws is not None
        held = self.draws.draws["z"].shape[-1]
        received = "none" if rows is None else f"{len(rows)}"
        if rows is not None and len(rows) == held:
            known = query_table(rows, np.shape(rows)[-1], self.dtype)
            if self.rows_digest is None or np.array_equal(digest_of(known), self.rows_digest):
                return known
            received += " others"
        raise ModelError(
            "Draws of labels say how the training rows are divided, so the model needs these: "
            f"{how}. Expected the {held} rows of the fit. Received: {received}."
        )

    def _urn(
        self, states: Mapping[str, tf.Tensor], i: int, rows: np.ndarray
    ) -> tuple[tf.Tensor, GaussWishart]:
        """Slots and a new cluster, as draw ``i`` divides the rows."""
        alpha = states["concentration"][i] if self.is_learned else self.options.concentration
        alpha = tf.cast(alpha, self.dtype)
        base = GaussWishart(*map(tf.convert_to_tensor, self._base))
        return collapsed.urn(tf.constant(rows), states["z"][i], base, alpha, self.num_components)


@tf.function(autograph=False, reduce_retracing=True)
def _log_density(log_weights: tf.Tensor, q: GaussWishart, x: tf.Tensor) -> tf.Tensor:
    """``ln`` of a mixture of Student t densities: ``[n]``."""
    return tf.reduce_logsumexp(log_weights + wishart.student_t_log_prob(q, x), axis=1)


def _sorted(beta: tf.Tensor) -> tf.Tensor:
    """The order in which components, by what their means are worth, take the sticks."""
    return tf.argsort(beta, direction="DESCENDING", stable=True)


def _sticks(params: Mapping[str, Any]) -> Sticks:
    return Sticks(params["gamma1"], params["gamma2"])


def _full(what: str, number: int, share: str = "") -> str:
    return (
        f"All {number} {what} of the Dirichlet process mixture are in use{share}, so there may be "
        f"more clusters than it could find. Give a larger truncation. Received: {number}."
    )
