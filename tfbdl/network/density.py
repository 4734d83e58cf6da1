"""The joint density of a net's weights and data, with explicit parameters (``log_joint``)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from .. import distributions, functional, random
from ..distributions import Prior
from ..errors import ModelError
from ..inference import dropout
from ..inference.surrogate import Surrogate, read
from ..learned import Learned
from ..likelihoods import Likelihood
from ..protocols import Params, Site
from . import moped
from .sites import Untracked


class NetworkDensity:
    """The part of a BayesianNetwork that samplers use; it knows of no training.

    Attributes:
        net, likelihood, prior: As in BayesianNetwork.
        random_sites: Names of the sites with a posterior.
        site_variables: Site name -> the variable that holds its location.
        learned: Name -> a learned parameter of likelihood or prior.
        learned_raw: Name -> its unconstrained weight.
        prior_centres: Site -> where its prior is centred, if not at its own centre.
    """

    net: keras.Model
    likelihood: Likelihood
    prior: Prior
    surrogate: Surrogate
    random_sites: tuple[str, ...]
    site_variables: Untracked
    learned: dict[str, Learned]
    learned_raw: dict[str, keras.Variable]
    num_data_seen: keras.Variable
    prior_centres: dict[str, keras.Variable]

    @property
    def sites(self) -> tuple[Site, ...]:
        """The random tensors, and the learned parameters of likelihood and prior."""
        own = [
            Site(name, tuple(variable.shape), None, keras.backend.standardize_dtype(variable.dtype))
            for name, variable in self.weight_sites().items()
        ]
        return tuple(own) + tuple(
            Site(name, item.shape, item.bijector, keras.config.floatx())
            for name, item in self.learned.items()
        )

    def weight_sites(self) -> dict[str, keras.Variable]:
        """The random sites that are weights of the net."""
        return {n: v for n, v in self.site_variables.items.items() if n not in self.learned}

    def init(self, seed: int) -> Params:
        """A starting state: the net's weights with a little noise, learned parameters as set."""
        key = random.key(seed, "init")
        params: dict[str, tf.Tensor] = {}
        for name, variable in self.weight_sites().items():
            noise = random.normal(variable.shape, random.fold_in(key, name), variable.dtype)
            params[name] = read(variable) + 0.01 * noise
        return {**params, **self.learned_values({})}

    def log_prior(self, params: Params) -> tf.Tensor:
        """``sum over sites of log p(site)`` for the sites in ``params``, without Jacobians."""
        total = tf.zeros((), keras.config.floatx())
        for name in self.weight_sites():
            log_prob = self.prior_of(name, params).log_prob(params[name])
            total += tf.cast(log_prob, total.dtype)
        for name, item in self.learned.items():
            if name in params and item.prior is not None:
                total += tf.cast(tf.reduce_sum(item.prior.log_prob(params[name])), total.dtype)
        return total

    def log_likelihood(self, params: Params, batch: tuple[Any, Any]) -> tf.Tensor:
        """``log p(y | x, params)`` of each row: ``[n]``; dropout off, moving statistics fixed."""
        outputs = self.outputs(params, batch[0])
        return self.likelihood.log_prob(outputs, batch[1], self.likelihood_parameters(params))

    def log_joint(self, params: Params, batch: tuple[Any, Any]) -> tf.Tensor:
        """``log_prior(params) + num_data * mean(log_likelihood(params, batch))``."""
        total = self.log_likelihood_total(params, batch)
        return tf.cast(self.log_prior(params), total.dtype) + total

    def log_likelihood_total(self, params: Params, batch: tuple[Any, Any]) -> tf.Tensor:
        """``num_data * mean(log_likelihood(params, batch))``: a scalar, in nats."""
        log_lik = self.log_likelihood(params, batch)
        rows = tf.cast(read(self.num_data_seen), log_lik.dtype)
        rows = tf.where(rows > 0, rows, tf.cast(tf.size(log_lik), log_lik.dtype))
        return rows * tf.reduce_mean(log_lik)

    @property
    def has_gaussian_prior(self) -> bool:
        """Whether the prior of each weight is normal, with nothing of it learned."""
        learned = any(item.site is not None for item in self.learned.values())
        priors = (self.prior_of(name, {}) for name in self.weight_sites())
        return not learned and all(distributions.has_closed_form(prior) for prior in priors)

    def gaussian_prior(self) -> tuple[Params, Params]:
        """Mean and standard deviation of each weight under the prior (``gaussian_prior``).

        Raises:
            ModelError: If the prior is not normal, or the likelihood has a learned parameter,
                whose prior is not.
        """
        if not self.has_gaussian_prior:
            raise ModelError(
                f"The prior of the weights must be normal, with nothing learned. "
                f"Received: {self.prior!r}."
            )
        if self.learned:
            raise ModelError(
                "All that is sampled must have a normal prior, so the likelihood may learn "
                "nothing. Fix its parameter, for example "
                "BayesianNetwork(..., likelihood_options={'scale': 0.1}). "
                f"Received: learned {', '.join(self.learned)}."
            )
        priors = {name: self.prior_of(name, {}) for name in self.weight_sites()}
        return (
            {name: prior.mean() for name, prior in priors.items()},
            {name: prior.stddev() for name, prior in priors.items()},
        )

    def sample_prior(self, seed: Any) -> Params:
        """A state drawn from the prior: weights, and learned parameters from their own."""
        key = random.key(seed, "prior")
        drawn: dict[str, tf.Tensor] = self.learned_values({})
        for name, item in self.learned.items():
            if item.prior is not None:
                drawn[name] = _draw(item.prior, random.fold_in(key, name))
        for name in self.weight_sites():
            drawn[name] = _draw(self.prior_of(name, drawn), random.fold_in(key, name))
        return drawn

    def outputs(self, params: Params, x: Any) -> tf.Tensor:
        """The net's outputs with given weights, in float32 at least: ``[n, ...]``.

        ``params`` may hold any weight of the net by its name, such as a member's own moving
        statistics, and the seed of dropout masks as ``inference.dropout`` names it.
        """
        named = functional.site_names(self.net)
        pairs = [(variable, params[name]) for name, variable in named.items() if name in params]
        if dropout.SITE in params:
            return widen(dropout.apply(self.net, pairs, x, params[dropout.SITE]))
        return widen(functional.apply(self.net, pairs, x)[0])

    def learned_values(self, params: Params) -> dict[str, tf.Tensor]:
        """The constrained learned parameters: those in ``params``, else the point estimates."""
        return {
            name: params[name] if name in params else item.constrain(read(self.learned_raw[name]))
            for name, item in self.learned.items()
        }

    def likelihood_parameters(self, params: Params) -> dict[str, tf.Tensor]:
        """The learned parameters that the likelihood takes, by its own names."""
        return {
            self.learned[name].parameter: value
            for name, value in self.learned_values(params).items()
            if self.learned[name].site is None
        }

    def prior_of(self, site: str, params: Params) -> Any:
        """The prior's distribution of a site, with its learned parameters.

        That of a learned parameter is its hyperprior; None where it has none.
        """
        if site in self.learned:
            return self.learned[site].prior
        hyper = {
            self.learned[name].parameter: value
            for name, value in self.learned_values(params).items()
            if self.learned[name].site == site
        }
        variable = self.site_variables.items[site]
        dtype = keras.backend.standardize_dtype(variable.dtype)
        prior = self.prior.distribution(tuple(variable.shape), dtype, site, **hyper)
        if site in self.prior_centres:
            prior = moped.centred(prior, read(self.prior_centres[site]), self.prior)
        return prior

    def constrained(self, draw: Params) -> dict[str, tf.Tensor]:
        """From a draw of the surrogate to values in the constrained space."""
        return {
            name: self.learned[name].constrain(value) if name in self.learned else value
            for name, value in draw.items()
        }

    def kl(self, draw: Params) -> tf.Tensor:
        """KL(q || prior) in nats, of all sites; an estimate at ``draw`` where it is not closed.

        Args:
            draw: One state in the unconstrained space, as the surrogate draws it.
        """
        total = -self.surrogate.entropy()
        for cross in self._expected_log_priors(draw).values():
            total -= tf.cast(cross, total.dtype)
        return total

    def kl_by_layer(self, draw: Params) -> dict[str, tf.Tensor]:
        """KL(q || prior) in nats of each layer; together they are ``kl``.

        A layer's name is that of its sites without the last part. Empty where the sites are not
        independent under q, and for a point mass, whose KL is not defined.

        Args:
            draw: As in ``kl``.
        """
        entropies = self.surrogate.site_entropies() or {}
        layers: dict[str, tf.Tensor] = {}
        for name, cross in self._expected_log_priors(draw).items() if entropies else ():
            layer = name.rpartition(".")[0] or name
            own = -entropies[name] - tf.cast(cross, entropies[name].dtype)
            layers[layer] = own + tf.cast(layers[layer], own.dtype) if layer in layers else own
        return layers

    def _expected_log_priors(self, draw: Params) -> dict[str, tf.Tensor]:
        """Random site -> E_q[log prior], at ``draw`` where it is not closed."""
        mean, stddev = self.surrogate.mean(), self.surrogate.stddev()
        params = self.constrained(draw)
        found = {}
        for name in self.random_sites:
            if name in self.learned:
                cross = self.learned[name].log_prob_raw(draw[name])
            else:
                prior = self.prior_of(name, params)
                cross = distributions.expected_log_prob(prior, draw[name], mean[name], stddev[name])
                cross -= self._pruned_log_prob(name, prior)
            found[name] = cross
        return found

    def _pruned_log_prob(self, name: str, prior: Any) -> tf.Tensor | float:
        """What pruned weights add to the prior's log density: they are no part of the model."""
        masks = getattr(self.surrogate, "masks", {})
        if name not in masks:
            return 0.0
        mask = read(masks[name])
        normal = distributions.as_normal(prior)
        if normal is not None:  # whose elements need not be alike
            return tf.reduce_sum((1.0 - mask) * normal.log_prob(tf.zeros((), mask.dtype)))
        return (1.0 - tf.reduce_mean(mask)) * prior.log_prob(tf.zeros_like(mask))


def _draw(distribution: Any, key: tf.Tensor) -> tf.Tensor:
    return distribution.sample(seed=tf.bitcast(key, tf.int32))


def widen(outputs: Any) -> tf.Tensor:
    """Half precision ends where the likelihood begins.

    Raises:
        ModelError: If the net has several outputs.
    """
    if isinstance(outputs, (list, tuple, dict)):
        raise ModelError(
            "A likelihood takes one output tensor. Join the net's outputs with "
            f"keras.layers.Concatenate. Received: {len(outputs)} outputs."
        )
    outputs = tf.convert_to_tensor(outputs)
    return tf.cast(outputs, tf.float32) if outputs.dtype.size < 4 else outputs
