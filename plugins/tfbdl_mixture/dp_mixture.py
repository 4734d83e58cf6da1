"""The Dirichlet process mixture of normals (Blei & Jordan 2006; Neal 2000).

    v_t ~ Beta(1, alpha),  pi_t = v_t prod_{s<t} (1 - v_s)        z_n ~ Categorical(pi)
    mu_t, Lambda_t ~ Gauss-Wishart(beta0, nu0, m0, W0)            x_n ~ N(mu_z, Lambda_z^-1)

Equation numbers are those of Blei & Jordan 2006, "Variational inference for Dirichlet process
mixtures", Bayesian Analysis 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.errors import ModelError, TfbdlWarning
from tfbdl.posterior import Posterior
from tfbdl.protocols import Conditional, Params

from . import collapsed, stick_breaking
from .bayesian_config import DPMixtureOptions
from .gaussian_features import Sums
from .hyperparameters import prior_of
from .partitions import num_clusters
from .stick_breaking import Sticks
from .table import in_blocks, query_table
from .variational_mixture import VariationalMixture

tfd = tfp.distributions

DRAWS = 100  # of a Gibbs sampler that a density is averaged over


class DPMixture(VariationalMixture):
    """A mixture of normals that has as many components as the rows ask for.

    Engine ``em`` is variational Bayes over ``truncation`` sticks, of which the last takes what is
    left; its bound is that of the process so truncated. ``v_t`` has the posterior
    ``Beta(gamma1_t, gamma2_t)``, and the components are sorted by their expected number of rows.

    Engine ``gibbs`` is the collapsed sampler; it draws ``z [n]``, the slot of each row, and
    ``concentration`` where that is learned.

    Example:
        ```python
        fit = tfbdl.fit("dp_mixture", x, engine="gibbs")
        z = fit.posterior.draws["z"]                        # [chain, draw, n]
        tfbdl_mixture.partitions.num_clusters(z)            # [chain, draw]
        ```
    """

    options: DPMixtureOptions
    draws: Posterior | None = None  # of a Gibbs sampler

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
        return stick_breaking.expected_log_weights(_sticks(params))

    def expected_weights(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        """``E pi``: ``[T]``, summing to one."""
        return stick_breaking.expected_weights(_sticks(params))

    def update_weights(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """``gamma`` (18, 19) and, of a learned concentration, its gamma posterior ``w``."""
        if not self.is_learned:
            alpha = tf.constant(self.options.concentration, count.dtype)
            return stick_breaking.update(count, alpha)._asdict()
        w = stick_breaking.best_concentration(count, *self._gamma_prior)
        return {**stick_breaking.update(count, w[0] / w[1])._asdict(), "w": w}

    def m_step(self, statistics: Mapping[str, tf.Tensor]) -> Params:
        """As of any mixture, after the components were sorted by their rows.

        No other order has a higher bound: with q(v) at its best it holds the counts only in
        ``prod_t 1 / (alpha + N_t + N_{t+1} + ...)``.
        """
        order = tf.argsort(statistics["count"], direction="DESCENDING", stable=True)
        named = {n: tf.gather(statistics[n], order) for n in Sums._fields}
        return super().m_step({**statistics, **named})

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
        full = self.beta_[-1] - self.options.beta0 >= 1.0
        return [_full("sticks", self.options.truncation)] if full else []

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these parameters of q for the fitted ones; ``concentration_`` is its mean."""
        super().assign(params)
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
        """Take a Gibbs sampler's draws, over which ``log_prob`` averages then.

        Warns (TfbdlWarning) where draws use all slots.
        """
        sites = posterior.draws if posterior is not None and posterior.is_finite else {}
        self.draws = posterior if "z" in sites else None
        if self.draws is not None and not self.params:
            used = num_clusters(self.draws.draws["z"])
            if (used >= self.num_components).any():
                share = f" (in {(used >= self.num_components).mean():.0%} of the draws)"
                warnings.warn(
                    _full("slots", self.num_components, share), TfbdlWarning, stacklevel=2
                )

    def log_prob(self, x: Any, rows: Any = None) -> np.ndarray:
        """``ln p(x | data)`` of each row: ``[n]``.

        Args:
            x: ``[n, d]``.
            rows: The training rows, which the draws of the engine ``gibbs`` divide into clusters
                and which are not stored with them; at most 100 draws are averaged over. After
                ``em`` they are not needed.

        Raises:
            ModelError: If the model is not fitted, or rows are needed and missing.
        """
        if self.draws is None or self.params:
            return super().log_prob(x)
        held = self.draws.draws["z"].shape[-1]
        if rows is None or len(rows) != held:
            received = "none" if rows is None else f"{len(rows)}"
            raise ModelError(
                "Draws of labels say how the training rows are divided, so a density needs these: "
                f"log_prob(x, rows). Expected {held} rows. Received: {received}."
            )
        known = query_table(rows, np.shape(rows)[-1], self.dtype)
        base = prior_of(self.options, known)
        count = min(DRAWS, self.draws.num_draws)
        states = self.draws.states(0, count, 0, count)
        fixed = tf.fill((count,), tf.cast(self.options.concentration or 1.0, self.dtype))
        alphas = states.get("concentration", fixed)

        new = query_table(x, known.shape[1], self.dtype)
        slots = self.num_components

        def density(part: np.ndarray) -> tf.Tensor:
            return collapsed.average_density(part, known, states["z"], base, alphas, slots)

        return np.asarray(in_blocks(density, new, 8 * (count + 4 * slots)))


def _sticks(params: Mapping[str, Any]) -> Sticks:
    return Sticks(params["gamma1"], params["gamma2"])


def _full(what: str, number: int, share: str = "") -> str:
    return (
        f"All {number} {what} of the Dirichlet process mixture are in use{share}, so there may be "
        f"more clusters than it could find. Give a larger truncation. Received: {number}."
    )
