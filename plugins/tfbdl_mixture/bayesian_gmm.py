"""The Bayesian mixture of normals, with a Dirichlet prior on the weights (Bishop 2006, 10.2).

pi ~ Dirichlet(alpha0, ..., alpha0)        z_n ~ Categorical(pi)
mu_k, Lambda_k ~ Gauss-Wishart(beta0, nu0, m0, W0)        x_n ~ N(mu_z, Lambda_z^-1)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.posterior import Posterior
from tfbdl.protocols import Conditional, Params

from . import wishart
from .bayesian_config import BayesianGMMOptions
from .table import in_blocks, query_table
from .variational_mixture import VariationalMixture

tfd = tfp.distributions

DRAWS = 500  # of a Gibbs sampler that a density is averaged over


class BayesianGMM(VariationalMixture):
    """A mixture of normals whose weights, means and precisions have distributions.

    Engine ``em`` is variational Bayes: q(weights) is ``Dirichlet(alpha_)``. Engine ``gibbs``
    draws ``z [n]``, ``weights [k]``, ``means [k, d]`` and ``precisions [k, d, d]``, each exactly
    given the others; the labels of components may change places between draws.

    Example:
        ```python
        fit = tfbdl.fit("bayesian_gmm", x, model_options={"num_components": 10, "alpha0": 1e-3})
        fit.model.active(), fit.model.weights_, fit.history["elbo"][-1]
        ```
    """

    options: BayesianGMMOptions
    draws: Posterior | None = None  # of a Gibbs sampler

    @property
    def num_components(self) -> int:
        """Components at the most."""
        return self.options.num_components

    @property
    def alpha0(self) -> float:
        """The concentration of the Dirichlet prior."""
        return self.options.alpha0 or 1.0 / self.num_components

    def expected_log_weights(self, params: Params) -> tf.Tensor:
        """``E ln pi`` (10.66): ``[k]``."""
        alpha = params["alpha"]
        return tf.math.digamma(alpha) - tf.math.digamma(tf.reduce_sum(alpha))

    def expected_weights(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        """``E pi`` (B.17): ``[k]``."""
        return np.asarray(params["alpha"] / params["alpha"].sum())

    def update_weights(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """``alpha`` (10.58)."""
        return {"alpha": self.alpha0 + count}

    def weights_divergence(self, params: Params) -> tf.Tensor:
        """``KL(q(pi) || p(pi))``: minus the terms 10.73 and 10.76 of the bound."""
        prior = tf.fill((self.num_components,), tf.constant(self.alpha0, params["alpha"].dtype))
        excess = (params["alpha"] - prior) * self.expected_log_weights(params)
        return tf.reduce_sum(excess) - tf.math.lbeta(params["alpha"]) + tf.math.lbeta(prior)

    def sample_weights(self, key: tf.Tensor, draws: int) -> tf.Tensor:
        """Draws ``[draws, k]`` under q(pi)."""
        return _dirichlet(tf.convert_to_tensor(self.params["alpha"]), key, draws)

    def weights_stddev(self) -> np.ndarray:
        """The standard deviation of each weight under q (B.18): ``[k]``."""
        w = self.weights_
        return np.asarray(np.sqrt(w * (1.0 - w) / (self.alpha_.sum() + 1.0)))

    # -- the engine gibbs -----------------------------------------------------------------------

    def init(self, seed: int) -> Params:
        """Labels by chance; the rest is drawn from them in the first sweep."""
        n, d = self.gibbs_shape()
        k = self.num_components
        u = random.uniform((n,), random.key(seed, "labels"))
        return {
            "z": tf.cast(u * k, tf.int32),
            "weights": tf.fill((k,), tf.constant(1.0 / k, self.dtype)),
            "means": tf.zeros((k, d), self.dtype),
            "precisions": tf.eye(d, batch_shape=[k], dtype=self.dtype),
        }

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """Two blocks: the components given the labels, the labels given the components."""
        return {"components": self._draw_components, "labels": self._draw_labels}

    def _draw_components(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        x, base = self.gibbs_rows(batch)
        members = tf.one_hot(params["z"], self.num_components, dtype=x.dtype)
        sums = wishart.moments(x, members, base.m)
        keys = random.split(key, 2)
        means, precisions = wishart.sample(wishart.posterior(base, sums), keys[0], 1)
        weights = _dirichlet(self.alpha0 + sums.count, tf.bitcast(keys[1], tf.int32), 1)
        return {"weights": weights[0], "means": means[0], "precisions": precisions[0]}

    def _draw_labels(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        x, _ = self.gibbs_rows(batch)
        density = wishart.log_normal(params["means"], params["precisions"], x)
        u = random.uniform(density.shape, key, x.dtype)
        gumbel = -tf.math.log(-tf.math.log(u))  # its arg max is a draw from the categorical
        score = tf.math.log(params["weights"]) + density + gumbel
        return {"z": tf.argmax(score, axis=1, output_type=tf.int32)}

    def adopt(self, posterior: Posterior | None) -> None:
        """Take a Gibbs sampler's draws, over which ``log_prob`` averages then."""
        sites = posterior.draws if posterior is not None and posterior.is_finite else {}
        self.draws = posterior if "precisions" in sites else None

    def log_prob(self, x: Any) -> np.ndarray:
        """``ln p(x | data)`` of each row: ``[n]``.

        After ``em`` a mixture of Student t densities (10.81); after ``gibbs`` the average of the
        mixtures of normals that at most 500 draws, spread over the chains, describe.
        """
        if self.draws is None or self.params:
            return super().log_prob(x)
        count = min(DRAWS, self.draws.num_draws)
        states = self.draws.states(0, count, 0, count)
        rows = query_table(x, states["means"].shape[-1], self.dtype)
        parts = [states[name] for name in ("weights", "means", "precisions")]
        row_bytes = 8 * (count + 4 * states["means"][0].shape.num_elements())
        found = in_blocks(lambda part: _average_density(*parts, tf.constant(part)), rows, row_bytes)
        return np.asarray(found)


@tf.function(autograph=False, reduce_retracing=True)
def _average_density(
    weights: tf.Tensor, means: tf.Tensor, precisions: tf.Tensor, x: tf.Tensor
) -> tf.Tensor:
    """``ln`` of the mean over draws of mixtures of normals: ``[n]``."""

    def density(state: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        w, mu, precision = state
        return tf.reduce_logsumexp(tf.math.log(w) + wishart.log_normal(mu, precision, x), axis=1)

    each = tf.map_fn(density, (weights, means, precisions), fn_output_signature=x.dtype)
    count = tf.cast(tf.shape(each)[0], x.dtype)
    return tf.reduce_logsumexp(each, axis=0) - tf.math.log(count)


def _dirichlet(alpha: tf.Tensor, key: tf.Tensor, draws: int) -> tf.Tensor:
    """Draws ``[draws, k]``, through log gammas that do not underflow for small ``alpha``."""
    one = tf.constant(1.0, alpha.dtype)
    return tf.nn.softmax(tfd.ExpGamma(alpha, one).sample(draws, seed=key), axis=-1)
