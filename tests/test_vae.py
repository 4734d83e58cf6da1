"""A VAE as a Keras user sees it: verbs, metrics, files, nets of all kinds, refusals."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tfbdl_vae import VAE, AutoEncoder
from tfbdl_vae.metrics import ActiveUnits
from vae_by_name import eagerly
from vae_cases import MEAN, NOISE, binary, by_hand, dense, linear_nets, marginal, nets, raw, vae

import tfbdl
from tfbdl import errors, likelihoods
from tfbdl.fitted import Fit
from tfbdl.testing import frozen_noise

X = binary(40)


def compiled(model, **options):
    """With a step of plain gradient descent, run eagerly: few steps need no graph."""
    options.setdefault("optimizer", keras.optimizers.SGD(0.1))
    model.compile(run_eagerly=True, **options)
    return model


def still():
    return keras.optimizers.SGD(0.0)


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# -- metrics -----------------------------------------------------------------------------------


def test_history_holds_the_bound_its_parts_and_the_active_units():
    model = vae(report_latents=True)
    kernel, bias = model.encoder.layers[-1].get_weights()
    kernel[:, [1, 3]], bias[[1, 3]] = 0.0, [0.0, raw(1.0)]  # q(z_1 | x) = p(z_1): it collapsed
    model.encoder.layers[-1].set_weights([kernel, bias])
    compiled(model, optimizer=still())
    with frozen_noise():
        history = model.fit(X[:30], batch_size=8, validation_data=X[30:], verbose=0).history
    for prefix, rows in (("", X[:30]), ("val_", X[30:])):
        expected = by_hand(model, rows)
        found = {name: history[prefix + name][0] for name in ("elbo", "reconstruction", "kl")}
        assert found["reconstruction"] == pytest.approx(expected["reconstruction"].mean(), rel=1e-5)
        assert found["kl"] == pytest.approx(expected["kl"].mean(), rel=1e-5)
        assert found["elbo"] == pytest.approx(found["reconstruction"] - found["kl"], rel=1e-5)
        assert history[f"{prefix}loss"][0] == pytest.approx(-found["elbo"], rel=1e-5)
        of_latents = [history[f"{prefix}kl_{j}"][0] for j in range(2)]
        np.testing.assert_allclose(of_latents, expected["kl_parts"].mean(0), rtol=1e-4, atol=1e-6)
        active = np.sum(expected["mu"].var(axis=0) > 0.01)
        assert history[f"{prefix}active_units"] == [active]
    assert history["active_units"] == [1.0]
    assert of_latents[1] == pytest.approx(0.0, abs=1e-6)


def test_units_are_active_by_their_variance_however_far_from_zero_they_are():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200, 8)) * ([0.05, 0.2] * 4) + 700.0 * np.arange(8)
    metric = ActiveUnits(8)
    for rows in np.split(means, 4):
        metric.update_state(tf.constant(rows, tf.float32))
    assert float(metric.result()) == np.sum(means.var(axis=0) > 0.01) == 4


def test_the_importance_weighted_bound_has_a_metric_of_its_own():
    model = compiled(vae(importance_weighted=True, num_samples=3), optimizer=still())
    with frozen_noise():  # all draws are the mean, and so is their bound
        history = model.fit(X, verbose=0).history
    found = by_hand(model, X)
    sigma = np.log1p(np.exp(model.encoder(X).numpy()[:, 2:]))
    log_ratio = stats.norm.logpdf(found["mu"]) - stats.norm.logpdf(0, 0, sigma)
    expected = np.mean(found["reconstruction"] + log_ratio.sum(axis=1))
    assert history["bound"][0] == pytest.approx(expected, rel=1e-5)
    assert history["loss"][0] == pytest.approx(-expected, rel=1e-5)
    elbo = np.mean(found["reconstruction"] - found["kl"])  # with the KL in closed form
    assert history["elbo"][0] == pytest.approx(elbo, rel=1e-5)


# -- Keras' verbs ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_validating_changes_nothing():
    def trained(seed, **options):
        model = compiled(vae(seed))
        model.fit(X, epochs=1, batch_size=20, verbose=0, **options)
        return weights(model)

    first = trained(1)
    # nor do targets play a part
    assert same(first, trained(1, y=np.zeros(len(X)), validation_data=X[:5]))
    assert not same(first, trained(2))


def test_evaluate_repeats_itself_and_train_on_batch_goes_on():
    model = compiled(vae())
    first = model.evaluate(X, verbose=0, return_dict=True)
    assert first == model.evaluate(X, np.zeros(40), verbose=0, return_dict=True)
    assert set(first) == {"loss", "elbo", "reconstruction", "kl", "active_units"}
    before = weights(model)
    logs = model.train_on_batch(X[:8], return_dict=True)
    assert np.isfinite(logs["loss"])
    assert int(model.rng_step.numpy()) == 1
    assert not same(before, weights(model))
    assert np.isfinite(model.test_on_batch(X[:8], return_dict=True)["elbo"])


def test_predict_is_the_reconstruction_at_the_code():
    model = vae()
    K1, b1, K2, b2 = model.decoder.get_weights()
    mu = by_hand(model, X)["mu"]
    expected = 1 / (1 + np.exp(-(np.tanh(mu @ K1 + b1) @ K2 + b2)))
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(X), expected, rtol=1e-5)
    np.testing.assert_allclose(model.codes(X), mu, rtol=1e-4, atol=1e-6)


def test_callbacks_of_keras_stop_and_store(tmp_path):
    path = str(tmp_path / "best.weights.h5")
    model = compiled(vae(), optimizer=still())
    callbacks = [
        keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=1, min_delta=100.0),
        keras.callbacks.ModelCheckpoint(path, save_weights_only=True),
    ]
    history = model.fit(
        X, epochs=5, batch_size=40, validation_split=0.25, callbacks=callbacks, verbose=0
    )
    assert len(history.history["loss"]) == 2
    other = vae(seed=9)
    other.encoder.layers[0].kernel.assign_add(np.ones((6, 5)))
    other.load_weights(path)
    assert same(weights(model), weights(other))
    assert int(other.rng_seed.numpy()) == 0  # the noise goes on too


def test_summary_names_both_nets(capsys):
    lines = []
    vae().summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert text.count("Sequential") == 2
    assert "Total params" in text


@pytest.mark.slow
def test_a_file_is_read_in_a_fresh_process(tmp_path):
    model = vae(report_latents=True)
    model.compile()
    model.fit(X, verbose=0)
    model.save(tmp_path / "model.keras")
    expected = model.elbo(X[:3]).tolist()
    np.save(tmp_path / "x.npy", X[:3])
    for first, load in (
        ("import tfbdl", "tfbdl.load"),
        ("import keras; from tfbdl_vae import VAE", "keras.models.load_model"),
    ):
        script = f"""
            import json, numpy as np; {first}
            model = {load}({str(tmp_path / "model.keras")!r})
            print(json.dumps(model.elbo(np.load({str(tmp_path / "x.npy")!r})).tolist()))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True
        )
        assert json.loads(done.stdout.splitlines()[-1]) == expected


# -- nets --------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="test_vae")
class Subclassed(keras.Model):
    """A net without a known shape until it is called."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = keras.layers.Dense(units)

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {"units": self.units}


def functional(size, units):
    inputs = keras.Input((size,))
    return keras.Model(inputs, keras.layers.Dense(units)(inputs))


def subclassed(size, units):
    return Subclassed(units)


def unbuilt(size, units):
    return keras.Sequential([keras.layers.Dense(units)])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(functional, marks=pytest.mark.slow),
        pytest.param(unbuilt, marks=pytest.mark.slow),
        pytest.param(subclassed, marks=pytest.mark.slow),
    ],
)
def test_nets_of_every_kind_train_copy_and_store(make, tmp_path):
    model = compiled(VAE(make(6, 4), make(2, 6), 2, seed=0))
    copy = compiled(model.clone(seed=1))
    for one in (model, copy):
        one.fit(X, batch_size=40, verbose=0)
    assert not same(weights(model), weights(copy))
    model.save(tmp_path / "model.keras")
    stored = tfbdl.load(tmp_path / "model.keras")
    for other in (stored, model.clone()):
        assert same(weights(model), weights(other))
        np.testing.assert_array_equal(model.codes(X[:3]), other.codes(X[:3]))


class Scaled(likelihoods.Gaussian):
    """A likelihood that nothing knows by name."""

    name = "scaled"

    def __init__(self):
        super().__init__(scale=NOISE)


def test_a_likelihood_of_ones_own_trains_and_copies_but_has_no_file(tmp_path):
    encoder, decoder = linear_nets()
    model = compiled(VAE(encoder, decoder, 2, Scaled(), seed=0, estimator="A"))
    x = (MEAN + np.eye(4)).astype("float32")
    expected = stats.multivariate_normal(*marginal()).logpdf(x)
    with eagerly():
        np.testing.assert_allclose(model.log_marginal(x, 1), expected, rtol=1e-5)  # q is exact
    assert isinstance(model.clone().likelihood, Scaled)
    with pytest.raises(errors.ModelError, match=r"likelihood Scaled cannot be stored"):
        model.save(tmp_path / "model.keras")


# -- refusals ----------------------------------------------------------------------------------


def test_nets_of_the_wrong_width_are_refused_at_once():
    encoder, decoder = nets()
    with pytest.raises(errors.ModelError, match=r"end in 6 units for latent_dim=3.*ends in 4"):
        VAE(encoder, decoder, 3)
    with pytest.raises(errors.ModelError, match=r"take codes \[n, 2\].*inputs \[n, 3\]"):
        VAE(encoder, dense(np.ones((3, 6)), np.zeros(6)), 2)
    with pytest.raises(errors.ModelError, match=r"outputs \[n, 6\].*Received: outputs \[n, 5\]"):
        VAE(encoder, dense(np.ones((2, 5)), np.zeros(5)), 2)
    wanted = r"outputs \[n, 12\], as the likelihood 'heteroscedastic_gaussian'.*\[n, 6\]"
    with pytest.raises(errors.ModelError, match=wanted):
        VAE(encoder, decoder, 2, "heteroscedastic_gaussian")
    with pytest.raises(errors.ModelError, match=r"outputs \[n, 6, classes\].*outputs \[n, 5\]"):
        VAE(encoder, dense(np.ones((2, 5)), np.zeros(5)), 2, "categorical")
    with pytest.raises(errors.ModelError, match=r"end in 2 units"):
        AutoEncoder(encoder, decoder, 2)


@pytest.mark.parametrize("called", [False, True])
def test_a_subclassed_encoder_of_the_wrong_width_is_refused_when_it_is_built(called):
    encoder, decoder = Subclassed(5), Subclassed(6)
    if called:
        encoder(X), decoder(X[:, :2])
    with pytest.raises(errors.ModelError, match=r"end in 4 units.*Received: .* ends in 5"):
        VAE(encoder, decoder, 2)(X)


def test_rows_that_do_not_suit_the_model_are_refused():
    model = compiled(vae())
    with pytest.raises(errors.DataError, match=r"shape \[n, 6\], as the encoder.*\[40, 5\]"):
        model.fit(X[:, :5], verbose=0)
    with pytest.raises(errors.DataError, match=r"from 0 to 1. Scale the data.*Received: 2"):
        model.evaluate(2 * X, verbose=0)
    with pytest.raises(errors.DataError, match=r"Received: a sample_weight"):
        model.fit(tf.data.Dataset.from_tensor_slices((X, X, X[:, 0])).batch(8), verbose=0)
    with pytest.raises(errors.OptionsError, match=r"takes no loss. Received: loss='mse'"):
        model.compile(loss="mse")


@pytest.mark.parametrize("weight", ["sample_weight", "class_weight"])
def test_weights_of_rows_are_refused_by_name_in_every_verb(weight):
    model = compiled(vae())
    given = {weight: np.ones(40) if weight == "sample_weight" else {0: 1.0}}
    before = weights(model)
    for verb in (model.fit, model.train_on_batch):
        with pytest.raises(errors.DataError, match=rf"each row once.*Received: a {weight}"):
            verb(X, **given)
    if weight == "sample_weight":
        for verb in (model.evaluate, model.test_on_batch):
            with pytest.raises(errors.DataError, match=r"Received: a sample_weight"):
                verb(X, **given)
        with pytest.raises(errors.DataError, match=r"Received: a sample_weight"):
            model.train_on_batch(X, None, np.ones(40))
    assert same(before, weights(model))


def test_metrics_of_targets_are_refused_by_name():
    for name in ("metrics", "weighted_metrics", "loss_weights"):
        with pytest.raises(errors.OptionsError, match=rf"no targets.*Received: {name}=\['mse'\]"):
            vae().compile(**{name: ["mse"]})


def test_grey_values_taken_as_they_are_are_called_a_cross_entropy():
    grey = 0.5 * X
    model = compiled(vae(grey="mean"), optimizer=still())
    with frozen_noise():
        with pytest.warns(errors.TfbdlWarning, match=r"a cross entropy, and no likelihood"):
            history = model.fit(grey, batch_size=40, verbose=0).history
        model.fit(X, batch_size=40, verbose=0)  # of binary data it is one
    expected = by_hand(model, grey)
    assert history["reconstruction"][0] == pytest.approx(expected["reconstruction"].mean(), 1e-5)


def test_a_fit_without_targets_scores_rows_by_the_models_own_figures():
    info = tfbdl.data.as_dataset(X).info
    spec = tfbdl.specs.RunSpec(model=None)
    fit = Fit(model=vae(), posterior=None, history={}, metrics={}, spec=spec, info=info)
    data = tfbdl.Dataset(x=X[:30], x_test=X[30:], info=info)
    with eagerly():
        expected = fit.model.held_out(X[30:])
        assert fit.evaluate(X[30:]) == fit.evaluate(data) == expected
    with pytest.raises(errors.DataError, match=r"had no targets.*Expected: x alone"):
        fit.evaluate((X, X[:, 0]))
    with pytest.raises(errors.DataError, match=r"shape"):
        fit.evaluate(X[:, :4])


@pytest.mark.slow
def test_what_a_vae_can_be_asked_is_named_where_it_predicts_nothing():
    options = {"hidden": (4,), "latent_dim": 2}
    data = tfbdl.Dataset(x=X[:30], x_test=X[30:], info=tfbdl.data.as_dataset(X[:30]).info)
    fit = tfbdl.fit("vae", data, model_options=options, engine_options={"epochs": 1})
    for name, value in fit.model.held_out(X[30:]).items():
        assert fit.metrics[f"test_{name}"] == value
    hint = r"fit.model.log_marginal and fit.model.reconstruct and fit.model.sample"
    with pytest.raises(errors.ModelError, match=hint):
        fit.predict(X)
    assert fit.evaluate(X[30:]) == fit.model.held_out(X[30:])
