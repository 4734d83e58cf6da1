"""Bayes by Backprop by name: nets, likelihoods, units and errors."""

import numpy as np
import pytest
import tensorflow as tf
from tfbdl_datasets.simulators import true_noise

import tfbdl
from tfbdl import errors

ROWS = 24


def make_inputs(*shape):
    return np.random.default_rng(1).normal(size=(ROWS, *shape)).astype("float32")


def numbers(columns=None):
    shape = (ROWS,) if columns is None else (ROWS, columns)
    return np.random.default_rng(2).normal(3.0, 2.0, shape).astype("float32")


def labels(classes):
    return np.arange(ROWS) % classes


def trained(x, y, epochs=2, **options):
    """A model by name after a few steps, without compiling."""
    model = tfbdl.build("bbb", (x, y), model_options={"hidden": (4,), **options}, seed=3)
    model.compile("adam", run_eagerly=True)
    history = model.fit(x, y, batch_size=ROWS, epochs=epochs, verbose=0)
    return model, history.history


# -- likelihoods and architectures -------------------------------------------------------------

LIKELIHOODS = {
    "gaussian": (numbers(), 1),
    "heteroscedastic_gaussian": (numbers(2), 4),
    "student_t": (numbers(), 1),
    "bernoulli": (labels(2), 1),
    "categorical": (labels(3), 3),
    "heteroscedastic_categorical": (labels(3), 6),
    "poisson": (labels(7), 1),
}


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_trains_with_the_units_it_needs(likelihood):
    y, units = LIKELIHOODS[likelihood]
    model, history = trained(make_inputs(3), y, likelihood=likelihood)
    assert model.likelihood.name == likelihood
    assert model.net.output_shape[-1] == units
    assert np.isfinite(history["loss"]).all()
    predictive = model.predictive(make_inputs(3), draws=4)
    assert predictive.log_prob(y).shape == (ROWS,)
    if model.likelihood.is_classification:
        whole = predictive.expected_entropy + predictive.mutual_information
        np.testing.assert_allclose(predictive.entropy, whole, atol=1e-6)
        assert predictive.mutual_information.min() >= -1e-6
    else:
        np.testing.assert_allclose(
            predictive.variance, predictive.aleatoric + predictive.epistemic, rtol=1e-6
        )


@pytest.mark.parametrize(
    ("architecture", "shape", "layer"),
    [
        ("dense", (3,), "dense.kernel"),
        ("dense", (4, 4, 1), "dense.kernel"),
        ("convolutional", (6, 6), "conv2d.kernel"),
        ("convolutional", (6, 6, 2), "conv2d.kernel"),
        ("recurrent", (5, 2), "lstm.lstm_cell.recurrent_kernel"),
    ],
)
def test_every_architecture_trains_with_random_weights(architecture, shape, layer):
    options = {"architecture": architecture, "filters": (2,), "units": 3}
    model, history = trained(make_inputs(*shape), numbers(), epochs=1, **options)
    assert layer in model.random_sites
    assert np.isfinite(history["loss"]).all()
    assert model.predict(make_inputs(*shape)).reshape(-1).shape == (ROWS,)


def test_the_cell_may_be_a_gru():
    options = {"architecture": "recurrent", "cell": "gru"}
    model = tfbdl.build("bbb", (make_inputs(5, 2), numbers()), model_options=options)
    assert "gru.gru_cell.kernel" in model.random_sites


@pytest.mark.parametrize(
    ("y", "likelihood"),
    [(numbers(), "gaussian"), (labels(2), "categorical"), (np.eye(3)[labels(3)], "gaussian")],
)
def test_auto_takes_the_likelihood_from_the_dtype_of_the_targets(y, likelihood):
    assert tfbdl.build("bbb", (make_inputs(3), y)).likelihood.name == likelihood


def test_whole_numbers_are_numbers_to_a_likelihood_of_numbers():
    y = labels(6) - 3
    model = tfbdl.build("bbb", (make_inputs(3), y), model_options={"likelihood": "gaussian"})
    assert model.net.output_shape[-1] == 1
    assert model.likelihood.get_config()["target_mean"] == pytest.approx(y.mean())


@pytest.mark.slow
def test_counts_above_those_of_training_are_scored_and_held_out_rows_are_not_counted():
    fit = tfbdl.fit(
        "bbb",
        (make_inputs(3), labels(8)),
        model_options={"likelihood": "poisson", "hidden": (2,)},
        engine_options={"epochs": 1, "validation_split": 0.25},
    )
    assert fit.info.task == "regression"
    assert fit.model.num_data == ROWS * 3 // 4
    assert np.isfinite(fit.evaluate((make_inputs(3), labels(8) + 2))["nll"])


def test_batches_without_a_known_end_say_how_many_classes_there_are():
    batches = tf.data.Dataset.from_tensor_slices((make_inputs(3), labels(3))).batch(8).repeat()
    with pytest.raises(errors.DataError, match=r"the number of classes.*data option num_classes"):
        tfbdl.build("bbb", batches, data_options={"num_rows": ROWS})
    options = {"num_rows": ROWS, "num_classes": 4}
    model = tfbdl.build("bbb", batches, data_options=options)
    assert (model.likelihood.name, model.net.output_shape[-1]) == ("categorical", 4)
    options = {"num_rows": ROWS, "task": "regression"}
    assert tfbdl.build("bbb", batches, data_options=options).likelihood.name == "gaussian"


def test_rows_kept_for_validation_are_not_counted():
    data = make_inputs(3), numbers()
    model = tfbdl.build("bbb", data)
    model.compile("sgd", run_eagerly=True)
    model.fit(*data, validation_split=0.5, verbose=0)
    assert model.num_data == ROWS // 2


def test_one_hot_rows_count_the_classes():
    y = np.eye(4, dtype="float32")[labels(4)]
    model = tfbdl.build("bbb", (make_inputs(3), y), model_options={"likelihood": "categorical"})
    assert model.net.output_shape[-1] == 4


# -- posterior and prior -----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["mean_field", "low_rank", "full_rank", "delta"])
def test_every_posterior_family_trains(family):
    model, history = trained(make_inputs(3), numbers(), posterior=family, rank=2)
    assert model.surrogate.family == family
    assert np.isfinite(history["elbo"]).all()
    deviations = model.posterior.stddev()["dense.kernel"]
    assert (deviations == 0).all() if family == "delta" else (deviations > 0).all()


def test_the_raw_scale_starts_where_it_is_told():
    data = make_inputs(3), numbers()
    model = tfbdl.build("bbb", data, model_options={"initial_raw_scale": -2.0})
    expected = np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(model.posterior.stddev()["dense.kernel"], expected, rtol=1e-5)


def test_the_prior_is_the_one_that_is_named():
    model = tfbdl.build(
        "bbb",
        (make_inputs(3), numbers()),
        prior="scale_mixture",
        prior_options={"pi": 0.25},
    )
    assert (model.prior.name, model.prior.options.pi) == ("scale_mixture", 0.25)


def test_the_number_of_rows_and_the_kl_weight_reach_the_model():
    model = tfbdl.build(
        "bbb", (make_inputs(3), numbers()), model_options={"kl_weight": 0.5, "hidden": (4,)}
    )
    assert (model.num_data, model.kl_weight) == (ROWS, 0.5)
    x, y = make_inputs(3), numbers()
    model.compile("sgd", run_eagerly=True)
    loss, nll, kl = (model.evaluate(x, y, ROWS, verbose=0, return_dict=True)[n] for n in
                     ("loss", "nll", "kl"))  # fmt: skip
    assert loss == pytest.approx(nll + 0.5 * kl / ROWS, rel=1e-5)


def test_a_seed_decides_the_weights():
    data = make_inputs(3), numbers()
    one, again, other = (
        tfbdl.build("bbb", data, seed=seed).net.layers[-1].kernel.numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


# -- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "likelihood",
    [
        "gaussian",
        pytest.param("heteroscedastic_gaussian", marks=pytest.mark.slow),
        pytest.param("student_t", marks=pytest.mark.slow),
    ],
)
def test_targets_in_other_units_shift_and_scale_the_predictions(likelihood):
    x, y = make_inputs(3), numbers()
    plain, _ = trained(x, y, likelihood=likelihood)
    other, _ = trained(x, 100.0 * y - 7.0, likelihood=likelihood)
    one, two = plain.predictive(x, draws=4), other.predictive(x, draws=4)
    np.testing.assert_allclose(two.mean, 100.0 * one.mean - 7.0, rtol=1e-4)
    np.testing.assert_allclose(two.aleatoric, 1e4 * one.aleatoric, rtol=1e-3)
    np.testing.assert_allclose(
        two.log_prob(100.0 * y - 7.0), one.log_prob(y) - np.log(100.0), atol=1e-3
    )


def test_inputs_in_other_units_change_nothing():
    x, y = make_inputs(3), numbers()
    plain, _ = trained(x, y)
    other, _ = trained(50.0 * x + 3.0, y)
    np.testing.assert_allclose(other.predict(50.0 * x + 3.0), plain.predict(x), rtol=1e-3)


def test_without_standardize_the_net_sees_the_data_as_they_are():
    options = {"standardize": False}
    model = tfbdl.build("bbb", (make_inputs(3), numbers()), model_options=options)
    assert not any("normalization" in layer.name for layer in model.net.layers)
    assert model.likelihood.get_config().get("target_scale", 1.0) == 1.0


def test_the_noise_scale_is_in_standard_deviations_of_the_targets():
    x, y = make_inputs(3), numbers()
    model, _ = trained(x, y, noise_scale=0.1)
    noise = (0.1 * y.std()) ** 2
    np.testing.assert_allclose(model.predictive(x, draws=4).aleatoric, noise, rtol=1e-5)
    assert not model.learned


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (make_inputs(3), {}, r"predicts targets. Expected \(x, y\). Received: x alone"),
        (
            ({"a": make_inputs(2), "b": make_inputs(1)}, numbers()),
            {},
            r"takes one array.*tfbdl.BayesianNetwork.*\['a', 'b'\]",
        ),
        (
            (make_inputs(3), numbers()),
            {"architecture": "convolutional"},
            r"convolutional net takes inputs .*Received: \[n, 3\]",
        ),
        (
            (make_inputs(3), numbers()),
            {"architecture": "recurrent"},
            r"recurrent net takes inputs \[n, \.\.\., \.\.\.\]",
        ),
        ((make_inputs(3), numbers()), {"likelihood": "categorical"}, "must be whole numbers"),
        ((make_inputs(3), ["a", "b"] * 12), {"likelihood": "gaussian"}, "must be numbers"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, options, message):
    with pytest.raises(errors.DataError, match=message):
        tfbdl.build("bbb", data, model_options=options)


def test_classes_are_refused_by_a_likelihood_of_numbers():
    with pytest.raises(errors.DataError, match=r"of real numbers\. Expected numbers as targets"):
        tfbdl.build(
            "bbb",
            (make_inputs(3), labels(3)),
            model_options={"likelihood": "gaussian"},
            data_options={"task": "classification"},
        )


@pytest.mark.parametrize(
    ("likelihood", "y", "message"),
    [("bernoulli", labels(3), "must be 0 or 1"), ("poisson", numbers() - 9.0, "must be")],
)
def test_targets_that_the_likelihood_cannot_produce_are_refused(likelihood, y, message):
    with pytest.raises(errors.DataError, match=message):
        trained(make_inputs(3), y, likelihood=likelihood)


# -- truth -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_noise_that_depends_on_the_input_is_learned():
    options = {"likelihood": "heteroscedastic_gaussian"}
    fit = tfbdl.fit("bbb", "sinusoid", model_options=options, seed=0)
    x = np.linspace(-1.0, 1.0, 201)[:, None]
    predictive = fit.predict(x)
    found = np.log(predictive.aleatoric.ravel()) / 2
    assert np.sqrt(np.mean((found - np.log(true_noise(x.ravel()))) ** 2)) <= 0.15
    assert np.sqrt(np.mean((predictive.mean.ravel() - np.sin(3 * x.ravel())) ** 2)) <= 0.1
    assert 0.85 <= fit.metrics["coverage_90"] <= 0.95


@pytest.mark.slow
def test_the_classes_minimise_equation_12_with_its_minus():
    # Kendall and Gal 2017: the loss is minus the log of the mean probability, and falls
    x = np.linspace(-2.0, 2.0, ROWS, dtype="float32")[:, None]
    y = (x[:, 0] > 0).astype("int32")
    model, history = trained(x, y, epochs=40, likelihood="heteroscedastic_categorical")
    assert history["nll"][-1] < history["nll"][0]
    raw = model.net.predict(x, verbose=0)
    log_prob = model.likelihood.log_prob(raw, y).numpy()
    probs = model.likelihood.probs(raw).numpy()
    np.testing.assert_allclose(log_prob, np.log(probs[np.arange(ROWS), y]), rtol=1e-4)
    assert (log_prob < 0).all()
