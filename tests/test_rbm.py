"""Restricted Boltzmann machines against enumeration, quadrature and formulas written by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from rbm_machines import binary_rows, joint_table, machine, states, weights_of
from scipy import integrate
from scipy.special import expit, logsumexp
from tfbdl_rbm import energy
from tfbdl_rbm.model import RBM

import tfbdl
from tfbdl import errors, random
from tfbdl.data import as_dataset

# -- density and conditionals ------------------------------------------------------------------


def test_free_energy_and_conditionals_are_those_of_the_enumerated_joint():
    model = machine()
    table = joint_table(model)
    v, h = states(6), states(4)
    np.testing.assert_allclose(model.free_energy(v), -logsumexp(table, axis=1), rtol=1e-10)
    given_v = np.exp(table - logsumexp(table, axis=1, keepdims=True))
    np.testing.assert_allclose(model.hidden_probs(v), given_v @ h, rtol=1e-9)
    given_h = np.exp(table - logsumexp(table, axis=0, keepdims=True))
    np.testing.assert_allclose(model.visible_probs(h), given_h.T @ v, rtol=1e-9)
    np.testing.assert_allclose(model.log_prob(v), logsumexp(table, axis=1) - logsumexp(table))
    np.testing.assert_allclose(model.predict(v, verbose=0), model.transform(v), rtol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), [(6, 4), (3, 8)])
def test_log_partition_by_either_layer_is_that_of_all_states(visible, hidden):
    model = machine(visible, hidden)
    assert model.log_partition_exact() == pytest.approx(logsumexp(joint_table(model)), abs=1e-9)


def test_enumeration_of_more_than_twenty_units_is_refused():
    with pytest.raises(errors.ModelError, match=r"at most 20 units\. Received: 30 visible and 21"):
        RBM(30, 21).log_partition_exact()


def test_annealed_importance_sampling_finds_the_exact_value():
    x = binary_rows(size=10)
    model = machine(10, 5, scale=1.5, visible_mean=x.mean(0))
    found = model.log_partition(runs=500, temperatures=2_000, seed=1)
    assert found.standard_error < 0.02
    assert found.estimate == pytest.approx(model.log_partition_exact(), abs=0.05)
    few = model.log_partition(runs=500, temperatures=3, seed=1)
    assert few.standard_error > 3 * found.standard_error  # fewer temperatures, wider weights


def test_pseudo_likelihood_is_the_sum_of_the_enumerated_conditionals():
    model = machine()
    v = states(6)
    log_p = logsumexp(joint_table(model), axis=1)
    index = {tuple(row): i for i, row in enumerate(v)}
    expected = np.zeros(len(v))
    for unit in range(6):
        flipped = v.copy()
        flipped[:, unit] = 1 - flipped[:, unit]
        other = log_p[[index[tuple(row)] for row in flipped]]
        expected += log_p - np.logaddexp(log_p, other)
    exact = model.pseudo_log_likelihood(v)
    np.testing.assert_allclose(exact, expected, rtol=1e-9)
    draws = np.array([model.pseudo_log_likelihood(v, seed=s).mean() for s in range(200)])
    assert abs(draws.mean() - expected.mean()) < 4 * draws.std() / np.sqrt(200)  # unbiased


def test_gaussian_units_agree_with_quadrature_in_the_units_of_the_data():
    mean, scale = (3.0, -1.0), (2.0, 0.5)
    model = machine(
        2, 3, visible="gaussian", noise_scale=0.6, visible_mean=mean, visible_scale=scale
    )
    W, b, c = weights_of(model)
    h = states(3)

    def density(v1, v0):
        u = (np.array([v0, v1]) - mean) / scale
        return np.exp(-((u - b) ** 2).sum() / (2 * 0.36) + h @ c + h @ (u / 0.6 @ W)).sum()

    box = [(m - 12 * s, m + 12 * s) for m, s in zip(mean, scale, strict=True)]
    z, _ = integrate.dblquad(density, *box[0], *box[1], epsabs=1e-9, epsrel=1e-9)
    assert model.log_partition_exact() == pytest.approx(np.log(z), abs=1e-6)
    v = np.array([[2.0, -0.5]])
    assert model.log_prob(v)[0] == pytest.approx(np.log(density(-0.5, 2.0) / z), abs=1e-6)
    found = model.log_partition(runs=500, temperatures=1_000)
    assert found.estimate == pytest.approx(np.log(z), abs=0.05)
    expected = mean + np.array(scale) * (b + 0.6 * W @ [1.0, 0.0, 1.0])
    np.testing.assert_allclose(model.visible_probs([[1.0, 0.0, 1.0]])[0], expected)


def test_samples_have_the_frequencies_of_the_enumerated_density():
    model = machine()
    drawn = model.sample(20_000, steps=100, seed=3)
    index = (drawn @ 2.0 ** np.arange(5, -1, -1)).astype(int)
    expected = np.exp(logsumexp(joint_table(model), axis=1) - logsumexp(joint_table(model)))
    found = np.bincount(index, minlength=64) / 20_000
    z = (found - expected) / np.sqrt(expected * (1 - expected) / 20_000)
    assert abs(z).max() < 4.5  # of 64 states; one normal number in 3,000 samples exceeds it
    assert not np.array_equal(drawn, model.sample(20_000, steps=100, seed=4))


# -- the gradient ------------------------------------------------------------------------------


def positive_minus_negative(model, v, end):
    """<v h>, <v>, <h> of data minus those of the model: the hand formula."""
    W, _, c = weights_of(model)
    parts = []
    for rows in (v, end):
        h = expit(c + rows @ W)
        parts.append((rows.T @ h / len(rows), rows.mean(0), h.mean(0)))
    return [one - other for one, other in zip(*parts, strict=True)]


@pytest.mark.parametrize("k", [1, 12])
def test_gradient_of_the_loss_is_that_of_contrastive_divergence(k):
    model = machine(k=k)
    v = binary_rows()
    key = model.noise_key(training=True)
    end = energy.gibbs(model.units, model.weights_now(), tf.constant(v, tf.float64), k, key).numpy()
    assert set(np.unique(end)) == {0.0, 1.0}  # states, no probabilities
    with tf.GradientTape() as tape:
        loss = model.compute_loss(v)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for gradient, expected in zip(found, positive_minus_negative(model, v, end), strict=True):
        np.testing.assert_allclose(-gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_long_chains_give_the_exact_gradient_and_one_step_does_not():
    model = machine()
    W, _, c = weights_of(model)
    v = states(6)
    p = np.exp(logsumexp(joint_table(model), axis=1) - logsumexp(joint_table(model)))
    exact = np.einsum("n,ni,nj->ij", p, v, expit(c + v @ W))  # <v h> of the model
    start = tf.zeros([20_000, 6], tf.float64)

    def z_of(steps):
        key = random.key(2, "chain")
        end = energy.gibbs(model.units, model.weights_now(), start, steps, key).numpy()
        terms = end[:, :, np.newaxis] * expit(c + end @ W)[:, np.newaxis]
        return (terms.mean(0) - exact) / (terms.std(0) / np.sqrt(len(end)))

    assert abs(z_of(100)).max() < 4.5
    assert abs(z_of(1)).max() > 10  # one step still knows where it began


# -- training ----------------------------------------------------------------------------------


def test_persistent_particles_move_with_training_alone():
    model = RBM(6, 4, training="pcd", num_chains=8, seed=1)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    first = np.asarray(model.particles)
    model.evaluate(binary_rows(), verbose=0)
    np.testing.assert_array_equal(first, model.particles)
    model.fit(binary_rows(), batch_size=32, epochs=1, verbose=0)
    moved = np.asarray(model.particles)
    assert moved.shape == (8, 6)
    assert not np.array_equal(first, moved)
    assert int(model.rng_step) == 2


@pytest.mark.slow
def test_training_raises_the_exact_likelihood_of_a_pattern():
    x = binary_rows(256)
    fit = tfbdl.fit(
        "rbm",
        x,
        model_options={"num_hidden": 8, "weight_scale": 0.1},
        engine_options={"epochs": 200, "batch_size": 64, "learning_rate": 0.05},
    )
    nll = -fit.model.log_prob(x).mean()
    # three free bits have 3 log 2 = 2.08 nats; independent units 6 log 2 = 4.16
    assert 2.07 < nll < 2.5
    pseudo = fit.history["pseudo_log_likelihood"]
    assert pseudo[0] == pytest.approx(-6 * np.log(2), abs=0.4)  # as of independent units
    assert pseudo[-1] > -1.5
    assert fit.history["reconstruction_error"][-1] < 0.1
    np.testing.assert_allclose(fit.model.reconstruct(x), x, atol=0.5)


@pytest.mark.slow
def test_gaussian_machine_learns_two_clusters_whatever_their_units():
    rng = np.random.default_rng(0)
    side = np.where(rng.integers(0, 2, (400, 1)), 1.0, -1.0)
    x = side + 0.3 * rng.normal(size=(400, 3))

    def log_prob(data):
        fit = tfbdl.fit(
            "rbm",
            data,
            model_options={"visible": "gaussian", "noise_scale": 0.4, "num_hidden": 4},
            engine_options={"epochs": 40, "batch_size": 100},
        )
        return fit.model.log_prob(data).mean()

    found = log_prob(x)
    truth = 0.5 * np.exp(-((x[:, None] - [[[-1.0], [1.0]]]) ** 2).sum(-1) / 0.18).sum(1)
    best = np.log(truth * (2 * np.pi * 0.09) ** -1.5).mean()
    independent = -1.5 * (np.log(2 * np.pi * x.var()) + 1)
    assert independent + 1.0 < found < best + 0.05
    # y = 100 + 10 x has the density of x divided by 10^3
    assert log_prob(100 + 10 * x) == pytest.approx(found - 3 * np.log(10), abs=0.05)


def test_grey_values_are_drawn_anew_at_each_step_if_asked():
    grey = np.full((50, 6), 0.5, "float32")
    errors_of = {}
    for choice in ("mean", "sample"):
        model = RBM(6, 4, grey=choice)
        model.compile(keras.optimizers.SGD(1e-6), jit_compile=False)
        history = model.fit(grey, epochs=1, batch_size=50, verbose=0).history
        errors_of[choice] = history["reconstruction_error"][0]
    assert errors_of["mean"] < 0.01  # units that are even reconstruct 0.5 as it is
    assert errors_of["sample"] == pytest.approx(0.25, abs=0.02)  # (1 - 0.5)²


def test_targets_play_no_part():
    x = binary_rows()
    weights = []
    for data in (x, (x, np.arange(len(x)) % 3)):
        options = {"epochs": 2, "batch_size": 32}
        fit = tfbdl.fit("rbm", data, model_options={"num_hidden": 3}, engine_options=options)
        weights.append(np.asarray(fit.model.kernel))
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("training", [pytest.param("cd", marks=pytest.mark.slow), "pcd"])
def test_stored_machine_goes_on_as_one_that_was_not(tmp_path, training):
    x = binary_rows()
    model = RBM(6, 4, training=training, num_chains=8, visible_mean=x.mean(0), seed=2)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    model.fit(x, epochs=2, verbose=0)
    model.save(tmp_path / "rbm.keras")
    copy = tfbdl.load(tmp_path / "rbm.keras")
    for one in (model, copy):
        one.fit(x, epochs=4, initial_epoch=2, verbose=0)
    np.testing.assert_array_equal(model.kernel, copy.kernel)
    np.testing.assert_array_equal(model.log_prob(x), copy.log_prob(x))
    assert model.log_partition(10, 50) == copy.log_partition(10, 50)


@pytest.mark.slow
def test_stopped_run_resumes_to_the_same_particles(tmp_path):
    x = binary_rows()

    def run(out, on_step=None):
        return tfbdl.fit(
            "rbm",
            x,
            model_options={"num_hidden": 3, "training": "pcd", "num_chains": 5},
            engine_options={"epochs": 4, "batch_size": 32, "checkpoint_seconds": 0},
            out=out,
            on_step=on_step,
        )

    def stop(metrics):
        if metrics["step"] >= 4:
            raise errors.RunCancelled("stop")

    with pytest.raises(errors.RunCancelled):
        run(tmp_path / "stopped", stop)
    resumed = tfbdl.resume(tmp_path / "stopped", data=x).model
    whole = run(tmp_path / "whole").model
    np.testing.assert_array_equal(whole.kernel, resumed.kernel)
    np.testing.assert_array_equal(whole.particles, resumed.particles)


# -- bad input ---------------------------------------------------------------------------------


def test_binary_units_refuse_pixels_and_say_what_to_do():
    with pytest.raises(errors.DataError, match=r"from 0 to 255\. Divide by .* visible='gaussian'"):
        tfbdl.fit("rbm", np.array([[0.0, 255.0], [3.0, 4.0]]))
    with pytest.raises(
        errors.DataError, match=r"take v from 0 to 1\. Received: values from -1 to 0"
    ):
        RBM(2, 2).free_energy([[-1.0, 0.0]])


def test_rows_with_nan_weights_or_another_width_are_refused():
    x = binary_rows(8)
    model = RBM(6, 2)
    model.compile("sgd")
    with pytest.raises(errors.DataError, match="NaN"):
        model.fit(np.where(x == 1, np.nan, x))
    with pytest.raises(errors.DataError, match="Received: a sample_weight"):
        model.fit(as_dataset((x, np.arange(8), np.ones(8))))
    with pytest.raises(errors.DataError, match=r"shape \[n, 6\]. Received: shape \[8, 3\]"):
        model.fit(x[:, :3])
    with pytest.raises(errors.DataError, match=r"\[n, d\]; flatten images first"):
        tfbdl.build("rbm", x.reshape(8, 2, 3))
    with pytest.raises(errors.DataError, match=r"hidden units \[n, 2\] from 0 to 1"):
        model.visible_probs([[2.0, 0.0]])


def test_rows_to_evaluate_are_checked():
    x = binary_rows(8)
    model = RBM(6, 2)
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(errors.DataError, match=r"shape \[n, 6\]. Received: shape \[8, 3\]"):
        model.evaluate(x[:, :3], verbose=0)
    with pytest.raises(errors.DataError, match="NaN"):
        model.evaluate(np.where(x == 1, np.nan, x), verbose=0)
    with pytest.raises(errors.DataError):
        model.evaluate(255.0 * x, verbose=0)
    whole = model.evaluate(x, batch_size=8, verbose=0, return_dict=True)
    parts = model.evaluate(x, np.arange(8), batch_size=3, verbose=0, return_dict=True)
    for found in (whole, parts):
        error = model.reconstruction_error(x).mean()
        assert found["reconstruction_error"] == pytest.approx(error, rel=1e-5)


def test_held_out_figures_are_those_of_the_enumerated_conditionals():
    model, v = machine(), states(6)
    W, b, c = weights_of(model)
    back = expit(b + expit(c + v @ W) @ W.T)
    found = model.held_out(v)
    assert set(found) == {"reconstruction_error", "pseudo_log_likelihood"}
    assert found["reconstruction_error"] == pytest.approx(((v - back) ** 2).mean(), rel=1e-10)
    # each row's is an estimate from one unit: its mean over many is that of all units
    many = np.tile(v, (100, 1))
    exact, each = model.pseudo_log_likelihood(v), model.pseudo_log_likelihood(many, seed=0)
    error = each.std() / np.sqrt(len(many))
    assert model.held_out(many)["pseudo_log_likelihood"] == pytest.approx(
        exact.mean(), abs=4 * error
    )
    gaussian = machine(visible="gaussian")
    assert set(gaussian.held_out(v)) == {"reconstruction_error"}


def test_options_out_of_range_are_refused():
    with pytest.raises(errors.OptionsError, match=r"k must be at least 1\. Received: 0"):
        RBM(6, 2, k=0)
    with pytest.raises(errors.OptionsError, match="'k' of the model options of 'rbm' must be"):
        tfbdl.plan("rbm", model_options={"k": 0})
    with pytest.raises(errors.OptionsError, match="Did you mean 'pcd'"):
        RBM(6, 2, training="pcdd")
    with pytest.raises(errors.OptionsError, match="takes no loss"):
        RBM(6, 2).compile("sgd", loss="mse")
    with pytest.raises(errors.OptionsError, match="runs must be at least 2"):
        RBM(6, 2).log_partition(runs=1)
    with pytest.raises(errors.OptionsError, match="steps must be at least 1"):
        RBM(6, 2).sample(steps=0)
    with pytest.raises(errors.OptionsError, match="6 finite numbers"):
        RBM(6, 2, visible_mean=[0.5])
    with pytest.raises(errors.ModelError, match="for binary visible units"):
        RBM(6, 2, "gaussian").pseudo_log_likelihood(np.zeros((1, 6)))
