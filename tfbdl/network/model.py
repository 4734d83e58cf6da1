"""BayesianNetwork: any Keras net with a posterior over its weights, as a ``keras.Model``."""

from __future__ import annotations

import random as python_random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import distributions, functional, likelihoods, random
from ..distributions import Prior
from ..errors import DataError, ModelError, OptionsError, did_you_mean
from ..inference import surrogate as surrogates
from ..inference.elbo import KLSchedule
from ..inference.surrogate import read
from ..likelihoods import Likelihood
from ..posterior import SurrogatePosterior
from ..predictive import Predictive
from ..specs import Capability
from . import fitting, pruning
from .density import NetworkDensity, widen
from .sites import SitesArgument, Untracked, choose_sites, learned_parameters

ESTIMATORS = ("reparameterization", "local_reparameterization", "flipout")
PREDICT_DRAWS = 32
XLA_PARAMETERS = 20_000
_THREAD = threading.local()  # replicas run in threads; each keeps the KL of its own draw


@keras.saving.register_keras_serializable(package="tfbdl")
class BayesianNetwork(NetworkDensity, keras.Model):
    """A Keras net whose weights are random, trained by Bayes by Backprop.

    The posterior's locations are the net's own variables, so training moves them and the net
    keeps the posterior mean. ``model(x)`` runs the net with one draw of the weights and gives the
    parameters of the likelihood; ``model.predict(x)`` is the mean of the predictive distribution.
    Training minimises ``mean(-log p(y | x, w)) + kl_weight * KL(q || prior) / num_data``.

    Args:
        net: Any Keras 3 net. Its last layer has the units that the likelihood asks for.
        likelihood: A name, or a Likelihood.
        prior: A name, or a Prior.
        likelihood_options: Options of a likelihood given by name.
        prior_options: Options of a prior given by name.
        posterior: ``mean_field``, ``low_rank``, ``full_rank`` or ``delta``.
        posterior_options: ``initial_raw_scale`` (start of the raw scale, default -5; the scale
            is its softplus) and ``rank`` of ``low_rank``.
        estimator: ``reparameterization``.
        sites: Which variables are random: names, patterns such as ``"dense*.kernel"``, or a
            predicate of name and variable. By default all that train, but for the scales and
            shifts of normalisation layers. What is not random is a point estimate.
        num_data: Number of training rows; by default counted by ``fit``.
        kl_weight: 1 is Bayes, below 1 a cold posterior; or a KLSchedule.
        name: Of the model.

    Raises:
        UnknownNameError: If likelihood, prior or posterior family do not exist.
        OptionsError: If an option does not exist or does not fit.
        ModelError: If no variable would be random, or the family is too large.

    References:
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equations (1) to (6).

    Example:
        ```python
        net = keras.Sequential([keras.Input((13,)), keras.layers.Dense(50, "relu"), keras.layers.Dense(1)])
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
        estimator: str = "reparameterization",
        sites: SitesArgument = None,
        num_data: int | None = None,
        kl_weight: float | KLSchedule = 1.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(net, keras.Layer):
            raise ModelError(f"net must be a Keras 3 model or layer. Received: {type(net)}.")
        super().__init__(name=name, dtype=keras.config.floatx(), **kwargs)
        _check_estimator(estimator)
        if num_data is not None and num_data < 1:
            raise OptionsError(f"num_data must be at least 1. Received: {num_data}.")
        if not callable(kl_weight) and kl_weight < 0:
            raise OptionsError(f"kl_weight must not be negative. Received: {kl_weight}.")
        self.net = net
        self.likelihood = likelihoods.get(likelihood, likelihood_options)
        self.prior = distributions.get(prior, prior_options)
        self.posterior_family = posterior
        self.posterior_options = dict(posterior_options or {})
        self.estimator = estimator
        self.sites_argument = sites
        self.given_num_data = num_data
        self.kl_weight = kl_weight if callable(kl_weight) else float(kl_weight)
        self._add_state("rng_seed", python_random.randint(1, 2**31 - 1))
        self._add_state("rng_step", 0)
        self._add_state("num_data_seen", num_data or 0)
        self.nll_metric = keras.metrics.Mean(name="nll")
        self.kl_metric = keras.metrics.Mean(name="kl")
        self.elbo_metric = keras.metrics.Mean(name="elbo")
        self.evaluation_step = _StepCounter()
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
                name=f"{name}.raw", shape=item.shape, dtype=keras.config.floatx(), autocast=False,
                initializer=keras.initializers.Constant(item.initial_raw()),
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

    def _add_state(self, name: str, value: int) -> None:
        weight = self.add_weight(
            name=name, shape=(), dtype="int64", trainable=False, autocast=False,
            initializer="zeros", aggregation="only_first_replica",
        )
        weight.assign(value)
        setattr(self, name, weight)

    # -- the variational objective (capability trainable) ------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Run the net with one draw of the weights; gives the parameters of the likelihood."""
        draw = self.surrogate.sample(self._noise_key(bool(training)))
        pairs = [(variable, draw[name]) for name, variable in self.weight_sites().items()]
        outputs, updates = functional.apply(self.net, pairs, inputs, training=bool(training))
        functional.assign(updates)
        _THREAD.draw = draw
        return widen(outputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """``mean(-log p(y | x, w)) + kl_weight * KL / num_data`` for the draw of the last call."""
        params = self.constrained(_THREAD.draw)
        log_lik = self.likelihood.log_prob(
            y_pred, y, self.likelihood_parameters(params), key=self._noise_key(training, "likelihood")
        )
        if sample_weight is not None:
            log_lik *= tf.cast(tf.reshape(sample_weight, tf.shape(log_lik)), log_lik.dtype)
        nll = -tf.reduce_mean(log_lik)
        kl = tf.cast(self.kl(_THREAD.draw), nll.dtype)
        num_data = self._num_data(nll.dtype)
        weight = self.kl_weight(read(self.rng_step)) if callable(self.kl_weight) else self.kl_weight
        rows = tf.shape(log_lik)[0]
        self.nll_metric.update_state(nll, sample_weight=rows)
        self.kl_metric.update_state(kl, sample_weight=rows)
        self.elbo_metric.update_state(-num_data * nll - kl, sample_weight=rows)
        total = nll + tf.cast(weight, nll.dtype) * kl / num_data  # Blundell et al. 2015, eq. (8)
        for loss in self.losses:  # of layers that add one, such as activity regularisers
            total += tf.cast(loss, nll.dtype)
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def _noise_key(self, training: bool, purpose: str = "weights") -> tf.Tensor:
        """The key of this call's noise: a function of seed, stream, step and replica."""
        stream = "train" if training else getattr(_THREAD, "stream", "call")
        step = self.evaluation_step.value() if stream == "evaluate" else read(self.rng_step)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context is not None else 0
        return random.key(read(self.rng_seed), stream, purpose, step, replica)

    def train_step(self, data: Any) -> Any:
        """Keras' own step, then the count that gives the next step new noise."""
        logs = super().train_step(data)
        self.rng_step.assign_add(tf.ones((), tf.int64))
        return logs

    def test_step(self, data: Any) -> Any:
        """Keras' own step, on a stream of noise that training does not share."""
        with _stream("evaluate"):
            logs = super().test_step(data)
        self.evaluation_step.update_state()
        return logs

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compiled metrics see the conditional mean (class probabilities), not raw outputs."""
        params = self.constrained(_THREAD.draw)
        mean = self.likelihood.mean(y_pred, self.likelihood_parameters(params))
        return super().compute_metrics(x, y, mean, sample_weight=sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics of Keras, without the step counter."""
        results = super().get_metrics_result()
        results.pop(self.evaluation_step.name, None)
        return results

    # -- Keras' verbs ------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", loss: Any = None, *, metrics: Any = None,
                weighted_metrics: Any = None, run_eagerly: bool = False,
                steps_per_execution: int = 1, jit_compile: bool | str = "auto",
                **kwargs: Any) -> None:
        """As in Keras, without a loss: the objective is the ELBO.

        ``jit_compile="auto"`` means XLA on one device, none under a strategy of several replicas
        or where a layer does not support it.

        Raises:
            OptionsError: If a loss is given.
        """
        if loss is not None:
            raise OptionsError(
                "BayesianNetwork has its own objective, the negative ELBO, and takes no loss. "
                f"Say what the data are like with likelihood=. Received: loss={loss!r}."
            )
        if jit_compile == "auto":
            jit_compile = not run_eagerly and fitting.supports_xla(self)
        super().compile(
            optimizer=fitting.scaled_optimizer(self.net, optimizer), metrics=metrics,
            weighted_metrics=weighted_metrics, run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution, jit_compile=jit_compile, **kwargs,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a stored model was, and make room for the optimizer's state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def make_test_function(self, force: bool = False) -> Any:
        """As in Keras; a small net is not worth compiling with XLA for each size of a batch."""
        compiled = self.jit_compile
        self.jit_compile = compiled and self.surrogate.num_parameters > XLA_PARAMETERS
        try:
            return super().make_test_function(force)
        finally:
            self.jit_compile = compiled

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1,
            verbose: Any = "auto", callbacks: Any = None, validation_split: float = 0.0,
            validation_data: Any = None, shuffle: bool = True, class_weight: Any = None,
            sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: int | None = None,
            **kwargs: Any) -> keras.callbacks.History:
        """As in Keras; the data are checked, counted, and ordered by (seed, epoch).

        Raises:
            DataError: If the data cannot be trained on, or their number of rows cannot be told.
            OptionsError: If ``class_weight`` is given.
        """
        if class_weight is not None:
            raise OptionsError(
                "class_weight would change the likelihood; give sample_weight, which multiplies "
                "each row's log-likelihood."
            )
        arguments = fitting.fit_arguments(
            self, x, y, sample_weight, batch_size=batch_size, validation_split=validation_split,
            validation_data=validation_data, shuffle=shuffle, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
        )
        return super().fit(
            epochs=epochs, verbose=verbose, callbacks=callbacks, initial_epoch=initial_epoch,
            shuffle=False,  # the batches come in the order they shall have
            **arguments, **kwargs,
        )

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None,
                 *args: Any, **kwargs: Any) -> Any:
        """As in Keras; ``nll`` of one draw a batch, from a stream of noise of its own."""
        if not kwargs.get("_use_cached_eval_dataset"):
            self._require_num_data()
            x, y = fitting.evaluation_data(self, x, y)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto",
                steps: int | None = None, callbacks: Any = None) -> np.ndarray:
        """The predictive mean (class probabilities) over 32 draws at a fixed seed.

        Args:
            x: Inputs ``[n, ...]``; a tf.data.Dataset or PyDataset is gathered first.
            batch_size: Rows held at once; by default as memory allows.
            verbose: Accepted for Keras' sake; there is no progress bar.
            steps: For a stream: how many batches to take.
            callbacks: Refused unless empty.
        """
        if callbacks:
            raise OptionsError("predict takes no callbacks; use predictive(x) to see each draw.")
        x = fitting.gather_inputs(x, steps)
        predictive = self.predictive(x, PREDICT_DRAWS, batch_size=batch_size)
        return predictive.probs if self.likelihood.is_classification else predictive.mean

    # -- what a Bayesian asks ----------------------------------------------------------------

    @property
    def num_data(self) -> int | None:
        """Number of training rows, or None if it is not known yet."""
        return int(self.num_data_seen.numpy()) or None

    @num_data.setter
    def num_data(self, rows: int) -> None:
        self.num_data_seen.assign(rows)

    @property
    def posterior(self) -> SurrogatePosterior:
        """The approximate posterior as it stands."""
        self._require_built()
        return SurrogatePosterior(self)

    def predictive(self, x: Any, draws: int = PREDICT_DRAWS, seed: int = 0, *, keep: bool = False,
                   batch_size: int | None = None) -> Predictive:
        """The predictive distribution at ``x`` over draws of the weights; lazy.

        Args:
            x: Inputs ``[n, ...]``.
            draws: Number of weight samples.
            seed: Of the weight samples.
            keep: Store the outputs of all draws.
            batch_size: Rows held at once.
        """
        self._require_built()
        x = fitting.gather_inputs(x)
        return Predictive(self, self.posterior, x, draws, seed, keep=keep, batch_size=batch_size)

    def elbo(self, x: Any, y: Any, draws: int = 100, seed: int = 0) -> float:
        """The evidence lower bound in nats, of the whole data set ``(x, y)``.

        The likelihood term is a mean over ``draws``; the KL term is exact where it is closed and
        otherwise a mean over the same draws.
        """
        self._require_built()
        x, y = fitting.evaluation_data(self, x, y)
        predictive = self.predictive(x, draws, seed)
        total = predictive.expected_log_prob(y).sum()
        keys = random.fold_in(random.key(seed, "posterior"), tf.range(draws))
        kl = tf.map_fn(lambda key: self.kl(self.surrogate.sample(key)), keys,
                       fn_output_signature=self.surrogate.flat_dtype())
        return float(total - np.mean(kl.numpy(), dtype=np.float64))

    def signal_to_noise(self) -> dict[str, np.ndarray]:
        """``|mean| / stddev`` of each weight (Blundell et al. 2015, section 5.1)."""
        return pruning.signal_to_noise(self)

    def prune(self, fraction: float) -> BayesianNetwork:
        """A copy in which the weights with the lowest signal-to-noise ratio are exactly zero.

        Args:
            fraction: Share of all random weights to remove, from 0 to 1.

        References:
            Blundell et al. 2015, section 5.1 and table 3.
        """
        return pruning.prune(self, fraction)

    def clone(self, seed: int | None = None, **changes: Any) -> BayesianNetwork:
        """A copy with the same weights, or initialised anew from ``seed``.

        Args:
            seed: None keeps the weights; otherwise net and posterior start anew from it.
            **changes: Constructor arguments to change.
        """
        self._require_built()
        arguments: dict[str, Any] = {
            "net": functional.clone(self.net, seed), "likelihood": self.likelihood,
            "prior": self.prior, "posterior": self.posterior_family,
            "posterior_options": self.posterior_options, "estimator": self.estimator,
            "sites": list(self.random_sites), "num_data": self.given_num_data,
            "kl_weight": self.kl_weight, "name": self.name, **changes,
        }
        copy = BayesianNetwork(**arguments)
        if seed is None:
            _copy_weights(self, copy)
        else:
            copy.rng_seed.assign(seed)
        return copy

    def get_config(self) -> dict[str, Any]:
        """Plain values: prior and likelihood by name and options, the net as Keras stores it."""
        self._require_built()
        kl_weight = self.kl_weight
        return {
            "name": self.name,
            "net": keras.saving.serialize_keras_object(self.net),
            "likelihood": self.likelihood.name,
            "likelihood_options": self.likelihood.get_config(),
            "prior": distributions.name_of(self.prior),
            "prior_options": self.prior.options.model_dump(mode="json"),
            "posterior": self.posterior_family,
            "posterior_options": self.posterior_options,
            "estimator": self.estimator,
            "sites": list(self.random_sites),
            "num_data": self.given_num_data,
            "kl_weight": keras.saving.serialize_keras_object(kl_weight)
            if callable(kl_weight) else kl_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> BayesianNetwork:
        """The inverse of ``get_config``; names are resolved through the registry."""
        config = dict(config)
        for part in ("net", "kl_weight"):
            if isinstance(config[part], dict):
                config[part] = keras.saving.deserialize_keras_object(
                    config[part], custom_objects=custom_objects
                )
        return cls(**config)

    def _num_data(self, dtype: Any) -> tf.Tensor:
        return tf.cast(read(self.num_data_seen), dtype)

    def _require_num_data(self) -> None:
        if self.num_data is None:
            raise DataError(
                "The number of training rows is not known, and the KL term is weighted by it. "
                "Give BayesianNetwork(..., num_data=N), or fit first."
            )

    def _require_built(self) -> None:
        if not hasattr(self, "surrogate"):
            raise ModelError(
                f"The net {self.net.name!r} has no weights yet. Begin it with keras.Input(shape), "
                "or call the model once on data."
            )


def bayesianize(net: keras.Model, likelihood: str | Likelihood, prior: str | Prior = "normal",
                **options: Any) -> BayesianNetwork:
    """A BayesianNetwork around a copy of ``net``, which itself stays as it is.

    Args:
        net: A built Keras net; its weights are the posterior's first locations.
        likelihood: As in BayesianNetwork.
        prior: As in BayesianNetwork.
        **options: The other arguments of BayesianNetwork.
    """
    return BayesianNetwork(functional.clone(net), likelihood, prior, **options)


class _StepCounter(keras.metrics.Metric):
    """Counts the batches of an evaluation; Keras resets it where an evaluation begins."""

    def __init__(self) -> None:
        super().__init__(name="evaluation_step")
        self.count = self.add_variable((), "zeros", dtype="int64", aggregation="only_first_replica",
                                       name="count")

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        self.count.assign_add(tf.ones((), tf.int64))

    def value(self) -> tf.Tensor:
        """The index of the batch at hand."""
        return read(self.count)

    def result(self) -> tf.Tensor:
        return self.value()


@contextmanager
def _stream(name: str) -> Iterator[None]:
    _THREAD.stream = name
    try:
        yield
    finally:
        del _THREAD.stream


def _copy_weights(source: BayesianNetwork, target: BayesianNetwork) -> None:
    """Copy all weights that both have; a target with masks keeps them at one."""
    by_path = {variable.path.partition("/")[2]: variable for variable in source.surrogate.weights}
    for variable in target.surrogate.weights:
        if (path := variable.path.partition("/")[2]) in by_path:
            variable.assign(by_path[path])
    for name, raw in source.learned_raw.items():
        target.learned_raw[name].assign(raw)
    for state in ("rng_seed", "rng_step", "num_data_seen"):
        getattr(target, state).assign(getattr(source, state))


def _check_estimator(estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise OptionsError(
            f"estimator must be one of {', '.join(ESTIMATORS)}.{did_you_mean(estimator, ESTIMATORS)} "
            f"Received: {estimator!r}."
        )
    if estimator != "reparameterization":
        raise OptionsError(
            f"estimator={estimator!r} works inside layers, which are not in this version. "
            "Use estimator='reparameterization'."
        )
