"""Models so small that a fit takes a second, for the tests of runs and engines."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl.fitted import Fit
from tfbdl.protocols import Site
from tfbdl.specs import RunSpec

tfd = tfp.distributions

SIGMA = np.array([[1.0, 0.9], [0.9, 2.0]])
PRECISION = np.linalg.inv(SIGMA)

NETWORK_OPTIONS = {
    "epochs": 8,
    "batch_size": 16,
    "learning_rate": 0.05,
    "schedule": "constant",
    "validation_split": 0.25,
    "patience": 3,
    "checkpoint_seconds": 0.0,
}


class LinearModel:
    """y ~ N(w x, 1) with w ~ N(0, 1): a log joint over minibatches."""

    num_data = 60

    def __init__(self, name="w"):
        self.sites = (Site(name, (), None, "float32"),)

    def init(self, seed):
        return {self.sites[0].name: tf.constant(0.1 * seed)}

    def log_joint(self, params, batch):
        x, y = batch
        w = params[self.sites[0].name]
        log_lik = tfd.Normal(w * x[:, 0], 1.0).log_prob(y)
        return tfd.Normal(0.0, 1.0).log_prob(w) + self.num_data * tf.reduce_mean(log_lik)


class Line(LinearModel):
    """Begins near zero whatever the seed."""

    def init(self, seed):
        return {"w": tf.constant(0.1 * (seed % 10))}


def correlated_gaussian():
    """The density of N(0, SIGMA), in float64."""

    def fn(x):
        return -0.5 * tf.reduce_sum(x * tf.linalg.matvec(tf.constant(PRECISION, x.dtype), x))

    return tfbdl.LogDensity(fn, shapes={"x": (2,)}, dtype="float64")


def linear_data(seed=3):
    """60 rows of LinearModel with w = 1.2."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 1)).astype("float32")
    return x, (1.2 * x[:, 0] + rng.normal(size=60)).astype("float32")


def network(hidden=3, dropout=0.3):
    """A net with two kinds of noise: its weights, and dropout."""
    layers = [keras.Input((2,)), keras.layers.Dense(hidden, "tanh")]
    layers += [keras.layers.Dropout(dropout)] if dropout else []
    net = keras.Sequential([*layers, keras.layers.Dense(1)])
    return tfbdl.BayesianNetwork(net, "gaussian")


def network_data():
    """64 rows of a plane with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype("float32")
    return x, (x[:, 0] - x[:, 1] + 0.3 * rng.normal(size=64)).astype("float32")


def fit_network(out=None, on_step=None, **options):
    """A run from objects with all that has a state: noise, validation, early stopping."""
    options = {**NETWORK_OPTIONS, **options}
    return tfbdl.fit(
        network(), network_data(), engine_options=options, seed=4, out=out, on_step=on_step
    )


def fit_linear(out=None, on_step=None, seed=4, **options):
    """A quick run from objects."""
    options = {"epochs": 12, "batch_size": 15, "checkpoint_seconds": 0.0, **options}
    return tfbdl.fit(
        LinearModel(),
        linear_data(),
        engine="variational",
        engine_options=options,
        seed=seed,
        out=out,
        on_step=on_step,
    )


def assert_same(one, other):
    """Two fits agree to the last bit, but for the time they took."""
    assert one.history == other.history
    metrics = [{k: v for k, v in f.metrics.items() if k != "seconds"} for f in (one, other)]
    assert metrics[0] == metrics[1]
    for name, draws in one.posterior.draws.items():
        np.testing.assert_array_equal(draws, other.posterior.draws[name])
    if isinstance(one.model, keras.Model):
        for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def resume_linear(path, **options):
    return tfbdl.resume(path, model=LinearModel(), data=linear_data(), **options)


class Stop(Exception):
    """Ends a run from within, as a crash would."""


def stop_at(step, error=Stop):
    """Something to do on each step: end the run at this one."""

    def on_step(metrics):
        if metrics["step"] >= step:
            raise error(f"at step {step}")

    return on_step


def stored(model, result, info, engine, path):
    """An engine's result as a Fit, and what is read of it after saving."""
    made = Fit(
        model=model,
        posterior=result.posterior,
        history=result.history,
        metrics=result.metrics,
        spec=RunSpec(model=None, engine=engine, fingerprints={"model": "a"}),
        info=info,
    )
    made.save(path)
    return made, tfbdl.load(path)
