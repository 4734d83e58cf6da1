"""BayesianNetwork: any Keras net with a posterior over its weights, as a ``keras.Model``."""

from __future__ import annotations

import random as python_random
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from .. import distributions, functional, likelihoods
from ..distributions import Prior
from ..errors import ModelError, OptionsError
from ..inference import surrogate as surrogates
from ..inference.elbo import KLSchedule
from ..inference.rows import CountedRows
from ..likelihoods import Likelihood
from ..specs import Capability
from ..trainable import StepCounter
from . import moped, serialization
from .estimators import SHARED, RowEstimator, check_estimator
from .keras_verbs import KerasVerbs
from .objective import VariationalObjective
from .sites import SitesArgument, Untracked, choose_sites, learned_parameters


@keras.saving.register_keras_serializable(package="tfbdl")
class BayesianNetwork(VariationalObjective, CountedRows, KerasVerbs):
    """A Keras net whose weights are random, trained by Bayes by Backprop.

    The posterior's locations are the net's own variables, so training moves them and the net
    keeps the posterior mean. ``model(x)`` runs the net with one draw of the weights and gives the
    parameters of the likelihood; ``model.predict(x)`` is the mean of the predictive distribution.
    Training minimises ``mean(-log p(y | x, w)) + kl_weight * KL(q || prior) / num_data``.

    Args:
        net: Any Keras 3 net. Its last layer has the units that the likelihood asks for.
        likelihood: A name, a Likelihood, or a head of ``tfbdl.layers``.
        prior: A name, or a Prior.
        likelihood_options: Options of a likelihood given by name.
        prior_options: Options of a prior given by name.
        posterior: ``mean_field``, ``low_rank``, ``full_rank`` or ``delta``.
        posterior_options: ``initial_raw_scale`` (start of the raw scale, default -5; the scale
            is its softplus) and ``rank`` of ``low_rank``.
        estimator: How training draws: ``reparameterization``, one draw of the weights a batch;
            ``local_reparameterization`` or ``flipout``, noise of each row's own in dense and
            convolutional layers, for gradients that vary less.
        sites: Which variables are random: names, patterns such as ``"dense*.kernel"``, or a
            predicate of name and variable. By default all that train, but for the scales and
            shifts of normalisation layers. What is not random is a point estimate.
        num_data: Number of training rows; by default counted by ``fit``.
        class_names: Of the labels 0, 1, ..., by which texts among the targets are coded; by
            default taken from the targets of the first ``fit``.
        kl_weight: 1 is Bayes, below 1 a cold posterior; or a KLSchedule.
        moped_delta: For a net that is trained already: the prior, which must be normal, is centred
            at its weights, and the posterior starts with standard deviations of ``moped_delta``
            times their size, such as 0.1. Copies that begin anew (``clone(seed)``, ``tfbdl.fit``)
            begin at these weights; what is no random site stays as it is. None: the prior's own
            centre.
        name: Of the model.

    Raises:
        UnknownNameError: If likelihood, prior or posterior family do not exist.
        OptionsError: If an option does not exist or does not fit.
        ModelError: If no variable would be random, the family is too large, or the estimator has
            no form for a layer.

    References:
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equations (1) to (6);
        Krishnan, Subedar and Tickoo 2020, "Specifying Weight Priors in Bayesian Deep Neural
        Networks with Empirical Bayes", section 3 (MOPED).

    Example:
        ```python
        layers = keras.layers
        net = keras.Sequential([keras.Input((13,)), layers.Dense(50, "relu"), layers.Dense(1)])
        model = tfbdl.BayesianNetwork(net, likelihood="gaussian", prior="scale_mixture")
        model.compile(optimizer="adam")
        model.fit(x, y, epochs=200)
        model.predictive(x_test).interval(0.9)
        ```
    """

    capabilities = frozenset({Capability.TRAINABLE, Capability.LOG_JOINT, Capability.NETWORK})
    takes_datasets = True
    default_engine = "variational"

    def __init__(
        self,
        net: keras.Model,
        likelihood: str | Likelihood,
        prior: str | Prior = "normal",
        *,
        likelihood_options: Mapping[str, Any] | None = None,
        prior_options: Mapping[str, Any] | None = None,
        posterior: str = "mean_field",
        posterior_options: Mapping[str, Any] | None = None,
        estimator: str = SHARED,
        sites: SitesArgument = None,
        num_data: int | None = None,
        class_names: Sequence[str] | None = None,
        kl_weight: float | KLSchedule = 1.0,
        moped_delta: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(net, keras.Layer):
            raise ModelError(f"net must be a Keras 3 model or layer. Received: {type(net)}.")
        super().__init__(name=name, dtype=keras.config.floatx(), **kwargs)
        check_estimator(estimator)
        if num_data is not None and num_data < 1:
            raise OptionsError(f"num_data must be at least 1. Received: {num_data}.")
        if not callable(kl_weight) and not 0 <= kl_weight < float("inf"):
            raise OptionsError(
                f"kl_weight must be a finite number of at least 0. Received: {kl_weight}."
            )
        self.net = net
        self.likelihood = likelihoods.get(likelihood, likelihood_options)
        self.prior = distributions.get(prior, prior_options)
        self.posterior_family = posterior
        self.posterior_options = dict(posterior_options or {})
        self.estimator = estimator
        self.row_estimator = None
        self.moped_delta = moped.check_delta(moped_delta, posterior)
        self.sites_argument = sites
        self.given_num_data = num_data
        self.given_class_names = None if class_names is None else tuple(map(str, class_names))
        self.class_names = self.given_class_names
        self.kl_weight = kl_weight if callable(kl_weight) else float(kl_weight)
        self.prior_centres = {}
        self._add_state("rng_seed", python_random.randint(1, 2**31 - 1))
        self._add_state("rng_step", 0)
        self._add_state("num_data_seen", num_data or 0)
        self.nll_metric = keras.metrics.Mean(name="nll")
        self.kl_metric = keras.metrics.Mean(name="kl")
        self.elbo_metric = keras.metrics.Mean(name="elbo")
        self.evaluation_step = StepCounter()
        if net.built:
            self._make_posterior()
            self.built = True

    # -- construction -----------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Build the net and, over its variables, the posterior."""
        if not self.net.built:
            self.net.build(input_shape)
        if not hasattr(self, "surrogate"):
            self._make_posterior()
        self.built = True

    def _make_posterior(self) -> None:
        named = functional.site_names(self.net)
        learned = learned_parameters(self.likelihood, self.prior, named)
        chosen = choose_sites(self.net, named, self.sites_argument, learned)
        self.learned = {
            name: item
            for name, item in learned.items()
            if not name.startswith("prior.") or item.site in chosen
        }
        self.learned_raw = {
            name: self.add_weight(
                name=f"{name}.raw",
                shape=item.shape,
                dtype=keras.config.floatx(),
                autocast=False,
                initializer=lambda shape, dtype=None, item=item: item.initial_raw(),
            )
            for name, item in self.learned.items()
        }
        self.random_sites = tuple(chosen)
        self.site_variables = Untracked(
            {name: named[name] if name in named else self.learned_raw[name] for name in chosen}
        )
        self.surrogate = surrogates.make(
            self.posterior_family, self.site_variables.items, **self.posterior_options
        )
        if self.estimator != SHARED:
            self.row_estimator = RowEstimator(
                self.estimator, self.net, self.weight_sites(), self.surrogate
            )
        if self.moped_delta is not None:
            self._centre_prior(self.moped_delta)
        if self.has_gaussian_prior:
            self.capabilities = type(self).capabilities | {Capability.GAUSSIAN_PRIOR}

    def _centre_prior(self, delta: float) -> None:
        weights = self.weight_sites()
        self.prior_centres = {
            name: self.add_weight(
                name=f"{name}.prior_centre",
                shape=variable.shape,
                dtype=variable.dtype,
                trainable=False,
                autocast=False,
                initializer=lambda shape, dtype=None, v=variable: keras.ops.convert_to_tensor(v),
            )
            for name, variable in weights.items()
        }
        for name in weights:
            self.prior_of(name, {})  # raises if it is not normal
        moped.set_scales(self.surrogate, weights, delta)

    def _add_state(self, name: str, value: int) -> None:
        weight = self.add_weight(
            name=name,
            shape=(),
            dtype="int64",
            trainable=False,
            autocast=False,
            initializer="zeros",
            aggregation="only_first_replica",
        )
        weight.assign(value)
        setattr(self, name, weight)

    # -- files ---------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Plain values: prior and likelihood by name and options, the net as Keras stores it."""
        self._require_built()
        return serialization.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> BayesianNetwork:
        """The inverse of ``get_config``; names are resolved through the registry."""
        return cls(**serialization.arguments_from(config, custom_objects))


def bayesianize(
    net: keras.Model, likelihood: str | Likelihood, prior: str | Prior = "normal", **options: Any
) -> BayesianNetwork:
    """A BayesianNetwork around a copy of ``net``, which itself stays as it is.

    Args:
        net: A built Keras net; its weights are the posterior's first locations. One that is
            trained keeps what it knows with ``moped_delta=0.1``.
        likelihood: As in BayesianNetwork.
        prior: As in BayesianNetwork.
        **options: The other arguments of BayesianNetwork.

    Raises:
        ModelError, OptionsError: As in BayesianNetwork, and ModelError if the net cannot be copied
            from its configuration.

    Example:
        ```python
        model = tfbdl.bayesianize(trained, "categorical", moped_delta=0.1, estimator="flipout")
        model.compile(optimizer="adam")
        model.fit(x, y, epochs=5)
        ```
    """
    return BayesianNetwork(functional.clone(net), likelihood, prior, **options)
