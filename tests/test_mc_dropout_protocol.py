"""The published protocol of MC dropout: its objective, its scores, and the rows that it leaves."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import scipy.special
from small_models import network_data
from tfbdl_engines.mc_dropout import MonteCarloDropout
from tfbdl_engines.network_config import DropoutOptions

import tfbdl
from benchmarks.mc_dropout import protocol
from tfbdl.data import as_dataset
from tfbdl.protocols import Context

X, Y = network_data()
layers = keras.layers
WEIGHTS = ("dense.kernel", "dense.bias", "dense_1.kernel", "dense_1.bias")


def regression(tau):
    """Two layers with dropout before each, and noise of precision tau."""
    net = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dropout(0.3),
            layers.Dense(3, "relu"),
            layers.Dropout(0.1),
            layers.Dense(1),
        ]
    )
    return tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": tau**-0.5})


def trained(model, data, **options):
    options = DropoutOptions(initial="current", batch_size=len(data[0]), **options)
    return MonteCarloDropout(options).fit(model, as_dataset(data), Context(seed=1))


def weights(seed=3):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype("float32") for shape in ((2, 3), (3,), (3, 1), (1,))]


def test_the_loss_is_the_mean_error_and_the_weight_decay_of_each_layer():
    """1/N sum (y - f)^2 / 2 + sum l^2 (1 - p) / (2 N tau) ||W||^2 + l^2 / (2 N tau) ||b||^2.

    At inputs of zero, and hidden units that they leave at zero, masks have nothing to drop: f is
    the last bias whatever they are. The loss is tau times the objective, and the normal's constant.
    """
    length, tau, n = 0.7, 4.0, 6
    W1, b1, W2, b2 = weights()
    b1 = -np.abs(b1)
    y = np.random.default_rng(1).normal(size=n)
    model = regression(tau)
    model.net.set_weights([W1, b1, W2, b2])
    result = trained(model, (np.zeros((n, 2), "float32"), y), steps=1, length_scale=length)
    errors = np.sum(np.square(y - b2)) / 2
    decay = 0.7 * np.sum(W1**2) + 0.9 * np.sum(W2**2) + np.sum(b1**2) + np.sum(b2**2)
    objective = errors / n + length**2 / (2 * n * tau) * decay
    constant = 0.5 * np.log(2 * np.pi / tau)
    assert result.history["loss"] == pytest.approx([tau * objective + constant], rel=1e-6)


def test_length_scale_and_precision_act_by_their_ratio_alone():
    """The objective divided by tau has l^2 / tau in it, and Adam does not mind a factor."""
    found = []
    for length, tau in ((1.0, 4.0), (0.5, 1.0), (2.0, 1.0)):
        model = regression(tau)
        model.net.set_weights(weights())
        trained(model, (X, Y), steps=40, length_scale=length)
        found.append(np.concatenate([w.ravel() for w in model.net.get_weights()]))
    np.testing.assert_allclose(found[0], found[1], atol=2e-4)
    assert np.abs(found[2] - found[1]).max() > 0.02


@pytest.fixture(scope="module")
def data():
    """Rows whose moments are far from 0 and 1; ten of them are held out."""
    return as_dataset((3.0 * X + 20.0, 50.0 + 10.0 * Y), task="regression").hold_out(np.arange(10))


def test_scores_are_the_papers_formulas_in_units_of_the_target(data):
    tau, masks = 0.03, 40
    fit = protocol.fitted(data, 0.1, tau, seed=2, draws=masks, steps=50)
    x, y = data.x_test, np.asarray(data.y_test).ravel()
    found = protocol.scores(fit, data, masks)
    f = data.y.mean() + data.y.std() * fit.predict(x, draws=masks).outputs()[..., 0]
    ll = scipy.special.logsumexp(-tau / 2 * np.square(y - f), axis=0) - np.log(masks)
    ll += -0.5 * np.log(2 * np.pi) + 0.5 * np.log(tau)
    assert found["ll"] == pytest.approx(ll.mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((y - f.mean(axis=0)) ** 2)), rel=1e-5)
    W1, b1, W2, b2 = (fit.posterior.mean()[name] for name in WEIGHTS)
    h = np.maximum((x - data.x.mean(axis=0)) / data.x.std(axis=0) @ W1 + b1, 0.0)
    plain = data.y.mean() + data.y.std() * (h @ W2 + b2)[:, 0]
    assert found["rmse without masks"] == pytest.approx(np.sqrt(np.mean((y - plain) ** 2)), 1e-4)
    ll = 0.5 * np.log(tau / (2 * np.pi)) - tau / 2 * np.mean((y - plain) ** 2)
    assert found["ll without masks"] == pytest.approx(ll, rel=1e-4)


@pytest.mark.slow
def test_the_search_reads_no_test_rows_and_puts_the_likeliest_pair_first(data):
    spoilt = dataclasses.replace(
        data, x_test=np.full_like(data.x_test, np.nan), y_test=np.full_like(data.y_test, np.nan)
    )
    grid = {"taus": (1e-4, 0.03), "rates": (0.05,), "seed": 0, "steps": 60}
    tried = protocol.choose(data, **grid)
    assert protocol.choose(spoilt, **grid) == tried
    # targets of variance 100 or less: noise of variance 10,000 is never the likelier
    assert [(choice.rate, choice.tau) for choice in tried] == [(0.05, 0.03), (0.05, 1e-4)]
    assert tried[0].log_likelihood > tried[1].log_likelihood
