"""The Bayesian mixture of normals, with a Dirichlet prior on the weights (Bishop 2006, 10.2).

pi ~ Dirichlet(alpha0, ..., alpha0)        z_n ~ Categorical(pi)
mu_k, Lambda_k ~ Gauss-Wishart(beta0, nu0, m0, W0)        x_n ~ N(mu_z, Lambda_z^-1)
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.inference.reparameterizations import gumbel_of_uniform
from tfbdl.protocols import Conditional, Params

from . import wishart
from .bayesian_config import BayesianGMMOptions
from .draw_average import Density, log_mean_density, some_draws
from .table import check_count, query_table
from .variational_mixture import VariationalMixture


class BayesianGMM(VariationalMixture):
    """A mixture of normals whose weights, means and precisions have distributions.

    Engine ``em`` is variational Bayes: its exact E-step takes the best q(z), and q(weights) is
    ``Dirichlet(alpha_)``. Engine ``gibbs`` draws ``z [n]``, ``weights [k]``, ``means [k, d]`` and
    ``precisions [k, d, d]``, each exactly given the others. The labels of components may change
    places between draws: ``log_prob`` and ``sample`` answer from them, what names components
    (``weights_``, ``responsibilities``, ``predict``, ``active``) does not.

    Example:
        ```python
        fit = tfbdl.fit("bayesian_gmm", x, model_options={"num_components": 10, "alpha0": 1e-3})
        fit.model.active(), fit.model.weights_, fit.history["elbo"][-1]
        ```
    """

    options: BayesianGMMOptions

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
        alpha = tf.convert_to_tensor(self.params["alpha"])
        return tf.nn.softmax(wishart.log_gammas(alpha, key, draws), axis=-1)

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
        q, alpha = wishart.posterior(base, sums), self.alpha0 + sums.count
        weights, means, precisions = wishart.sample_with_weights(q, alpha, key, 1)
        return {"weights": weights[0], "means": means[0], "precisions": precisions[0]}

    def _draw_labels(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        x, _ = self.gibbs_rows(batch)
        density = wishart.log_normal(params["means"], params["precisions"], x)
        u = random.uniform(density.shape, key, x.dtype)
        gumbel = gumbel_of_uniform(u)  # its arg max is a draw from the categorical
        score = tf.math.log(params["weights"]) + density + gumbel
        return {"z": tf.argmax(score, axis=1, output_type=tf.int32)}

    # -- what is read from draws ----------------------------------------------------------------

    def log_prob(self, x: Any) -> np.ndarray:
        """``ln p(x | data)`` of each row: ``[n]``.

        After ``em`` a mixture of Student t densities (10.81); after ``gibbs`` the average of the
        mixtures of normals that at most 250 draws, spread over the chains, describe.
        """
        if self.draws is None or not self.has_draws_alone:
            return super().log_prob(x)
        states = some_draws(self.draws)
        count, k, d = states["means"].shape
        log_weights, roots = (
            tf.math.log(states["weights"]),
            tf.linalg.cholesky(states["precisions"]),
        )

        def density(i: int) -> Density:
            return functools.partial(_log_density, log_weights[i], states["means"][i], roots[i])

        rows = query_table(x, d, self.dtype)
        return log_mean_density(density, count, rows, 8 * k * (2 * d + 3))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """``n`` new rows ``[n, d]``: independent draws from the density of the fit.

        After ``gibbs`` each row is from the mixture of a draw of its own, taken at random.

        Raises:
            OptionsError: If n is no whole number of at least 1.
        """
        if self.draws is None or not self.has_draws_alone:
            return super().sample(n, seed)
        n = check_count(n)
        keys = random.split(random.key(seed, "mixture"), 2)
        sites = {
            name: value.reshape(-1, *value.shape[2:]) for name, value in self.draws.draws.items()
        }
        u = random.uniform((2, n), keys[0], "float64").numpy()
        s = (u[0] * len(sites["weights"])).astype(int)
        places = np.cumsum(sites["weights"][s], axis=1, dtype=np.float64)
        z = (places < u[1, :, np.newaxis] * places[:, -1:]).sum(axis=1)
        means, precisions = (tf.constant(sites[name][s, z]) for name in ("means", "precisions"))
        return wishart.sample_rows(means, precisions, keys[1])


@tf.function(autograph=False, reduce_retracing=True)
def _log_density(
    log_weights: tf.Tensor, means: tf.Tensor, roots: tf.Tensor, x: tf.Tensor
) -> tf.Tensor:
    """``ln`` of a mixture of normals with precisions ``L L'``: ``[n]``."""
    each = wishart.log_normal_by_roots(means, roots, x)
    return tf.reduce_logsumexp(log_weights + each, axis=1)
