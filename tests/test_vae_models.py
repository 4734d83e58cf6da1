"""Auto-encoders by name: architectures, likelihoods, options, and nets of the user's own."""

from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfbdl_vae import VAE, architectures
from vae_by_name import RNG, N, after_a_step, eagerly, made, rows_of

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError, TfbdlError
from tfbdl.testing import frozen_noise, two_logical_cpus
from tfbdl.testing.steps import require_equal_steps, train_one_step

MODELS = ("vae", "beta_vae", "iwae", "autoencoder")
SLOW = [pytest.mark.slow]


# -- architectures and likelihoods -------------------------------------------------------------


QUICK = [
    ("vae", (6,), "gaussian", {}, "Normalization"),
    ("vae", (13, 9, 3), "bernoulli", {}, "Conv2D"),
    ("vae", (3, 2), "gaussian", {"cell": "lstm"}, "LSTM"),
]
LONGER = [
    ("vae", (4,), "categorical", {"num_classes": 3}, "CategoryEncoding"),
    ("beta_vae", (6,), "logistic_mixture", {"components": 2}, "Rescaling"),
    ("autoencoder", (13, 9, 1), "gaussian", {}, "Conv2D"),
    ("vae", (7, 5, 2), "categorical", {"num_classes": 3}, "Conv2D"),
    ("iwae", (6,), "heteroscedastic_gaussian", {"standardize": False}, "Dense"),
    ("vae", (8, 7, 3), "discretized_logistic", {}, "Conv2D"),
    ("vae", (7, 5, 2), "bernoulli", {"architecture": "mlp"}, "Flatten"),
    ("iwae", (5, 2), "categorical", {"num_classes": 3}, "GRU"),
]


@pytest.mark.parametrize(
    ("name", "shape", "likelihood", "options", "layer"),
    [*QUICK, *(pytest.param(*case, marks=SLOW) for case in LONGER)],
)
def test_a_model_by_name_suits_its_data(name, shape, likelihood, options, layer):
    x = rows_of(shape, likelihood)
    model, logs = after_a_step(x, name, likelihood=likelihood, **options)
    assert layer in {type(part).__name__ for part in model.encoder.layers}
    assert np.isfinite(list(logs.values())).all()
    means = (*shape, 3) if likelihood == "categorical" else shape
    with eagerly():
        assert model.codes(x).shape == (N, 2)
        np.testing.assert_array_equal(model.transform(x), model.codes(x))
        assert model.reconstruct(x).shape == (N, *means)
        assert model.decode(np.zeros((3, 2))).event_shape == shape
        if name == "autoencoder":
            return
        drawn = model.sample(4, seed=1)
        assert drawn.shape == (4, *shape)
        model.check_rows(drawn)  # what it produces, it takes
        assert model.sample(4, mean=True).shape == (4, *means)
        assert np.isfinite(model.elbo(x, draws=2)).all()


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 9, 3), (2, 3, 1), (1, 1, 1)])
def test_convolutions_give_back_the_size_of_any_image(shape):
    filters = (3, 1, 2)
    encoder = architectures.conv_encoder(shape, 4, filters, (5,))
    decoder = architectures.conv_decoder(2, shape, filters, (5,))
    assert encoder.output_shape == (None, 4)
    assert decoder.output_shape == (None, *shape)


def test_only_the_last_convolution_of_a_decoder_is_linear():
    """Also where a hidden one has as many filters as the image has channels."""
    decoder = architectures.conv_decoder(2, (8, 8, 3), (3, 3, 3), ())
    last = [part for part in decoder.layers if isinstance(part, keras.layers.Conv2DTranspose)]
    assert [part.activation.__name__ for part in last] == ["relu", "relu", "linear"]


def test_labels_reach_the_encoder_as_one_hot_and_the_loss_as_labels():
    x = np.array([[0, 2, 1], [1, 1, 0]])
    model = made(x, likelihood="categorical", num_classes=3)
    encoding = keras.Model(model.encoder.input, model.encoder.layers[1].output)
    np.testing.assert_array_equal(encoding(x), np.eye(3)[x])
    floats = as_dataset(x.astype("float32"))
    model.compile(run_eagerly=True)
    assert np.isfinite(model.fit(floats, verbose=0).history["loss"][0])
    logits = RNG.normal(size=(2, 3, 3)).astype("float32")
    expected = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    expected = np.take_along_axis(expected, x[..., None], -1).sum((1, 2))
    log_lik = model.log_lik(tf.constant(logits), model.unchanged(x.astype("float32")))
    np.testing.assert_allclose(log_lik[0], expected, rtol=1e-5)


def test_grids_of_other_units_reach_the_encoder_from_minus_one_to_one():
    x = RNG.integers(0, 256, (N, 4))
    model = made(x, likelihood="discretized_logistic", low=0.0, high=255.0)
    scaled = keras.Model(model.encoder.input, model.encoder.layers[1].output)(x.astype("float32"))
    np.testing.assert_allclose(scaled, x / 127.5 - 1.0, atol=1e-6)


def test_standardised_rows_give_the_same_model_in_any_unit():
    """The density alone bears the unit: log 10 for each of the four columns."""
    x = rows_of((4,), "gaussian")
    _, plain = after_a_step(x, likelihood="gaussian")
    _, scaled = after_a_step(10.0 * x + 3.0, likelihood="gaussian")
    assert scaled["elbo"] == pytest.approx(plain["elbo"] - 4 * np.log(10.0), rel=1e-4)


def test_grey_values_are_drawn_anew_or_taken_as_they_are():
    x = np.full((N, 4), 0.5, "float32")
    drawn, as_is = made(x), made(x, grey="mean")
    key = tfbdl.random.key(1)
    assert set(np.unique(drawn.observed(x, key, True))) == {0.0, 1.0}
    np.testing.assert_array_equal(as_is.observed(x, key, True), x)


@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=SLOW)])
def test_batches_after_a_fit_on_binary_rows_may_be_grey(eager):
    """A logit of 1 makes the log-likelihood a count of ones less 4 log(1 + e)."""
    model = made(np.zeros((N, 4), "float32"))
    last = model.decoder.layers[-1]
    last.set_weights([0.0 * last.kernel.numpy(), np.ones(4, "float32")])
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=eager)
    grey = np.full((1, 4), 0.3, "float32")
    for _ in range(1 if eager else 2):  # a fit on binary rows may follow, too
        model.fit(np.ones((N, 4), "float32"), verbose=0)
        drawn = model.observed(grey, tfbdl.random.key(1), True)
        assert set(np.unique(drawn)) <= {0.0, 1.0}
        ones = model.train_on_batch(grey, return_dict=True)["reconstruction"] + 4 * np.log1p(np.e)
        assert ones == pytest.approx(np.round(ones), abs=1e-4)


@pytest.mark.parametrize(
    ("shape", "learned", "expected"),
    [
        ((4,), "auto", (4,)),
        ((4,), "one", ()),
        ((3, 2, 1), "auto", ()),
        ((3, 2, 1), "each", (3, 2, 1)),
        ((3, 2), "each", (3, 2)),
    ],
)
def test_the_scale_of_gaussian_noise_is_learned_for_all_or_each(shape, learned, expected):
    x = rows_of(shape, "gaussian")
    model = made(x, likelihood="gaussian", learned_scale=learned)
    assert model.likelihood_parameters()["scale"].shape == expected


def test_options_of_a_posterior_by_name_reach_it():
    x = rows_of((4,), "bernoulli")
    flow = {"layers": 1, "hidden": (3,), "context": 2}
    model = made(x, posterior="iaf", **{f"flow_{name}": value for name, value in flow.items()})
    assert model.latent_posterior.options.model_dump() == flow
    own = {"classes": 2, "temperature": 0.4, "prior_temperature": 0.7, "straight_through": True}
    model = made(x, posterior="concrete", concrete_kl="categorical", **own)
    assert model.latent_posterior.options.model_dump() == {**own, "kl": "categorical"}


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options", "error", "message"),
    [
        ((6,), {"architecture": "conv"}, DataError, r"takes images.*rows of shape \[6\]"),
        ((4, 4, 1), {"architecture": "sequence"}, DataError, r"takes \[n, steps, d\]"),
        ((4, 4, 1), {"filters": ()}, OptionsError, "'conv' needs filters"),
        ((4, 4, 1), {"filters": (4, 0)}, OptionsError, "'filters' must be numbers of at least 1"),
        ((6,), {"hidden": (-1,)}, OptionsError, r"'hidden' must .* Received: \(-1,\)"),
        ((), {}, DataError, "rows of one fixed shape"),
        ((6,), {"likelihood": "discretized_logistic", "low": 2.0}, OptionsError, "below 'high'"),
        ((6,), {"likelihood": "gausian"}, OptionsError, r"must be one of .* Received: 'gausian'"),
        ((6,), {"latent_dim": 0}, OptionsError, "latent_dim"),
    ],
)
def test_options_that_do_not_suit_the_data_are_refused(shape, options, error, message):
    with pytest.raises(error, match=message):
        made(np.zeros((N, *shape), "float32"), **options)


def refusal(x, name, **options):
    """None where a combination trains, else the text of our error."""
    try:
        _, logs = after_a_step(x, name, **options)
    except TfbdlError as error:
        return str(error)
    assert np.isfinite(list(logs.values())).all(), options
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_likelihood_goes_with_every_architecture(name):
    shapes = {"mlp": (4,), "conv": (5, 3, 2), "sequence": (4, 2)}
    likelihoods = tfbdl.models["vae"].config.model_fields["likelihood"].annotation.__args__
    for likelihood, (architecture, shape) in product(likelihoods, shapes.items()):
        x = rows_of(shape, likelihood)
        options = {"architecture": architecture, "likelihood": likelihood, "num_classes": 3}
        assert refusal(x, name, **options) is None, options


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS[:3])
def test_every_combination_of_options_trains_or_is_refused(name):
    x = rows_of((4,), "bernoulli")
    fields = tfbdl.models[name].config.model_fields
    choices = {
        "posterior": fields["posterior"].annotation.__args__,
        "estimator": fields["estimator"].annotation.__args__,
        "free_bits": (0.0, 0.1),
        "bayesian_decoder": (False, True),
    }
    if name == "beta_vae":
        choices["capacity"] = (None, 2.0)
    if name == "iwae":
        choices["gradient"] = fields["gradient"].annotation.__args__
    combinations = [dict(zip(choices, c, strict=True)) for c in product(*choices.values())]
    plain = {"posterior": "diagonal", "free_bits": 0.0}.items()
    for options in combinations:
        message = refusal(x, name, **options)
        if plain <= options.items():
            assert message is None, options
        assert message is None or "Received: " in message, options


# -- nets of the user's own --------------------------------------------------------------------


def own_nets(policy=None):
    """Nets with a BatchNormalization and a Dropout in each."""
    layers, more = keras.layers, {"dtype": policy}
    with tfbdl.functional.seeded(0):
        encoder = [layers.Dense(4, **more), layers.BatchNormalization(**more)]
        encoder += [layers.Dropout(0.5, **more), layers.Dense(4, **more)]
        decoder = [layers.Dense(6, "relu", **more), layers.BatchNormalization(**more)]
        decoder += [layers.Dropout(0.5, **more), layers.Dense(4, **more)]
        return (
            keras.Sequential([keras.Input((4,)), *encoder]),
            keras.Sequential([keras.Input((2,)), *decoder]),
        )


def counters(model):
    """How often each Dropout has drawn."""
    return [v.numpy()[1] for v in model.variables if "seed_generator_state" in v.path]


def test_states_of_layers_advance_once_a_step_and_rest_in_queries():
    x = RNG.integers(0, 2, (N, 4)).astype("float32")
    model = VAE(*own_nets(), latent_dim=2, seed=1, num_samples=3)
    model.compile(run_eagerly=True)
    assert counters(model) == [0, 0]
    model.fit(x, batch_size=N, verbose=0)
    drawn = counters(model)
    assert drawn[0] == drawn[1] > 0
    model.fit(x, batch_size=N, verbose=0)
    assert counters(model) == [2 * drawn[0]] * 2
    means = [net.layers[1].moving_mean.numpy() for net in (model.encoder, model.decoder)]
    assert min(np.abs(mean).max() for mean in means) > 0.0
    state = [v.numpy() for v in model.variables if v.path.startswith(("sequential", "seed"))]
    with eagerly():
        first = model.codes(x), model.elbo(x, draws=2), model.reconstruct(x)
        again = model.codes(x), model.elbo(x, draws=2), model.reconstruct(x)
    for one, other in zip(first, again, strict=True):  # no dropout
        np.testing.assert_array_equal(one, other)
    model.evaluate(x, verbose=0)
    after = [v.numpy() for v in model.variables if v.path.startswith(("sequential", "seed"))]
    for one, other in zip(state, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=SLOW)])
def test_nets_of_mixed_precision_train_with_a_bound_in_single(policy):
    x = RNG.integers(0, 2, (N, 4)).astype("float32")
    model = VAE(*own_nets(policy), latent_dim=2, seed=1)
    model.compile("adam", run_eagerly=True)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    history = model.fit(x, batch_size=N, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    with eagerly():
        assert model.elbo(x, draws=2).dtype == model.codes(x).dtype == np.float32


@pytest.mark.slow
@pytest.mark.replicas
@pytest.mark.parametrize("shape", [(5, 4, 1), (4, 2)])
def test_images_and_sequences_train_on_two_replicas_as_on_one(shape):
    if not two_logical_cpus():
        pytest.skip("TensorFlow cannot make two logical CPUs here.")
    x = as_dataset(RNG.integers(0, 2, (N, *shape)).astype("float32"))
    two = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    steps = []
    for scope in (tf.distribute.get_strategy().scope, two.scope):
        with frozen_noise(), scope():
            steps.append(train_one_step("vae", made(x), x))
    require_equal_steps("vae", *steps)
