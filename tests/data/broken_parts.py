"""What the broken plugin names."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tfbdl
from tfbdl import random
from tfbdl.data import as_dataset
from tfbdl.distributions import Prior
from tfbdl.errors import RunCancelled
from tfbdl.protocols import EngineResult

# -- priors -----------------------------------------------------------------------------------


class sound(Prior):
    def element(self, shape: Any, dtype: str, name: Any, **parameters: Any) -> Any:
        return tfd.Normal(tf.constant(0.0, dtype), tf.constant(1.0, dtype))


class wrong_shape(Prior):
    def distribution(self, shape: Any, dtype: str = "float32", name: Any = None, **_: Any) -> Any:
        return tfd.Normal(tf.zeros(shape, dtype), tf.constant(1.0, dtype))  # a batch of scalars


class wrong_dtype(sound):
    def distribution(self, shape: Any, dtype: str = "float32", name: Any = None, **_: Any) -> Any:
        return super().distribution(shape, "float32", name)


class without_gradient(sound):
    def distribution(self, shape: Any, dtype: str = "float32", name: Any = None, **_: Any) -> Any:
        made = super().distribution(shape, dtype, name)
        whole = made.log_prob
        made.log_prob = lambda value: tf.stop_gradient(whole(value))
        return made


class infinite(sound):
    def distribution(self, shape: Any, dtype: str = "float32", name: Any = None, **_: Any) -> Any:
        made = super().distribution(shape, dtype, name)
        whole = made.log_prob
        made.log_prob = lambda value: whole(value) - tf.math.log(0.0 * tf.reduce_sum(value))
        return made


class fresh_draws(sound):
    def distribution(self, shape: Any, dtype: str = "float32", name: Any = None, **_: Any) -> Any:
        made = super().distribution(shape, dtype, name)
        made.sample = lambda seed=None: tf.random.normal(shape, dtype=dtype)
        return made


# -- data sets --------------------------------------------------------------------------------


def drifting(options: Any) -> Any:
    return as_dataset(np.random.default_rng().normal(size=(5, 2)))


def with_nan(options: Any) -> Any:
    whole = as_dataset(np.ones((5, 2)))
    return dataclasses.replace(whole, x=np.where(np.eye(5, 2), np.nan, 1.0))


def no_dataset(options: Any) -> Any:
    return np.ones((5, 2))


# -- engines ----------------------------------------------------------------------------------


class Engine:
    """Draws from the prior N(0, 1) for each site, which is no posterior but keeps to the form."""

    def __init__(self, options: Any) -> None:
        pass

    def rng(self, seed: int) -> Any:
        return np.random.default_rng(seed)

    def report(self, context: Any, value: float) -> None:
        if context.on_step is not None:
            context.on_step({"first": value})

    def fit(self, model: Any, data: Any, context: Any) -> Any:
        rng = self.rng(context.seed)
        draws = {s.name: rng.normal(size=(2, 5, *s.shape)) for s in model.sites}
        self.report(context, float(draws[model.sites[0].name].flat[0]))
        return EngineResult(posterior=tfbdl.Posterior(draws))


class Seedless(Engine):
    def rng(self, seed: int) -> Any:
        return np.random.default_rng()


class SameForAllSeeds(Engine):
    def rng(self, seed: int) -> Any:
        return np.random.default_rng(0)


class WithoutChains(Engine):
    def fit(self, model: Any, data: Any, context: Any) -> Any:
        draws = super().fit(model, data, context).posterior.draws
        return EngineResult(posterior=tfbdl.Posterior({n: v[:, :, 0] for n, v in draws.items()}))


class Deaf(Engine):
    def report(self, context: Any, value: float) -> None:
        with contextlib.suppress(RunCancelled):
            super().report(context, value)


class NoResult(Engine):
    def fit(self, model: Any, data: Any, context: Any) -> Any:
        return super().fit(model, data, context).posterior


sound_engine, seedless_engine, same_for_all_seeds_engine = Engine, Seedless, SameForAllSeeds
without_chains_engine, deaf_engine, no_result_engine = WithoutChains, Deaf, NoResult

# -- models -----------------------------------------------------------------------------------


class LossTimesReplicas(tfbdl.BayesianNetwork):
    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return tf.distribute.get_strategy().num_replicas_in_sync * super().compute_loss(
            *args, **kwargs
        )


class SameNoiseOnReplicas(tfbdl.BayesianNetwork):
    def _noise_key(self, training: bool, purpose: str = "weights") -> Any:
        return random.key(tf.convert_to_tensor(self.rng_seed), purpose)


class Untrained(tfbdl.BayesianNetwork):
    def train_step(self, data: Any) -> Any:
        return self.get_metrics_result()


class SummedLikelihood(tfbdl.BayesianNetwork):
    def log_joint(self, params: Any, batch: Any) -> Any:
        return self.log_prior(params) + tf.reduce_sum(self.log_likelihood(params, batch))


class NotWhatItSays(tfbdl.BayesianNetwork):
    capabilities = frozenset({"trainable"})


def model(cls: type, options: Any, info: Any, prior: Any, seed: int) -> Any:
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer=keras.initializers.Ones())]
    )
    made = cls(net, "gaussian", prior, num_data=info.num_rows)
    made.rng_seed.assign(seed)
    return made


loss_times_replicas = functools.partial(model, LossTimesReplicas)
same_noise_on_replicas = functools.partial(model, SameNoiseOnReplicas)
untrained = functools.partial(model, Untrained)
summed_likelihood = functools.partial(model, SummedLikelihood)
not_what_it_says = functools.partial(model, NotWhatItSays)


def seedless_model(options: Any, info: Any, prior: Any, seed: int) -> Any:
    seed = int(np.random.default_rng().integers(2**31))
    return model(tfbdl.BayesianNetwork, options, info, prior, seed)


def seed_ignored(options: Any, info: Any, prior: Any, seed: int) -> Any:
    return model(tfbdl.BayesianNetwork, options, info, prior, 0)


def lost_in_the_file(options: Any, info: Any, prior: Any, seed: int) -> Any:
    scale = float(np.random.default_rng().uniform(0.5, 2.0))  # neither option nor weight
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Rescaling(scale), keras.layers.Dense(1)]
    )
    return tfbdl.BayesianNetwork(net, "gaussian", prior, num_data=info.num_rows)
