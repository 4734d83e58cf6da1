"""Networks, data and closed forms for tests of Laplace's approximation."""

import keras
import numpy as np
import pytest
from scipy import special
from tfbdl_engines.laplace import Laplace
from tfbdl_engines.laplace_config import LaplaceOptions

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.protocols import Context
from tfbdl.testing.steps import without_xla

layers = keras.layers
NOISE, PRIOR = 0.3, 0.8
EXACT = {"initial": "current", "dtype": "float64"}


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


def network(parts, likelihood="gaussian", prior=PRIOR, sites=None, **options):
    net = keras.Sequential(parts)
    model = tfbdl.BayesianNetwork(
        net, likelihood, prior_options={"scale": prior}, sites=sites, likelihood_options=options
    )
    return without_xla(model)


def laplace(model, data, **options):
    """The engine's result alone, without the scores of a run."""
    engine = Laplace(LaplaceOptions(**{**EXACT, **options}))
    return engine.fit(model, as_dataset(data), Context(seed=1))


def predicted(model, result, x, draws=100):
    return result.posterior.predictive_of(model, x, draws, 0)


def regression(rows=40, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    W = rng.normal(size=(4, outputs))
    y = np.column_stack([x, np.ones(rows)]) @ W + NOISE * rng.normal(size=(rows, outputs))
    return x.astype("float32"), y.astype("float32")


X, Y = regression()
DESIGN = np.column_stack([X, np.ones(len(X))]).astype("float64")
COVARIANCE = np.linalg.inv(np.eye(4) / PRIOR**2 + DESIGN.T @ DESIGN / NOISE**2)
MODE = COVARIANCE @ DESIGN.T @ Y / NOISE**2


def linear(at_mode=True, **options):
    """A linear net at its posterior mode; the posterior of each output is the same."""
    model = network([keras.Input((3,)), layers.Dense(2, name="d")], **{"scale": NOISE, **options})
    if at_mode:
        model.net.set_weights([MODE[:3], MODE[3]])
    return model


def state_of(model):
    named = tfbdl.functional.site_names(model.net)
    return {name: variable.numpy().astype("float64") for name, variable in named.items()}


def jacobian(model, x, names):
    """``[n, C, D]`` by central differences in float64, of a copy of the net."""
    from tfbdl_engines.precision import with_dtype

    net = tfbdl.functional.clone(model.net, adjust=lambda config: with_dtype(config, "float64"))
    named = tfbdl.functional.site_names(net)
    x = x.astype("float64")
    columns = []
    for name in names:
        value = named[name].numpy()
        for i in range(value.size):
            ends = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved.reshape(-1)[i] += step
                named[name].assign(moved)
                ends.append(net(x).numpy().reshape(len(x), -1))
            named[name].assign(value)
            columns.append((ends[0] - ends[1]) / 2e-5)
    return np.stack(columns, axis=-1), net(x).numpy().reshape(len(x), -1)


def gauss_newton(J, logits):
    """``sum_n J' (diag p - p p') J`` of a softmax."""
    p = special.softmax(logits, axis=1)
    H = np.einsum("nc,cd->ncd", p, np.eye(p.shape[1])) - p[:, :, None] * p[:, None]
    return np.einsum("ncd,nce,nef->df", J, H, J)


def precision_of(fit):
    normal = fit.posterior.normal
    return np.linalg.inv(normal.covariance(0, len(normal.mean)))


def classes(rows, classes, shape, seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, *shape)).astype("float32"), rng.integers(0, classes, rows)


NETS = {
    "dense": ((3,), lambda: [layers.Dense(4, "tanh"), layers.Dense(3)]),
    "convolution": (
        (6, 5, 2),
        lambda: [
            layers.Conv2D(2, (3, 2), strides=(2, 1), padding="same", activation="tanh"),
            layers.Flatten(),
            layers.Dense(3, use_bias=False),
        ],
    ),
    "in_time": (
        (7, 2),
        lambda: [
            layers.Conv1D(3, 2, padding="causal", dilation_rate=2, activation="tanh"),
            layers.Dense(2, "tanh"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ],
    ),
    "recurrent": ((4, 2), lambda: [layers.SimpleRNN(2), layers.Dense(3)]),
}


def classifier(name, **options):
    shape, parts = NETS[name]
    return network([keras.Input(shape), *parts()], "categorical", **options), shape
