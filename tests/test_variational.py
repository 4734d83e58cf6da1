"""The variational engine: truth on known posteriors, and what its options do."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import (
    LinearModel,
    assert_same,
    fit_linear,
    linear_data,
    network,
    network_data,
)
from tfbdl_engines.callbacks import EarlyStopping
from tfbdl_engines.config import VariationalOptions
from tfbdl_engines.variational import Variational

import tfbdl
from tfbdl import errors
from tfbdl.data import as_dataset
from tfbdl.inference.elbo import KLSchedule
from tfbdl.protocols import Context

tfb = tfp.bijectors
tfd = tfp.distributions

MEAN = np.array([1.0, -2.0])
COVARIANCE = np.array([[1.0, 0.9], [0.9, 2.0]])
PRECISION = np.linalg.inv(COVARIANCE)
SURE = {"steps": 2000, "learning_rate": 0.05, "num_samples": 32}


def gaussian():
    def fn(x):
        d = x - MEAN
        return -0.5 * tf.einsum("i,ij,j->", d, tf.constant(PRECISION), d)

    return tfbdl.LogDensity(fn, {"x": (2,)}, dtype="float64")


def fit(target, data=None, seed=1, **options):
    return tfbdl.fit(
        target, data, engine="variational", engine_options={**SURE, **options}, seed=seed
    )


# -- truth -----------------------------------------------------------------------------------


def test_mean_field_reaches_its_known_optimum():
    posterior = fit(gaussian(), posterior="mean_field").posterior
    np.testing.assert_allclose(posterior.mean()["x"], MEAN, atol=0.05)
    # the factors' precisions are the diagonal of the joint's (Bishop 2006, equation 10.12)
    np.testing.assert_allclose(posterior.stddev()["x"], np.diag(PRECISION) ** -0.5, rtol=0.03)
    assert posterior.draws["x"].dtype == np.float64


@pytest.mark.parametrize("family", [pytest.param("full_rank", marks=pytest.mark.slow), "low_rank"])
def test_a_family_with_correlations_reaches_the_covariance(family):
    found = fit(gaussian(), posterior=family, rank=2)
    np.testing.assert_allclose(found.posterior.mean()["x"], MEAN, atol=0.05)
    np.testing.assert_allclose(found.posterior.covariance()["x"], COVARIANCE, rtol=0.05)
    log_normaliser = math.log(2 * math.pi) + 0.5 * math.log(np.linalg.det(COVARIANCE))
    assert found.history["elbo"][-1] == pytest.approx(log_normaliser, abs=0.05)


def test_delta_finds_the_mode_of_the_unconstrained_density():
    target = tfbdl.LogDensity(
        lambda s: tfd.LogNormal(0.5, 0.8).log_prob(s), {"s": ()}, {"s": tfb.Exp()}
    )
    found = fit(target, posterior="delta", steps=1000).posterior
    # log s is N(0.5, 0.8^2): its mode is exp(0.5), that of s itself exp(0.5 - 0.64)
    assert found.mean()["s"] == pytest.approx(math.exp(0.5), rel=1e-3)
    assert found.stddev()["s"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("bijector", [tfb.Exp(), tfb.Softplus()], ids=["exp", "softplus"])
def test_the_jacobian_counts_exactly_once(bijector):
    base = tfd.TransformedDistribution(tfd.Normal(0.5, 0.8), bijector)
    target = tfbdl.LogDensity(lambda s: base.log_prob(s), {"s": ()}, {"s": bijector})
    draws = fit(target).posterior.draws["s"].ravel()
    raw = bijector.inverse(tf.constant(draws)).numpy()  # exactly N(0.5, 0.8^2)
    assert raw.mean() == pytest.approx(0.5, abs=4 * 0.8 / math.sqrt(1000))
    assert raw.std() == pytest.approx(0.8, rel=4 / math.sqrt(2 * 1000))


@pytest.mark.slow
def test_a_joint_distribution_matches_the_closed_form():
    y = np.random.default_rng(0).normal(2.0, 1.5, 20).astype("float32")
    joint = tfd.JointDistributionNamedAutoBatched(
        {"mean": tfd.Normal(0.0, 3.0), "y": lambda mean: tfd.Normal(mean * tf.ones(20), 1.5)}
    )
    found = fit(joint, {"y": y})
    precision = 1 / 9.0 + 20 / 1.5**2
    assert found.posterior.mean()["mean"] == pytest.approx(y.sum() / 1.5**2 / precision, abs=0.03)
    assert found.posterior.stddev()["mean"] == pytest.approx(precision**-0.5, rel=0.03)
    cov = 1.5**2 * np.eye(20) + 9.0 * np.ones((20, 20))
    evidence = -0.5 * (y @ np.linalg.solve(cov, y) + np.linalg.slogdet(2 * np.pi * cov)[1])
    assert found.history["elbo"][-1] == pytest.approx(evidence, abs=0.05)
    assert found.info is None


@pytest.mark.slow
def test_a_log_joint_over_minibatches_matches_the_closed_form():
    x, y = linear_data()
    found = fit(LinearModel(), (x, y), batch_size=30)
    precision = 1.0 + float(np.sum(x**2))
    assert found.posterior.mean()["w"] == pytest.approx(np.sum(x[:, 0] * y) / precision, abs=0.02)
    assert found.posterior.stddev()["w"] == pytest.approx(precision**-0.5, rel=0.05)


def test_equal_seeds_give_equal_bits_and_others_do_not():
    runs = [fit(gaussian(), seed=seed, steps=100).posterior.mean()["x"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


# -- options ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    return fit_linear(epochs=3)


def test_on_step_receives_steps_in_order():
    seen = []
    options = {"batch_size": 10, "steps_per_execution": 3, "validation_split": 1 / 3}
    found = fit_linear(None, seen.append, epochs=3, **options)
    steps = [metrics["step"] for metrics in seen]
    # 40 rows in batches of 10: two executions an epoch, and its end
    assert steps == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    assert {metrics["steps"] for metrics in seen} == {12}
    assert {"loss", "elbo"} <= set(seen[0])
    assert seen[-1]["val_loss"] == found.history["val_loss"][-1]


@pytest.mark.parametrize(
    ("options", "epochs"),
    [({"epochs": None, "steps": 5}, 2), ({"epochs": 1, "steps": 50}, 1), ({"epochs": 4}, 4)],
)
def test_steps_are_rounded_up_to_epochs_and_epochs_beat_steps(options, epochs):
    assert len(fit_linear(**options).history["loss"]) == epochs


def test_steps_per_execution_changes_no_bit(plain):
    assert_same(plain, fit_linear(epochs=3, steps_per_execution=1))


@pytest.mark.parametrize("most", [None, 32, 3])
def test_an_epoch_of_any_number_of_steps_makes_just_these(most, monkeypatch):
    kept = []
    monkeypatch.setattr(Variational, "_trainable", keep(Variational._trainable, kept))
    # 40 rows in batches of one: 32 steps an execution do not divide them
    options = {"batch_size": 1, "validation_split": 1 / 3, "steps_per_execution": most}
    seen = []
    fit_linear(None, seen.append, epochs=2, learning_rate=0.01, **options)
    assert int(kept[0].step.numpy()) == 80
    assert int(kept[0].optimizer.iterations) == 80
    assert seen[-1]["step"] == seen[-1]["steps"] == 80


def test_rows_kept_for_validation_are_not_counted(monkeypatch):
    kept = []
    monkeypatch.setattr(Variational, "_trainable", keep(Variational._trainable, kept))
    model = LinearModel()
    options = {"epochs": 1, "validation_split": 0.25}
    tfbdl.fit(model, linear_data(), engine="variational", engine_options=options)
    assert kept[0].target.num_data == 45
    assert model.num_data == 60
    model.num_data = 1000  # other than that of the rows: it was meant
    tfbdl.fit(model, linear_data(), engine="variational", engine_options=options)
    assert kept[1].target.num_data == 1000


def test_validation_changes_no_training(plain):
    x, y = linear_data()
    train = as_dataset((x[:45], y[:45]))
    options = {"epochs": 3, "batch_size": 15}
    model = LinearModel()
    model.num_data = 45  # which the engine tells a copy where it keeps rows for validation
    alone = tfbdl.fit(model, train, engine="variational", engine_options=options, seed=4)
    split = fit_linear(epochs=3, validation_split=0.25)
    assert alone.history["loss"] == split.history["loss"]
    assert len(split.history["val_loss"]) == 3


def test_kl_annealing_starts_near_a_point_estimate():
    model = LinearModel()
    options = VariationalOptions(epochs=3, batch_size=15, kl_annealing=2, schedule="constant")
    engine = Variational(options)
    surrogate = engine._trainable(model, seed=0)
    engine._compile(surrogate, steps=4, epochs=3)
    assert isinstance(surrogate.kl_weight, KLSchedule)
    weights = [float(surrogate.kl_weight(tf.constant(i, tf.int64))) for i in range(12)]
    np.testing.assert_allclose(weights, [*(np.arange(1, 9) / 8), 1.0, 1.0, 1.0, 1.0])


def test_blundells_weights_average_to_one_over_an_epoch():
    engine = Variational(VariationalOptions(minibatch_weights="blundell", batch_size=15))
    surrogate = engine._trainable(LinearModel(), seed=0)
    surrogate.kl_weight = KLSchedule(weight=0.5)
    engine._compile(surrogate, steps=4, epochs=3)
    weights = [float(surrogate.kl_weight(tf.constant(i, tf.int64))) for i in range(4)]
    # the share 2^(M-i) / (2^M - 1) of batch i, times M, times the weight that was set before
    np.testing.assert_allclose(weights, 0.5 * 4 * np.array([8, 4, 2, 1]) / 15, rtol=1e-6)


@pytest.mark.parametrize(("schedule", "rate"), [("cosine", 0.0), ("constant", 0.02)])
def test_the_schedule_decides_the_last_learning_rate(schedule, rate, monkeypatch):
    kept = []
    monkeypatch.setattr(Variational, "_trainable", keep(Variational._trainable, kept))
    fit_linear(epochs=2, schedule=schedule, learning_rate=0.02)
    assert float(kept[0].optimizer.learning_rate) == pytest.approx(rate, abs=1e-9)


def keep(method, kept):
    def wrapper(self, *args):
        kept.append(method(self, *args))
        return kept[-1]

    return wrapper


def test_patience_stops_and_puts_back_the_best_weights(monkeypatch):
    kept = []
    monkeypatch.setattr(Variational, "_trainable", keep(Variational._trainable, kept))
    found = fit_linear(
        epochs=60, learning_rate=0.3, schedule="constant", patience=2, validation_split=0.2
    )
    losses = found.history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 60
    assert int(kept[0].step.numpy()) == (best + 1) * 4


def test_early_stopping_hands_out_its_state():
    class Stub:
        stop_training = False
        weights = 0

        def get_weights(self):
            return [np.full(1, self.weights)]

    def run(callback, losses):
        for epoch, loss in losses:
            callback.model.weights = epoch
            callback.on_epoch_end(epoch, {"loss": loss})

    first, second = EarlyStopping("loss", 3), EarlyStopping("loss", 3)
    for callback in (first, second):
        callback.set_model(Stub())
    run(first, [(0, 2.0), (1, 1.0), (2, 1.5)])
    second.set_state(*first.get_state())
    run(second, [(3, 1.5)])
    assert not second.model.stop_training
    run(second, [(4, 1.0)])
    assert second.model.stop_training
    np.testing.assert_array_equal(second.best_weights[0], [1])


# -- what is refused -------------------------------------------------------------------------


def test_an_unfit_model_is_told_which_engines_would_do():
    class Unfit:
        capabilities = frozenset({tfbdl.Capability.EM})

    fitting = [n for n, s in tfbdl.engines.items() if s.fits(Unfit.capabilities)]
    with pytest.raises(errors.CapabilityError, match="neither training nor a log joint") as caught:
        Variational(VariationalOptions()).fit(Unfit(), None, Context())
    assert f"Engines that fit: {', '.join(fitting) or 'none'}." in str(caught.value)
    with pytest.raises(errors.CapabilityError, match=r"needs .*log_joint.* Engines that fit"):
        tfbdl.fit(Unfit(), None, engine="variational")


def test_a_keras_model_without_an_objective_is_refused():
    with pytest.raises(errors.CapabilityError, match=r"has no objective.*BayesianNetwork"):
        tfbdl.fit(network().net, network_data(), engine="variational")


def test_a_compiled_keras_model_keeps_its_loss():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    before = net.get_weights()
    found = tfbdl.fit(net, network_data(), engine_options={"epochs": 20, "learning_rate": 0.1})
    assert found.posterior is None
    assert found.history["loss"][-1] < 0.3 * found.history["loss"][0]
    np.testing.assert_array_equal(net.get_weights()[0], before[0])


@pytest.mark.parametrize(("given", "used"), [({}, 0.003), ({"learning_rate": 0.02}, 0.02)])
def test_a_model_may_ask_for_a_learning_rate_where_none_is_given(given, used):
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    net.default_learning_rate = 0.003
    engine = Variational(VariationalOptions(schedule="constant", **given))
    engine._compile(net, steps=4, epochs=1)
    assert float(net.optimizer.learning_rate) == pytest.approx(used)


@pytest.mark.parametrize("option", [{"posterior": "full_rank"}, {"num_samples": 3}])
def test_options_of_a_surrogate_are_refused_beside_a_network(option):
    with pytest.raises(errors.OptionsError, match="for models that offer their log joint alone"):
        tfbdl.fit(network(), network_data(), engine_options=option)


def test_options_that_divide_data_are_refused_without_data():
    with pytest.raises(errors.OptionsError, match="need data to divide"):
        fit(gaussian(), validation_split=0.1)


def test_a_loss_that_is_not_finite_ends_the_run():
    target = tfbdl.LogDensity(lambda x: tf.math.log(x), {"x": ()}, initial={"x": -1.0})
    with pytest.raises(errors.RunError, match="loss became nan in epoch 1"):
        fit(target, steps=100)
