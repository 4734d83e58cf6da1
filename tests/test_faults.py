"""What goes wrong elsewhere must be impossible here: one named test for each complaint."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import BayesianNetwork, Config, functional, random
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, OptionsError
from tfbdl.posterior import Posterior
from tfbdl.predictive import Predictive

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype("float32")
Y = (X @ [1.0, -1.0, 0.5] + 0.1 * RNG.normal(size=50)).astype("float32")


def network(*, body=None, seed=5, learning_rate=0.01, **options):
    with functional.seeded(3):
        hidden = [layers.Dense(4, "tanh")] if body is None else body()
        net = keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(1)])
    options.setdefault("likelihood_options", {"scale": 0.5})
    model = BayesianNetwork(net, "gaussian", **options)
    model.rng_seed.assign(seed)
    model.compile(keras.optimizers.Adam(learning_rate), jit_compile=False)
    return model


def train(model, x=X, y=Y, **options):
    options.setdefault("batch_size", 10)
    return model.fit(x, y, verbose=0, **options).history


def assert_equal_weights(first, second):
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# -- the KL term


def objective_at_rest(batch_size):
    """The loss of an epoch that changes nothing, and its parts: the noise frozen, rate zero."""
    model = network(learning_rate=0.0)
    with random.frozen():
        history = train(model, batch_size=batch_size)
    return {name: values[0] for name, values in history.items()}


def test_kl_is_weighted_by_the_number_of_data_and_not_by_batches():
    small, large = objective_at_rest(10), objective_at_rest(50)
    assert small == pytest.approx(large, rel=1e-5)
    assert small["loss"] == pytest.approx(small["nll"] + small["kl"] / 50, rel=1e-5)
    assert small["kl"] > 10  # so that a weight of 1/10 or 1/5 would be seen


def test_kl_is_shown_and_part_of_the_gradient():
    model = network()
    history = train(model, epochs=2)
    assert history["kl"][1] < history["kl"][0]
    assert history["elbo"][0] == pytest.approx(-50 * history["nll"][0] - history["kl"][0], rel=1e-5)
    with tf.GradientTape() as tape:
        outputs = model(X, training=True)
        loss = model.compute_loss(X, Y, outputs)
    raw = next(v for v in model.trainable_variables if v.name == "dense.kernel.raw_scale")
    assert np.all(tape.gradient(loss, raw.value) != 0)


def test_kl_is_summed_over_weights_and_not_averaged():
    def kl_of(units):
        body = lambda: [layers.Dense(units, kernel_initializer="zeros")]  # noqa: E731
        model = network(body=body, sites="dense.kernel")
        return float(model.kl(model.surrogate.sample(random.key(0))))

    assert kl_of(30) == pytest.approx(10 * kl_of(3), rel=1e-5)


def test_kl_schedule_weighs_the_kl_term():
    half, whole = (network(kl_weight=w, num_data=50) for w in (0.5, 1.0))
    losses = [float(m.compute_loss(X, Y, m(X, training=True))) for m in (half, whole)]
    kl = float(whole.kl(whole.surrogate.sample(random.key(0))))
    assert losses[1] - losses[0] == pytest.approx(0.5 * kl / 50, rel=1e-4)


# -- recurrent nets


def recurrent(raw_scale):
    with functional.seeded(2):
        net = keras.Sequential([keras.Input((6, 3)), layers.LSTM(4, return_sequences=True)])
    options = {"posterior_options": {"initial_raw_scale": raw_scale}}
    return BayesianNetwork(net, "gaussian", **options)


def test_bayesian_lstm_without_spread_is_the_lstm_of_keras():
    model = recurrent(-50.0)
    x = RNG.normal(size=(5, 6, 3)).astype("float32")
    np.testing.assert_allclose(model(x), model.net(x), atol=1e-5)
    assert np.abs(recurrent(0.0)(x) - model.net(x)).max() > 0.1


def test_one_draw_of_the_weights_is_shared_by_all_time_steps():
    # A cell without memory: were the weights drawn at each step, equal inputs would differ.
    cell = layers.SimpleRNN(
        4, return_sequences=True, recurrent_initializer="zeros", activation="linear"
    )
    with functional.seeded(2):
        net = keras.Sequential([keras.Input((6, 3)), cell])
    sites = ["*.kernel", "*.bias"]
    options = {"initial_raw_scale": 0.0}
    model = BayesianNetwork(net, "gaussian", sites=sites, posterior_options=options)
    x = np.repeat(RNG.normal(size=(5, 1, 3)).astype("float32"), 6, axis=1)
    first = model(x, training=True).numpy()
    np.testing.assert_allclose(first, np.repeat(first[:, :1], 6, axis=1), rtol=1e-5)
    model.rng_step.assign_add(1)
    assert np.abs(model(x, training=True) - first).max() > 0.1


# -- priors, precision, samplers


class Wide(Prior):
    def element(self, shape, dtype, name, **parameters):
        return tfd.StudentT(3.0, tf.zeros((), dtype), 2.0)


def test_custom_prior_is_passed_as_an_object():
    model = network(prior=Wide(Config()), num_data=50)
    draw = model.surrogate.sample(random.key(1))
    log_prior = sum(
        float(tf.reduce_sum(tfd.StudentT(3.0, 0.0, 2.0).log_prob(w))) for w in draw.values()
    )
    expected = -float(model.surrogate.entropy()) - log_prior
    assert float(model.kl(draw)) == pytest.approx(expected, rel=1e-5)
    model.compile(run_eagerly=True)
    assert np.isfinite(train(model, batch_size=50)["loss"]).all()


def test_log_joint_of_a_net_has_the_gradient_that_samplers_need():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = network(likelihood_options={}, num_data=50)
        params = {name: tf.Variable(value) for name, value in model.init(3).items()}
        assert set(params) == {site.name for site in model.sites}
        x, y = X.astype("float64"), Y.astype("float64")
        with tf.GradientTape() as tape:
            value = model.log_joint(params, (x, y))
        gradient = tape.gradient(value, params)
        for name, variable in params.items():
            at, direction = variable.numpy(), RNG.normal(size=variable.shape)
            values = []
            for sign in (1, -1):
                variable.assign(at + sign * 1e-5 * direction)
                values.append(float(model.log_joint(params, (x, y))))
            variable.assign(at)
            numeric = (values[0] - values[1]) / 2e-5
            slope = np.sum(gradient[name].numpy() * direction)
            assert slope == pytest.approx(numeric, rel=1e-6, abs=1e-6)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


# -- aleatoric and epistemic


def test_variance_is_split_by_the_law_of_total_variance():
    net = keras.Sequential([keras.Input((1,)), layers.Dense(2)])
    model = BayesianNetwork(net, "heteroscedastic_gaussian")
    w = RNG.normal(size=(1, 9, 1, 2)).astype("float32")
    b = RNG.normal(size=(1, 9, 2)).astype("float32")
    x = np.linspace(-2, 2, 7, dtype="float32")[:, None]
    p = Predictive(model, Posterior({"dense.kernel": w, "dense.bias": b}), x, draws=9)
    outputs = x @ w[0] + b[0][:, None]
    loc, sd = outputs[..., :1], np.logaddexp(0, outputs[..., 1:])
    np.testing.assert_allclose(p.epistemic, loc.var(0), rtol=1e-4)
    np.testing.assert_allclose(p.aleatoric, (sd**2).mean(0), rtol=1e-2)  # up to the scale's floor
    np.testing.assert_array_equal(p.variance, p.aleatoric + p.epistemic)


@pytest.mark.slow
def test_more_data_lower_epistemic_and_not_aleatoric_uncertainty():
    def fitted(n):
        rng = np.random.default_rng(1)
        x = rng.uniform(-1, 1, (n, 1)).astype("float32")
        y = 2 * x[:, 0] + (0.3 + 0.2 * np.abs(x[:, 0])) * rng.normal(size=n)
        with functional.seeded(4):
            net = keras.Sequential([keras.Input((1,)), layers.Dense(2)])
        options = {"initial_raw_scale": -2.0}
        model = BayesianNetwork(net, "heteroscedastic_gaussian", posterior_options=options)
        model.rng_seed.assign(1)
        schedule = keras.optimizers.schedules.CosineDecay(0.05, 600)
        model.compile(keras.optimizers.Adam(schedule), jit_compile=False, steps_per_execution=100)
        whole = tf.data.Dataset.from_tensors((x, y.astype("float32"))).repeat()
        model.given_num_data = n
        model.fit(whole, steps_per_epoch=600, verbose=0)
        return model.predictive(np.linspace(-0.9, 0.9, 10)[:, None], draws=200)

    few, many = fitted(100), fitted(1000)
    assert few.epistemic.mean() > 3 * many.epistemic.mean()  # in theory 10 times
    assert many.aleatoric.mean() == pytest.approx(few.aleatoric.mean(), rel=0.3)
    # E[(0.3 + 0.2 |x|)^2] over the grid is about 0.16.
    assert many.aleatoric.mean() == pytest.approx(0.16, rel=0.25)


# -- the number of data


def batches(size=10):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(size)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return X[10 * i : 10 * i + 10], Y[10 * i : 10 * i + 10]


@pytest.mark.parametrize(
    ("data", "options", "rows"),
    [
        ((X, Y), {}, 50),
        ((X, Y), {"validation_split": 0.2}, 40),
        ((batches(),), {}, 50),
        ((Batches(),), {}, 50),
    ],
)
def test_number_of_data_is_counted(data, options, rows):
    model = network()
    model.compile(run_eagerly=True)
    model.fit(*data, batch_size=10, verbose=0, **options)
    assert model.num_data == rows
    assert int(model.rng_step) == rows // 10


def test_number_of_data_is_demanded_where_it_cannot_be_counted():
    with pytest.raises(DataError, match=r"cannot be told.*num_data=N"):
        network().fit(batches().repeat(), steps_per_epoch=5)
    with pytest.raises(DataError, match=r"neither counted nor read twice.*num_data=N"):
        network().fit(((X, Y) for _ in range(3)), steps_per_epoch=3)


def test_given_number_of_data_allows_a_repeated_stream():
    model = network(num_data=50)
    model.compile(run_eagerly=True)
    history = train(model, batches().repeat(), None, steps_per_epoch=7, epochs=2)
    assert (model.num_data, int(model.rng_step), len(history["loss"])) == (50, 14, 2)


def test_sample_weight_two_equals_doubled_rows():
    weighted, doubled = network(posterior="delta"), network(posterior="delta")
    for model, rows in ((weighted, 1), (doubled, 2)):
        model.compile(keras.optimizers.SGD(0.01 * rows), run_eagerly=True)
    # Both see twice the log-likelihood beside one prior; the objective is divided by the rows.
    first = train(weighted, batch_size=50, sample_weight=np.full(50, 2.0))
    second = train(doubled, np.tile(X, (2, 1)), np.tile(Y, 2), batch_size=100)
    assert first["elbo"] == pytest.approx(second["elbo"], rel=1e-5)
    for one, two in zip(weighted.trainable_variables, doubled.trainable_variables, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_what_would_be_a_second_likelihood_is_refused():
    with pytest.raises(OptionsError, match=r"class_weight.*sample_weight"):
        network().fit(X, Y, class_weight={0: 1.0})
    with pytest.raises(OptionsError, match=r"takes no loss.*loss='mse'"):
        network().compile(loss="mse")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.where(X > 1.5, np.nan, X), Y, r"x has NaN in \d of 3 columns"),
        (X, np.where(Y > 1.5, np.inf, Y), "y has"),
        (X[:0], Y[:0], "x has no rows"),
        (X.astype(object), Y, "x is not numeric: dtype object"),
        (X, Y[:-1], "x has 50, y has 49"),
        (X, None, "needs targets"),
        (X, np.stack([Y, Y], 1), "targets"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_by_fit(x, y, message):
    with pytest.raises(DataError, match=message):
        network().fit(x, y, verbose=0)


def test_bad_validation_data_are_refused_before_training():
    model = network()
    with pytest.raises(DataError, match="x_val has NaN"):
        model.fit(X, Y, validation_data=(X * np.nan, Y), verbose=0)
    with pytest.raises(DataError, match="Received: both"):
        model.fit(X, Y, validation_data=(X, Y), validation_split=0.1)
    assert int(model.rng_step) == 0


# -- noise


def noisy(seed=5):
    return network(seed=seed, body=lambda: [layers.Dense(8), layers.Dropout(0.3)])


@pytest.fixture(scope="module")
def trained():
    model = noisy()
    train(model, epochs=2)
    return model


@pytest.mark.slow
def test_same_seed_gives_equal_bits_and_another_seed_does_not(trained):
    again, other = noisy(), noisy(seed=6)
    for model in (again, other):
        train(model, epochs=2)
    assert_equal_weights(trained, again)
    assert not np.array_equal(trained.get_weights()[3], other.get_weights()[3])


@pytest.mark.slow
def test_validation_does_not_change_training(trained):
    model = noisy()
    train(model, epochs=2, validation_data=(X, Y), validation_freq=1)
    model.evaluate(X, Y, verbose=0)
    assert_equal_weights(trained, model)


def test_evaluation_and_prediction_repeat_themselves(trained):
    first, second = (trained.evaluate(X, Y, verbose=0, return_dict=True) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(trained.predict(X), trained.predict(X))


def test_call_draws_anew_after_a_training_step():
    model = network(learning_rate=0.0)
    before = model(X).numpy()
    np.testing.assert_array_equal(model(X), before)
    train(model, batch_size=50)
    assert not np.any(model(X).numpy() == before)
