"""Conjugate families of counts and categories: beta, Dirichlet and gamma priors.

References:
    Murphy 2012, "Machine Learning: A Probabilistic Perspective", sections 3.3 and 3.4; Gelman et
    al. 2013, "Bayesian Data Analysis", section 2.6 (Poisson).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.errors import OptionsError

from .conjugate_family import Arrays, Family, require_counts

tfd = tfp.distributions


class BetaBinomial(Family):
    """Counts out of ``trials``, independent columns; ``trials=1`` is the Bernoulli distribution."""

    @property
    def trials(self) -> int:
        """Of each count."""
        return 1 if self.options.family == "beta_bernoulli" else int(self.options.trials or 1)

    def prior(self, x: np.ndarray) -> Arrays:
        return {name: self.positive(name, (self.dim,)) for name in ("alpha", "beta")}

    def check(self, x: np.ndarray) -> None:
        require_counts(x, self.options.family, self.trials)

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        ones = x.sum(axis=0)
        zeros = self.trials * len(x) - ones
        return {"alpha": params["alpha"] + ones, "beta": params["beta"] + zeros}

    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        return float(special.betaln(params["alpha"], params["beta"]).sum())

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return _log_binomial(np.full(x.shape, float(self.trials)), x).sum(axis=1)

    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        beta = tfd.Beta(tf.constant(params["alpha"]), tf.constant(params["beta"]))
        return ClosedFormPosterior.of({"probs": beta})

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.asarray(self._predictive(params).log_prob(x)).sum(axis=1)

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        return np.asarray(self._predictive(params).sample(n, seed=key))

    def _predictive(self, params: Mapping[str, np.ndarray]) -> Any:
        count = tf.constant(float(self.trials), tf.float64)
        return tfd.BetaBinomial(count, tf.constant(params["alpha"]), tf.constant(params["beta"]))


class Dirichlet(Family):
    """What the two families with a Dirichlet prior share."""

    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        alpha = params["alpha"]
        return float(special.gammaln(alpha).sum() - special.gammaln(alpha.sum()))

    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        return ClosedFormPosterior.of({"probs": tfd.Dirichlet(tf.constant(params["alpha"]))})


class DirichletMultinomial(Dirichlet):
    """Rows of counts over the columns, of which the sums may differ."""

    def prior(self, x: np.ndarray) -> Arrays:
        return {"alpha": self.positive("alpha", (self.dim,))}

    def check(self, x: np.ndarray) -> None:
        require_counts(x, self.options.family)

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        return {"alpha": params["alpha"] + x.sum(axis=0)}

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return special.gammaln(x.sum(axis=1) + 1) - special.gammaln(x + 1).sum(axis=1)

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Of each row given its sum."""
        alpha = tf.constant(params["alpha"])
        predictive = tfd.DirichletMultinomial(tf.constant(x.sum(axis=1)), alpha)
        return np.asarray(predictive.log_prob(x))

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        if self.options.trials is None:
            raise OptionsError(
                "The sum of a sampled row must be known. Expected the option trials=. "
                "Received: none."
            )
        trials = tf.constant(float(self.options.trials), tf.float64)
        predictive = tfd.DirichletMultinomial(trials, tf.constant(params["alpha"]))
        return np.asarray(predictive.sample(n, seed=key))


class DirichletCategorical(Dirichlet):
    """Categories 0, 1, ..., K - 1 in one column."""

    def prior(self, x: np.ndarray) -> Arrays:
        if self.dim != 1:
            raise OptionsError(
                "dirichlet_categorical is for one column of categories. For rows of counts use "
                f"family='dirichlet_multinomial'. Received: {self.dim} columns."
            )
        known = self._categories or int(max(x.max() + 1, 2))
        return {"alpha": self.positive("alpha", (known,))}

    @property
    def _categories(self) -> int | None:
        """As the options give them."""
        alpha = np.asarray(0.0 if self.options.alpha is None else self.options.alpha)
        return self.options.categories or (len(alpha) if alpha.ndim else None)

    def check(self, x: np.ndarray) -> None:
        require_counts(x, self.options.family)

    def check_later(self) -> None:
        if self._categories is None:
            raise OptionsError(
                "How many categories there are must be given where rows come in turn, since those "
                "of the first need not hold all. Expected the option categories=, or one alpha "
                "for each. Received: neither."
            )

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        return {"alpha": params["alpha"] + self._counts(params, x)}

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x))

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        self._counts(params, x)
        log_mean = np.log(params["alpha"] / params["alpha"].sum())
        return np.asarray(log_mean[x[:, 0].astype(int)])

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        drawn = tfd.Categorical(probs=params["alpha"] / params["alpha"].sum()).sample(n, seed=key)
        return np.asarray(drawn, np.float64)[:, np.newaxis]

    def _counts(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        size = len(params["alpha"])
        require_counts(x, f"dirichlet_categorical with {size} categories", size - 1)
        return np.bincount(x[:, 0].astype(int), minlength=size).astype(np.float64)


class GammaPoisson(Family):
    """Counts with a rate for each column; the prior has a shape and a RATE."""

    def prior(self, x: np.ndarray) -> Arrays:
        return {name: self.positive(name, (self.dim,)) for name in ("shape", "rate")}

    def check(self, x: np.ndarray) -> None:
        require_counts(x, self.options.family)

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        return {"shape": params["shape"] + x.sum(axis=0), "rate": params["rate"] + len(x)}

    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        terms = special.gammaln(params["shape"]) - params["shape"] * np.log(params["rate"])
        return float(terms.sum())

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return -special.gammaln(x + 1).sum(axis=1)

    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        gamma = tfd.Gamma(tf.constant(params["shape"]), tf.constant(params["rate"]))
        return ClosedFormPosterior.of({"rate": gamma})

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.asarray(self._predictive(params).log_prob(x)).sum(axis=1)

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        return np.asarray(self._predictive(params).sample(n, seed=key))

    def _predictive(self, params: Mapping[str, np.ndarray]) -> Any:
        chance = 1.0 / (1.0 + params["rate"])  # of another count, in TFP's words a success
        return tfd.NegativeBinomial(tf.constant(params["shape"]), probs=tf.constant(chance))


def _log_binomial(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log1p(n) - special.betaln(n - k + 1, k + 1))
