"""Deep ensembles: truth on linear nets, members of their own, resuming, and counting each once."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import network, network_data, stored
from tfbdl_engines import trainer as trainer_module
from tfbdl_engines import training
from tfbdl_engines.ensemble import Ensemble
from tfbdl_engines.loss_scaling import GROWTH_STEPS, kept, start_scaling, updated
from tfbdl_engines.network_config import EnsembleOptions
from tfbdl_engines.trainer import Trainer

import tfbdl
from tfbdl import Predictive, errors, functional
from tfbdl.checkpoints import CheckpointStore
from tfbdl.data import as_dataset
from tfbdl.inference import driver
from tfbdl.protocols import Context
from tfbdl.testing.steps import without_xla

pytestmark = pytest.mark.slow  # minutes of compilation; part of `make test-all`

X, Y = network_data()
DESIGN = np.column_stack([X, np.ones(len(X))]).astype("float64")
NORMALISED = {"steps": 60, "batch_size": 16, "members": 3, "checkpoint_seconds": 0.0}


def linear(**options):
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    return without_xla(tfbdl.BayesianNetwork(net, "gaussian", **options))


def normalised():
    """Batch normalisation, which cannot be vectorised, and dropout, which has a seed."""
    layers = keras.layers
    net = [keras.Input((2,)), layers.Dense(4, "tanh"), layers.BatchNormalization()]
    net += [layers.Dropout(0.2), layers.Dense(1)]
    return tfbdl.BayesianNetwork(keras.Sequential(net), "gaussian")


def fit(model, data=(X, Y), seed=1, context=None, **options):
    engine = Ensemble(EnsembleOptions(**{"members": 3, "steps": 200, **options}))
    return engine.fit(model, as_dataset(data), context or Context(seed=seed))


def weights_of(result):
    """``[member, 3]`` of the linear net: two slopes and the bias."""
    draws = result.posterior.draws
    return np.concatenate([draws["dense.kernel"][0, :, :, 0], draws["dense.bias"][0]], axis=1)


def assert_same_draws(one, other):
    for name, draws in one.posterior.draws.items():
        np.testing.assert_array_equal(draws, other.posterior.draws[name])


# -- truth -----------------------------------------------------------------------------------


def test_map_members_of_a_linear_net_reach_the_posterior_mode():
    scale = 2.0
    model = linear(likelihood_options={"scale": scale}, prior_options={"scale": 0.2})
    found = weights_of(fit(model, batch_size=64, steps=600, learning_rate=0.02))
    precision = DESIGN.T @ DESIGN / scale**2 + np.eye(3) / 0.2**2
    mode = np.linalg.solve(precision, DESIGN.T @ Y / scale**2)
    np.testing.assert_allclose(found, np.tile(mode, (3, 1)), atol=2e-4)
    assert np.abs(mode[:2]).max() < 0.6  # the prior counts: the data alone say 1 and -1


def test_likelihood_members_reach_least_squares_and_each_learns_its_scale():
    result = fit(linear(), objective="likelihood", batch_size=64, steps=1500, learning_rate=0.02)
    solution = np.linalg.lstsq(DESIGN, Y, rcond=None)[0]
    np.testing.assert_allclose(weights_of(result), np.tile(solution, (3, 1)), atol=2e-4)
    scale = np.sqrt(np.mean((DESIGN @ solution - Y) ** 2))
    np.testing.assert_allclose(
        result.posterior.draws["likelihood.scale"], np.full((1, 3), scale), rtol=1e-3
    )
    nll = 0.5 * np.log(2 * np.pi) + np.log(scale) + 0.5
    assert result.metrics["loss"] == pytest.approx(nll, abs=1e-3)
    assert len(result.history["loss"]) == 1500  # one for each pass over the data


def test_sample_weights_multiply_the_log_likelihood():
    weight = np.where(np.arange(len(X)) % 2, 3.0, 0.5).astype("float32")
    model = linear(likelihood_options={"scale": 1.0})
    options = {"objective": "likelihood", "batch_size": 64, "steps": 600, "learning_rate": 0.05}
    found = weights_of(fit(model, (X, Y, weight), members=1, **options))
    root = np.sqrt(weight)[:, np.newaxis]
    solution = np.linalg.lstsq(root * DESIGN, root[:, 0] * Y, rcond=None)[0]
    np.testing.assert_allclose(found[0], solution, atol=2e-4)


# -- members ---------------------------------------------------------------------------------


def test_members_differ_in_start_and_all_count_once():
    model = without_xla(network(dropout=0.0))
    result = fit(model, steps=20, batch_size=16, members=4)
    kernels = result.posterior.draws["dense.kernel"]
    assert kernels.shape == (1, 4, 2, 3)
    assert len(np.unique(kernels[0, :, 0, 0])) == 4
    p = Predictive(model, result.posterior, X, draws=100)
    assert p.draws == 4
    each = []
    for member in range(4):
        net = functional.clone(model.net)
        for name, variable in functional.site_names(net).items():
            variable.assign(result.posterior.draws[name][0, member])
        each.append(net(X).numpy())
    np.testing.assert_allclose(p.mean, np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(p.epistemic, np.var(each, axis=0), atol=1e-5)
    noise = result.posterior.draws["likelihood.scale"][0] ** 2
    np.testing.assert_allclose(p.aleatoric, np.full((64, 1), np.mean(noise)), rtol=1e-5)
    counts = np.unique(result.posterior.sample(12)["dense.kernel"][:, 0, 0], return_counts=True)[1]
    np.testing.assert_array_equal(counts, [3, 3, 3, 3])
    assert result.posterior.diagnostics() == []


def test_members_have_their_own_order_of_the_data():
    model = linear(likelihood_options={"scale": 1.0})
    small = weights_of(fit(model, steps=5, batch_size=8, initial="current"))
    assert len(np.unique(small[:, 0])) == 3
    whole = weights_of(fit(model, steps=5, batch_size=64, initial="current"))
    np.testing.assert_allclose(whole, np.tile(whole[:1], (3, 1)), atol=1e-6)


def test_every_row_comes_once_in_each_epoch():
    rows = as_dataset((X[:50], Y[:50]))
    trainer = Trainer(linear(), rows, EnsembleOptions(epochs=4, batch_size=8), None, 1, 2)
    assert trainer.steps == 25
    orders = [trainer.order(member, 0, 25) for member in range(2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order.reshape(4, 50)), np.tile(np.arange(50), (4, 1)))
        assert not np.array_equal(order.ravel()[:50], order.ravel()[50:100])
    assert not np.array_equal(*orders)
    np.testing.assert_array_equal(trainer.order(1, 7, 9), orders[1][7:16])


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 8000), ({"steps": 3}, 3), ({"epochs": 4}, 4), ({"epochs": 4, "steps": 3}, 4)],
)
def test_epochs_take_precedence_over_steps(options, steps):
    rows = as_dataset((X[:50], Y[:50]))  # less than a batch
    assert Trainer(linear(), rows, EnsembleOptions(**options), None, 1, 2).steps == steps


def test_orders_are_forgotten_with_their_trainer():
    rows = as_dataset((X, Y))
    trainer = Trainer(linear(), rows, EnsembleOptions(epochs=9, batch_size=8), None, 1, 2)
    for member in range(2):
        trainer.order(member, 0, trainer.steps)
    assert sum(order.size for _, order in trainer._orders.values()) == 2 * 64
    there = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert there() is None


def test_the_noise_of_a_likelihood_is_each_members_own():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
    model = tfbdl.BayesianNetwork(net, "heteroscedastic_categorical")
    data = (X, (Y > 0).astype("int32"))
    options = {"initial": "current", "objective": "likelihood", "batch_size": 64, "steps": 3}
    kernels = fit(model, data, **options).posterior.draws["dense.kernel"][0]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4  # same start, same rows in each step


def test_small_gradients_of_half_precision_do_not_become_zero():
    with functional.seeded(0):
        net = keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Dense(4, dtype="mixed_float16"),
                keras.layers.Rescaling(1e-6, dtype="mixed_float16"),
                keras.layers.Dense(1, dtype="mixed_float16"),
            ]
        )
    model = tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": 1.0})
    options = {"initial": "current", "objective": "likelihood", "members": 2, "steps": 20}
    # a row's gradient is about 1e-6 / 64, and the least number of float16 is 6e-8
    result = fit(model, batch_size=64, **options)
    before = net.layers[0].kernel.numpy()
    moved = np.abs(result.posterior.draws["dense.kernel"][0] - before)
    assert moved.min(axis=(1, 2)).max() > 1e-3  # Adam moves what has any gradient at all


def test_a_scale_follows_what_overflows():
    scaling = start_scaling(3)
    gradient = {"a": tf.constant([[1.0, 2.0], [np.inf, 0.0], [np.nan, 0.0]])}
    new, old = {"w": tf.ones((3, 2))}, {"w": tf.zeros((3, 2))}
    found = kept(scaling, gradient, new, old)["w"]
    np.testing.assert_array_equal(found, [[1, 1], [0, 0], [0, 0]])
    after = updated(scaling, gradient)
    np.testing.assert_array_equal(after.scale, [2.0**15, 2.0**14, 2.0**14])
    for _ in range(20):
        after = updated(after, gradient)
    np.testing.assert_array_equal(after.scale, [2.0**15, 1.0, 1.0])
    assert kept(after, gradient, new, old)["w"][1, 0] == 1.0  # the loss shall say so
    after = after._replace(finite=tf.fill((3,), GROWTH_STEPS - 1))
    np.testing.assert_array_equal(updated(after, {"a": tf.ones((3, 1))}).scale, [2.0**16, 2, 2])


def test_members_one_by_one_are_those_of_members_at_once(monkeypatch):
    model = without_xla(network(dropout=0.0))
    together = fit(model, steps=30, batch_size=16)
    monkeypatch.setattr(trainer_module, "GROUP_BYTES", 1)
    apart = fit(model, steps=30, batch_size=16)
    for name, draws in together.posterior.draws.items():
        np.testing.assert_allclose(apart.posterior.draws[name], draws, atol=1e-5)
    np.testing.assert_allclose(apart.history["loss"], together.history["loss"], rtol=1e-5)


def test_members_have_moving_statistics_and_masks_of_their_own():
    model = normalised()
    result = fit(model, **NORMALISED)
    draws = result.posterior.draws
    assert set(draws) >= {f"batch_normalization.{s}" for s in ("gamma", "beta", "moving_mean")}
    moving = draws["batch_normalization.moving_mean"]
    assert moving.shape == (1, 3, 4)
    assert len(np.unique(moving[0, :, 0])) == 3
    outputs = Predictive(model, result.posterior, X).outputs()
    for member in range(3):
        net = functional.clone(model.net)
        for name, variable in functional.site_names(net).items():
            variable.assign(draws[name][0, member])
        np.testing.assert_allclose(outputs[member], net(X, training=False), atol=1e-5)


# -- the run ---------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_wherever_the_program_is_cut(monkeypatch):
    model = network(dropout=0.0)
    one = fit(model, steps=50, batch_size=16)
    monkeypatch.setattr(training, "FIRST_CHUNK", 7)
    monkeypatch.setattr(driver, "CHUNK_SECONDS", 0.0)
    again = fit(model, steps=50, batch_size=16)
    assert_same_draws(one, again)
    assert again.history == one.history
    other = fit(model, steps=50, batch_size=16, seed=2)
    assert not np.any(other.posterior.draws["dense.kernel"] == one.posterior.draws["dense.kernel"])


@pytest.mark.parametrize(
    ("model", "stop_at"), [(lambda: network(dropout=0.0), 20), (normalised, 75)]
)
def test_a_run_that_was_stopped_and_resumed_is_one_that_was_not(model, stop_at, tmp_path):
    whole = fit(model(), **NORMALISED)
    store = CheckpointStore(tmp_path)
    seen = []

    def stop(metrics):
        seen.append(dict(metrics))
        if metrics["step"] >= stop_at:
            raise errors.RunCancelled("Enough.")

    with pytest.raises(errors.RunCancelled):
        fit(model(), context=Context(seed=1, on_step=stop, checkpoints=store), **NORMALISED)
    assert stop_at <= seen[-1]["step"] < seen[-1]["steps"]
    steps = []
    context = Context(seed=1, on_step=lambda m: steps.append(m["step"]), checkpoints=store)
    resumed = fit(model(), context=context, **NORMALISED)
    assert steps[0] > seen[-1]["step"]
    assert_same_draws(whole, resumed)
    assert resumed.history == whole.history
    with pytest.raises(errors.CheckpointError, match="another run"):
        fit(model(), context=context, **{**NORMALISED, "steps": 61})


def test_members_are_stored_and_read(tmp_path):
    model = without_xla(network(dropout=0.0))
    data = as_dataset((X, Y))
    result = fit(model, steps=20)
    made, read = stored(model, result, data.info, "ensemble", tmp_path / "run")
    np.testing.assert_array_equal(read.predict(X).mean, made.predict(X).mean)
    assert read.predict(X).draws == 3
    assert read.diagnostics() is None
    assert read.posterior.diagnostics() == []


# -- what is refused -------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_run():
    with pytest.raises(errors.RunError, match=r"loss became .* Lower the learning_rate"):
        fit(linear(), learning_rate=1e30, steps=5)


def test_data_that_a_member_cannot_order_are_refused():
    with pytest.raises(errors.DataError, match="needs targets"):
        fit(linear(), X)
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    found, expected = (
        weights_of(fit(linear(), data, steps=10, batch_size=20)) for data in (batches, (X, Y))
    )
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(errors.DataError, match="endless stream"):
        fit(linear(), batches.repeat())
