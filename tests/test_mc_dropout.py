"""Monte Carlo dropout: masks that are draws, closed forms of what they give, and its engine."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import network, network_data, stored
from tfbdl_engines.mc_dropout import MonteCarloDropout, weight_decay
from tfbdl_engines.network_config import DropoutOptions

import tfbdl
from tfbdl import Predictive, errors, functional
from tfbdl.checkpoints import CheckpointStore
from tfbdl.data import as_dataset
from tfbdl.inference import dropout
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context

pytestmark = pytest.mark.slow  # minutes of compilation; part of `make test-all`

X, Y = network_data()
layers = keras.layers


def sequential(*parts):
    return keras.Sequential(list(parts))


def masks(net, x, seed):
    return dropout.apply(net, [], x, tf.constant(seed, tf.int64)).numpy()


def fit(model, data=(X, Y), seed=1, context=None, **options):
    engine = MonteCarloDropout(DropoutOptions(**{"steps": 100, "batch_size": 16, **options}))
    return engine.fit(model, as_dataset(data), context or Context(seed=seed))


def regression(rate, scale, **options):
    """A linear net whose inputs are dropped; noise of known scale."""
    net = sequential(keras.Input((2,)), layers.Dropout(rate), layers.Dense(1, name="dense"))
    return tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": scale}, **options)


# -- masks -----------------------------------------------------------------------------------


def test_a_mask_drops_its_share_and_is_the_same_for_all_rows():
    net = sequential(keras.Input((2000,)), layers.Dropout(0.25))
    x = np.ones((3, 2000), "float32")
    found = masks(net, x, 7)
    assert set(np.unique(found)) == {0.0, np.float32(1.0 / 0.75)}
    np.testing.assert_array_equal(found, np.tile(found[:1], (3, 1)))
    assert np.mean(found[0] == 0.0) == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 2000) ** 0.5)
    np.testing.assert_array_equal(masks(net, x, 7), found)
    agree = np.mean(masks(net, x, 8)[0] == found[0])
    assert agree == pytest.approx(0.25**2 + 0.75**2, abs=0.06)  # of independent masks
    np.testing.assert_array_equal(net(x), x)  # the net is as before


def test_layers_have_masks_of_their_own():
    net = sequential(keras.Input((2000,)), layers.Dropout(0.5), layers.Dropout(0.5))
    found = masks(net, np.ones((1, 2000), "float32"), 7)
    assert np.mean(found > 0) == pytest.approx(0.25, abs=0.05)  # 0.5 if they were the same
    assert found.max() == 4.0


def test_spatial_dropout_drops_whole_channels():
    net = sequential(keras.Input((6, 5, 40)), layers.SpatialDropout2D(0.5))
    found = masks(net, np.ones((2, 6, 5, 40), "float32"), 3)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:1, :1, :1], found.shape))
    assert 5 < np.sum(found[0, 0, 0] == 0.0) < 35


def test_gaussian_dropout_multiplies_by_normal_noise():
    net = sequential(keras.Input((5000,)), layers.GaussianDropout(0.2))
    found = masks(net, 2.0 * np.ones((2, 5000), "float32"), 3)
    assert found[0].mean() == pytest.approx(2.0, abs=5 / 5000**0.5)
    assert found[0].std() == pytest.approx(2.0 * 0.25**0.5, rel=0.06)  # variance p / (1 - p)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("cell", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_masks_belong_to_the_draw(cell):
    net = sequential(keras.Input((4, 3)), cell(5, dropout=0.4, recurrent_dropout=0.4))
    x = np.tile(np.random.default_rng(0).normal(size=(1, 4, 3)), (3, 1, 1)).astype("float32")
    before = net(x, training=False).numpy()
    one, again, other = (masks(net, x, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(one, np.tile(one[:1], (3, 1)), atol=1e-5)
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(net(x, training=False), before)
    assert all("call" not in vars(layer) for layer in functional.layers_of(net))


def test_batch_normalisation_keeps_its_moving_statistics():
    net = sequential(
        keras.Input((2,)), layers.BatchNormalization(), layers.Dropout(1e-9), layers.Dense(3)
    )
    net.layers[0].moving_mean.assign([0.5, -1.0])
    np.testing.assert_allclose(masks(net, X, 1), net(X, training=False), rtol=1e-6)
    np.testing.assert_array_equal(net.layers[0].moving_mean, [0.5, -1.0])


def test_rates_are_those_of_the_dropout_right_before_a_kernel():
    net = sequential(
        keras.Input((4, 3)),
        layers.Dense(6, name="first"),
        layers.Dropout(0.3),
        layers.Activation("relu"),
        layers.Dense(5, name="second"),
        layers.LSTM(2, dropout=0.1, recurrent_dropout=0.2, name="lstm"),
        layers.Dense(1, name="last"),
    )
    found = {name: rate for name, rate in dropout.rates(net).items() if rate}
    assert found == {
        "second.kernel": 0.3,
        "lstm.lstm_cell.kernel": 0.1,
        "lstm.lstm_cell.recurrent_kernel": 0.2,
    }


# -- what masks give -------------------------------------------------------------------------


def test_moments_of_a_linear_net_are_those_of_its_masks():
    """f = b + sum x_i w_i z_i / (1 - p): mean b + x w, variance p / (1 - p) sum (x_i w_i)^2."""
    model = regression(0.25, 0.5)
    kernel, bias, draws = np.array([[0.7], [-1.2]], "float32"), np.array([0.3], "float32"), 4000
    seeds = np.random.default_rng(0).integers(0, 2**31, (1, draws))
    posterior = Posterior(
        {
            "dense.kernel": np.broadcast_to(kernel, (1, draws, 2, 1)),
            "dense.bias": np.broadcast_to(bias, (1, draws, 1)),
            dropout.SITE: seeds,
        }
    )
    p = Predictive(model, posterior, X[:8], draws)
    variance = 0.25 / 0.75 * np.square(X[:8]) @ np.square(kernel)
    np.testing.assert_allclose(
        p.mean, X[:8] @ kernel + bias, atol=5 * (variance.max() / draws) ** 0.5
    )
    np.testing.assert_allclose(p.epistemic, variance, rtol=0.12)
    np.testing.assert_allclose(p.aleatoric, np.full((8, 1), 0.25), rtol=1e-5)
    split = Predictive(model, posterior, X[:8], draws, batch_size=3)
    np.testing.assert_allclose(split.mean, p.mean, rtol=1e-6)  # rows do not see one another


def test_a_rate_of_nothing_leaves_no_epistemic_variance():
    result = fit(network(dropout=1e-9), steps=10)
    p = Predictive(network(dropout=1e-9), result.posterior, X)
    assert np.max(p.epistemic) == 0.0


@pytest.mark.parametrize("options", [{}, {"length_scale": 3.0}])
def test_training_reaches_the_optimum_of_the_expected_objective(options):
    """Over masks: tau / 2 (||y - X w||^2 + p / (1 - p) sum_i w_i^2 sum_n x_ni^2) + penalty.

    The penalty is ||w||^2 / (2 s^2) for a prior of scale s, and l^2 (1 - p) / 2 ||w||^2 for a
    length scale l; of the bias, which no mask reaches, l^2 / 2 b^2.
    """
    rate, scale = 0.4, 1.5
    model = regression(rate, scale, prior_options={"scale": 0.25})
    steps = {"steps": 3000, "batch_size": 64, "learning_rate": 0.02}
    result = fit(model, **steps, **options)
    design = np.column_stack([X, np.ones(len(X))]).astype("float64")
    squares = np.diag([*np.sum(np.square(X), axis=0), 0.0])
    decay = 9.0 * np.diag([1 - rate, 1 - rate, 1.0]) if options else np.eye(3) / 0.25**2
    precision = (design.T @ design + rate / (1 - rate) * squares) / scale**2 + decay
    optimum = np.linalg.solve(precision, design.T @ Y / scale**2)
    found = [*model.net.layers[-1].kernel.numpy()[:, 0], model.net.layers[-1].bias.numpy()[0]]
    np.testing.assert_allclose(found, optimum, atol=0.015)  # the masks' noise, at a small rate
    np.testing.assert_allclose(result.posterior.mean()["dense.kernel"][:, 0], found[:2], rtol=1e-5)


def test_weight_decay_is_the_papers():
    model = regression(0.1, 1.0)
    values = {"dense.kernel": tf.constant([[2.0], [1.0]]), "dense.bias": tf.constant([3.0])}
    expected = 0.5 * 0.01**2 * (0.9 * 5.0 + 9.0)
    assert float(weight_decay(model, 0.01)(values)) == pytest.approx(expected, rel=1e-6)


# -- the engine ------------------------------------------------------------------------------


def test_draws_are_masks_of_one_trained_net():
    model = network()
    result = fit(model, draws=30)
    draws = result.posterior.draws
    assert draws[dropout.SITE].shape == (1, 30)
    assert len(np.unique(draws[dropout.SITE])) == 30
    for site in model.sites:
        assert draws[site.name].shape == (1, 30, *site.shape)
    assert np.ptp(draws["dense.kernel"], axis=1).max() == 0.0
    np.testing.assert_array_equal(draws["dense.kernel"][0, 0], model.net.layers[0].kernel)
    assert result.posterior.diagnostics() == []
    assert len(result.history["loss"]) == 25
    p = Predictive(model, result.posterior, X, draws=100)
    assert p.draws == 30
    each = [
        dropout.apply(model.net, [], X, seed).numpy() for seed in draws[dropout.SITE][0].tolist()
    ]
    np.testing.assert_allclose(p.mean, np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(p.epistemic, np.var(each, axis=0), atol=1e-5)
    assert p.epistemic.min() > 0.0


def test_the_same_seed_gives_the_same_bits_and_more_draws_add_to_the_first():
    one, again, longer, other = (
        fit(network(), steps=30, **options).posterior.draws
        for options in ({}, {}, {"draws": 150}, {"seed": 2})
    )
    for name, draws in one.items():
        np.testing.assert_array_equal(draws, again[name])
        np.testing.assert_array_equal(draws, longer[name][:, :100])
        assert not np.any(draws == other[name])


def test_a_run_that_was_stopped_and_resumed_is_one_that_was_not(tmp_path):
    whole = fit(network())
    store = CheckpointStore(tmp_path)

    def stop(metrics):
        if metrics["step"] > 20:
            raise errors.RunCancelled("Enough.")

    with pytest.raises(errors.RunCancelled):
        fit(network(), context=Context(seed=1, on_step=stop, checkpoints=store))
    assert 20 < store.steps()[-1] < 100
    resumed = fit(network(), context=Context(seed=1, checkpoints=store))
    assert resumed.history == whole.history
    for name, draws in whole.posterior.draws.items():
        np.testing.assert_array_equal(draws, resumed.posterior.draws[name])


def test_masks_are_stored_and_read(tmp_path):
    model, data = network(), as_dataset((X, Y))
    result = fit(model, steps=30)
    made, read = stored(model, result, data.info, "mc_dropout", tmp_path / "run")
    np.testing.assert_array_equal(read.predict(X, seed=3).mean, made.predict(X, seed=3).mean)
    assert read.predict(X).epistemic.min() > 0.0
    assert read.diagnostics() is None


def test_a_net_that_drops_nothing_is_refused():
    for net in (network(dropout=0.0), regression(0.0, 1.0)):
        with pytest.raises(errors.ModelError, match=r"no layer of the net has any\. Add keras"):
            fit(net)


def test_a_length_scale_beside_the_likelihood_alone_is_refused():
    with pytest.raises(ValueError, match="objective='likelihood' for none"):
        DropoutOptions(length_scale=0.1, objective="likelihood")
