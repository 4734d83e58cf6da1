"""The models sparse_gp and sparse_nngp: their bound, its optimum, other engines, classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, linalg, special
from tfbdl_nngp import GPClassifier, SparseGPRegressor, expected, softmax_normal
from tfbdl_nngp.config import SparseGPOptions
from tfbdl_nngp.families import WrittenFamily

import tfbdl
from tfbdl import errors, logistic_normal
from tfbdl.data import as_dataset

RNG = np.random.default_rng(0)
X = RNG.uniform(-3.0, 3.0, size=(60, 1))
Y = 2.0 + 3.0 * np.sin(2.0 * X[:, 0]) + 0.3 * RNG.normal(size=60)
NEW = np.linspace(-3.0, 3.0, 7)[:, np.newaxis]
NOISE = 0.05
FIXED = {"variance": 1.5, "length_scale": 0.4}
OPTIONS = {"num_inducing": 12, "fixed": FIXED, "noise": NOISE}
KERNEL = WrittenFamily(SparseGPOptions(fixed=FIXED), 1).at({})


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def made(x, y, **options):
    model = tfbdl.build("sparse_gp", (x, y), model_options={**OPTIONS, **options}, seed=0)
    model.observe(as_dataset((x, y), dtype="float64"))
    return model


def put_at_the_optimum(model, targets):
    """q(v) = N(S A y / s, S) with S = (I + A A' / s)^-1 (Titsias 2009, (10), whitened)."""
    Z = model.inducing.numpy()
    L = np.linalg.cholesky(KERNEL.matrix(Z) + 1e-8 * FIXED["variance"] * np.eye(len(Z)))
    A = linalg.solve_triangular(L, KERNEL.matrix(Z, standardised(X)), lower=True)
    S = np.linalg.inv(np.eye(len(Z)) + A @ A.T / NOISE)
    model.mean.assign(S @ A @ targets / NOISE)
    raw = tfp.math.fill_triangular_inverse(np.linalg.cholesky(S)).numpy()
    model.raw_root.assign(np.repeat(raw[np.newaxis], targets.shape[1], axis=0))


@pytest.fixture(scope="module")
def best():
    model = made(X, Y)
    put_at_the_optimum(model, standardised(Y)[:, np.newaxis])
    model.compile("sgd")
    return model


def collapsed(model):
    """The same process with q in closed form, on standardised rows."""
    gp = SparseGPRegressor(KERNEL, NOISE, inducing=model.inducing.numpy())
    return gp.fit(standardised(X), standardised(Y))


def test_the_bound_at_its_optimum_is_the_collapsed_one(best):
    loss = best.evaluate(X, Y, batch_size=60, verbose=0, return_dict=True)["loss"]
    unit = len(Y) * np.log(Y.std())
    assert -len(Y) * loss == pytest.approx(collapsed(best).elbo() - unit, abs=1e-4)  # float32 mean


def test_batches_together_have_the_loss_of_all_rows(best):
    whole = best.evaluate(X, Y, batch_size=60, verbose=0, return_dict=True)["loss"]
    parts = best.evaluate(X, Y, batch_size=15, verbose=0, return_dict=True)["loss"]
    assert parts == pytest.approx(whole, rel=1e-5)


def test_the_gradient_of_the_loss_is_zero_there_and_nowhere_near(best):
    def slopes(model):
        with tf.GradientTape() as tape:
            model(tf.constant(X))
            loss = model.compute_loss(tf.constant(X), tf.constant(Y), training=True)
        weights = [model.mean.value, model.raw_root.value]
        return [abs(g).numpy().max() for g in tape.gradient(loss, weights)]

    assert max(slopes(best)) < 1e-8
    other = best.clone()
    other.mean.assign_add(0.1 * np.ones_like(other.mean))
    assert slopes(other)[0] > 1e-3


def test_predictions_at_the_optimum_are_those_of_the_collapsed_process(best):
    expected_law, p = collapsed(best).predict(standardise_new()), best.predictive(NEW)
    np.testing.assert_allclose(p.mean, Y.mean() + Y.std() * expected_law.mean, rtol=1e-6)
    np.testing.assert_allclose(p.epistemic, Y.var() * expected_law.epistemic, rtol=1e-5)
    np.testing.assert_allclose(p.aleatoric, Y.var() * NOISE)


def standardise_new():
    return (NEW - X.mean(axis=0)) / X.std(axis=0)


def test_posterior_of_the_inducing_values_is_q(best):
    q = best.posterior
    root = best.root().numpy()[0]
    np.testing.assert_allclose(q.covariance()["v"], root @ root.T, atol=1e-14)
    np.testing.assert_allclose(q.stddev()["v"][:, 0] ** 2, np.diag(root @ root.T))
    draws = q.sample(20_000, seed=1)["v"][:, :, 0]
    spread = np.diag(root @ root.T)
    bound = 5.0 * np.sqrt((np.outer(spread, spread) + (root @ root.T) ** 2) / 20_000)
    np.testing.assert_array_less(abs(np.cov(draws.T) - root @ root.T), bound)


def test_the_density_of_values_and_rows_is_the_bound_of_hensman(best):
    values = RNG.normal(size=(12, 1))
    Z, x, y = best.inducing.numpy(), standardised(X), standardised(Y)
    L = np.linalg.cholesky(KERNEL.matrix(Z) + 1e-8 * FIXED["variance"] * np.eye(12))
    A = linalg.solve_triangular(L, KERNEL.matrix(Z, x), lower=True)
    left = FIXED["variance"] - (A**2).sum(axis=0)
    misfit = ((y - (A.T @ values)[:, 0]) ** 2 + left) / NOISE
    by_hand = -0.5 * (misfit + np.log(2 * np.pi * NOISE)).sum() - len(Y) * np.log(Y.std())
    by_hand += -0.5 * (values**2).sum() - 6.0 * np.log(2 * np.pi)
    found = best.log_joint({"v": tf.constant(values)}, (tf.constant(X), tf.constant(Y)))
    assert float(found) == pytest.approx(by_hand, abs=1e-8)


def test_laplace_over_values_has_the_collapsed_moments_where_targets_are_normal(best):
    fit = tfbdl.fit("sparse_gp", (X, Y), engine="laplace", model_options=OPTIONS)
    np.testing.assert_allclose(fit.posterior.mean()["v"], best.mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(
        fit.posterior.covariance()["v"], best.posterior.covariance()["v"], atol=1e-8
    )
    unit = len(Y) * np.log(Y.std())
    # the jitter of 1e-8 sets the two apart
    assert fit.metrics["log_evidence"] == pytest.approx(collapsed(best).elbo() - unit, abs=1e-4)


def labels(classes=2):
    rng = np.random.default_rng(4)
    waves = np.stack([np.sin(2.0 * X[:, 0] + c) for c in range(classes)], axis=1)
    return (3.0 * waves + rng.gumbel(size=waves.shape)).argmax(axis=1)


@pytest.mark.slow
def test_laplace_with_all_rows_is_that_of_two_classes():
    y = labels()
    options = {"num_inducing": 60, "fixed": FIXED}
    fit = tfbdl.fit("sparse_gp", (X, y), engine="laplace", model_options=options)
    theirs = GPClassifier(KERNEL).fit(standardised(X), y)
    # a jitter of 1e-8 sets the two apart
    assert fit.metrics["log_evidence"] == pytest.approx(theirs.log_marginal_likelihood(), abs=1e-4)
    p = theirs.predict(standardise_new()).probs
    np.testing.assert_allclose(fit.predict(NEW, draws=2_000).probs, p, atol=0.02)


@pytest.mark.slow
def test_laplace_of_three_classes_is_algorithm_3_3():
    """Rasmussen & Williams 2006, algorithm 3.3, by dense matrices of all classes."""
    y, n = labels(3), len(X)
    K = np.kron(np.eye(3), KERNEL.matrix(standardised(X)) + 1e-8 * FIXED["variance"] * np.eye(n))
    targets, f = np.eye(3)[y].T.ravel(), np.zeros(3 * n)
    for _ in range(60):
        probs = special.softmax(f.reshape(3, n), axis=0)
        blocks = np.concatenate([np.diag(p) for p in probs])
        W = np.diag(probs.ravel()) - blocks @ blocks.T  # (3.38)
        f = np.linalg.solve(np.eye(3 * n) + K @ W, K @ (W @ f + targets - probs.ravel()))  # (3.39)
    log_lik = targets @ f - special.logsumexp(f.reshape(3, n), axis=0).sum()
    _, log_det = np.linalg.slogdet(np.eye(3 * n) + K @ W)
    evidence = log_lik - 0.5 * f @ np.linalg.solve(K, f) - 0.5 * log_det  # (3.44)
    options = {"num_inducing": n, "fixed": FIXED}
    fit = tfbdl.fit("sparse_gp", (X, y), engine="laplace", model_options=options)
    assert fit.metrics["log_evidence"] == pytest.approx(evidence, abs=1e-5)


@pytest.mark.parametrize(
    ("mean", "sd"), [(0.0, 1.0), (2.0, 0.3), (-3.0, 2.0), (3.0, 10.0), (0.0, 100.0)]
)
def test_expectation_of_two_classes_is_that_of_adaptive_quadrature(mean, sd):
    def density(f):
        return special.log_expit(f) * np.exp(-0.5 * ((f - mean) / sd) ** 2)

    ends = mean - 12 * sd, mean + 12 * sd
    total = integrate.quad(density, *ends, points=[-5.0, 0.0, 5.0], limit=500, epsabs=1e-13)[0]
    total /= sd * np.sqrt(2 * np.pi)
    moments = tf.constant([[mean]], tf.float64), tf.constant([[sd**2]], tf.float64)
    found = expected.bernoulli(tf.constant([1.0], tf.float64), *moments)
    assert float(found[0]) == pytest.approx(total, rel=1e-7)
    flipped = expected.bernoulli(tf.constant([0.0], tf.float64), -moments[0], moments[1])
    assert float(flipped[0]) == pytest.approx(float(found[0]), rel=1e-12)


def test_expectation_of_many_classes_by_draws_is_above_the_bound():
    rng = np.random.default_rng(1)
    mean, y = tf.constant(rng.normal(size=(4, 3))), tf.constant([0, 1, 2, 0])
    variance = tf.constant(rng.uniform(0.1, 1.0, size=(4, 1)))
    noise = tf.constant(rng.normal(size=(40_000, 4, 3)))
    wide = tf.broadcast_to(variance, [4, 3])
    by_draws = expected.categorical(y, mean, wide, noise).numpy()
    f = mean.numpy() + np.sqrt(variance.numpy()) * noise.numpy()
    each = special.log_softmax(f, axis=2)[:, np.arange(4), y.numpy()]
    np.testing.assert_allclose(by_draws, each.mean(axis=0), rtol=1e-12)
    bound = expected.categorical_bound(y, mean, variance).numpy()
    assert (bound < by_draws).all()
    at_zero = expected.categorical_bound(y, mean, tf.zeros_like(variance)).numpy()
    exact = special.log_softmax(mean.numpy(), axis=1)[np.arange(4), y.numpy()]
    np.testing.assert_allclose(at_zero, exact, rtol=1e-14)


@pytest.mark.parametrize("sd", [0.0, 0.3, 0.999, 1.0, 4.0])
def test_averages_over_a_softmax_of_two_classes_are_logistic(sd):
    mean = np.array([[1.3, 0.0], [-7.0, 0.0], [0.0, 0.0]])
    variance = np.full_like(mean, sd**2 / 2.0)
    found = softmax_normal.mean_probabilities(mean, variance)[:, 0]
    exact = logistic_normal.mean_probability(mean[:, 0], np.full(3, sd))
    np.testing.assert_allclose(found, exact, atol=2e-8)


def test_averages_over_a_softmax_of_five_classes_are_means_of_draws():
    rng = np.random.default_rng(2)
    mean, variance = 2.0 * rng.normal(size=(3, 5)), rng.uniform(0.0, 6.0, size=(3, 5))
    f = mean + np.sqrt(variance) * rng.normal(size=(200_000, 3, 5))
    probs = special.softmax(f, axis=2)
    error = 5.0 * probs.std(axis=0) / np.sqrt(len(f)) + 1e-9
    np.testing.assert_array_less(
        abs(softmax_normal.mean_probabilities(mean, variance) - probs.mean(axis=0)), error
    )
    entropy = special.entr(probs).sum(axis=2)
    spread = 5.0 * entropy.std(axis=0) / np.sqrt(64)
    np.testing.assert_array_less(
        abs(softmax_normal.mean_entropy(mean, variance) - entropy.mean(axis=0)), spread
    )


@pytest.mark.slow
def test_training_finds_the_hyperparameters_of_the_evidence():
    options = {"num_inducing": 20}
    engine = {"steps": 800, "batch_size": 60}
    fit = tfbdl.fit("sparse_gp", (X, Y), model_options=options, engine_options=engine)
    exact = tfbdl.fit("gp", (X, Y))
    assert fit.metrics["elbo"] <= exact.metrics["log_evidence"] + 1e-3
    assert fit.metrics["elbo"] > exact.metrics["log_evidence"] - 0.5
    p, q = fit.predict(NEW), exact.predict(NEW)
    np.testing.assert_allclose(p.mean, q.mean, atol=0.3 * np.sqrt(q.epistemic).min())


@pytest.mark.slow
def test_inducing_points_move_when_they_may():
    few = {"num_inducing": 4, "fixed": FIXED, "noise": NOISE}
    engine = {"steps": 300, "batch_size": 60}
    fixed = {**few, "move_inducing": False}
    still = tfbdl.fit("sparse_gp", (X, Y), model_options=fixed, engine_options=engine)
    moved = tfbdl.fit("sparse_gp", (X, Y), model_options=few, engine_options=engine)
    assert moved.metrics["elbo"] > still.metrics["elbo"] + 1.0


@pytest.mark.slow
def test_many_classes_train_and_predict_probabilities():
    y = labels(3)
    options = {"activation": "erf", "weight_variance": 4.0, "bias_variance": 0.3}
    engine = {"steps": 250, "batch_size": 60}
    fit = tfbdl.fit("sparse_nngp", (X, y), model_options=options, engine_options=engine)
    p = fit.predict(X)
    assert p.probs.shape == (60, 3)
    np.testing.assert_allclose(p.probs.sum(axis=1), 1.0)
    assert (p.mutual_information >= -1e-9).all()
    assert fit.metrics["train_error"] < 0.3  # 0.22 by the labels' own probabilities
    assert fit.metrics["elbo"] > -60 * np.log(3)


@pytest.mark.slow
def test_nuts_over_values_agrees_with_weighted_draws_from_the_prior():
    x, y = X[:12], labels()[:12]
    options = {"num_inducing": 12, "fixed": {"variance": 4.0, "length_scale": 0.5}}
    engine = {"chains": 4, "warmup": 500, "draws": 1_000}
    fit = tfbdl.fit(
        "sparse_gp", (x, y), engine="nuts", model_options=options, engine_options=engine
    )
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    K = 4.0 * np.exp(-0.5 * ((scaled - scaled.T) / 0.5) ** 2)
    f = (
        np.random.default_rng(3).normal(size=(1_000_000, 12))
        @ np.linalg.cholesky(K + 1e-8 * np.eye(12)).T
    )
    weight = special.log_expit((2 * y - 1) * f).sum(axis=1)
    weight = special.softmax(weight)
    exact = weight @ special.expit(f)
    error = np.sqrt((weight**2) @ (special.expit(f) - exact) ** 2)
    assert error.max() < 0.01
    np.testing.assert_allclose(fit.predict(x, draws=1_000).probs[:, 0], exact, atol=0.04)


def test_a_file_and_a_clone_predict_the_same(best, tmp_path):
    best.save(tmp_path / "sparse.keras")
    again = tfbdl.load(tmp_path / "sparse.keras")
    np.testing.assert_array_equal(again.predictive(NEW).mean, best.predictive(NEW).mean)
    np.testing.assert_array_equal(best.clone().predictive(NEW).mean, best.predictive(NEW).mean)
    assert keras.saving.load_model(tmp_path / "sparse.keras").options == best.options


def test_several_outputs_share_the_kernel():
    both = np.stack([Y, -2.0 * Y], axis=1)
    model = made(X, both)
    put_at_the_optimum(model, standardised(both))
    p = model.predictive(NEW)
    np.testing.assert_allclose(p.mean[:, 1], -2.0 * p.mean[:, 0], rtol=1e-9)
    np.testing.assert_allclose(p.variance[:, 1], 4.0 * p.variance[:, 0], rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, None, "no targets"),
        ({"a": X}, Y, "inputs by name"),
    ],
)
def test_data_without_targets_or_of_several_inputs_are_refused(x, y, words):
    with pytest.raises(errors.DataError, match=words):
        tfbdl.fit("sparse_gp", x if y is None else (x, y))


def test_rows_unlike_those_of_training_are_refused(best):
    with pytest.raises(errors.DataError, match=r"shape \[n, 1\], as in training"):
        best.fit(np.ones((5, 2)), np.ones(5), verbose=0)
    with pytest.raises(errors.DataError, match=r"1 targets a row\. Received: 3"):
        best.fit(X, np.ones((60, 3)), verbose=0)
    with pytest.raises(errors.DataError, match="counts each row once"):
        best.fit(X, Y, sample_weight=np.ones(60), verbose=0)
    with pytest.raises(errors.DataError):
        best.fit(X, np.where(Y > 4.0, np.nan, Y), verbose=0)


def test_a_process_that_saw_no_rows_says_so():
    model = tfbdl.build("sparse_gp", (X, Y), model_options=OPTIONS)
    with pytest.raises(errors.ModelError, match="seen no rows"):
        model.predictive(NEW)


def test_unknown_hyperparameters_are_refused():
    with pytest.raises(errors.OptionsError, match=r"'lenght_scale'.*'length_scale'"):
        tfbdl.build("sparse_gp", (X, Y), model_options={"fixed": {"lenght_scale": 1.0}})


@pytest.mark.slow
def test_names_of_classes_keep_their_order_whatever_rows_come(tmp_path):
    y = np.array(["a", "b", "c"])[labels(3)]
    model = made(X, y, noise=None)
    model.compile("adam")
    model.fit(X, y, epochs=1, verbose=0)
    some = y != "a"
    losses = []
    for given in (y, labels(3)):
        copy = model.clone()  # so that both evaluations have the same noise
        copy.compile("adam")
        losses.append(copy.evaluate(X[some], given[some], batch_size=60, verbose=0))
    assert losses[0] == losses[1]
    model.save(tmp_path / "named.keras")
    again = tfbdl.load(tmp_path / "named.keras")
    assert again.class_names == ("a", "b", "c")


def test_nothing_is_evaluated_or_trained_before_a_fit():
    model = tfbdl.build("sparse_gp", (X, Y), model_options=OPTIONS)
    model.compile("adam")
    for verb in (model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(errors.ModelError, match="seen no rows"):
            verb(X, Y)


@pytest.mark.slow
def test_new_rows_of_another_shape_or_without_a_number_are_refused(best):
    with pytest.raises(errors.DataError, match=r"shape \[n, 1\], as in training"):
        best.predictive(np.ones((3, 2)))
    with pytest.raises(errors.DataError, match="finite"):
        best.predictive(np.full((3, 1), np.nan))
    images = np.random.default_rng(0).normal(size=(20, 4, 4, 1))
    fit = tfbdl.fit(
        "sparse_nngp", (images, images.sum(axis=(1, 2, 3))), engine_options={"steps": 2}
    )
    with pytest.raises(errors.DataError, match=r"\[n, 4, 4, 1\]"):
        fit.predict(images.reshape(20, 2, 8, 1))


def test_laplace_warns_where_hyperparameters_are_sought_with_the_function():
    options = {"num_inducing": 8, "noise": NOISE}
    with pytest.warns(errors.TfbdlWarning, match="joint mode of the function and variance"):
        tfbdl.fit("sparse_gp", (X, Y), engine="laplace", model_options=options)


def test_averages_over_a_softmax_of_wide_normals_are_those_of_the_largest():
    mean = np.array([[0.0, 500.0, -300.0]])
    variance = np.full_like(mean, 1_000.0**2)
    f = mean + 1_000.0 * np.random.default_rng(6).normal(size=(400_000, 3))
    shares = np.bincount(f.argmax(axis=1), minlength=3) / len(f)  # noise of size 1 is nothing here
    found = softmax_normal.mean_probabilities(mean, variance)[0]
    np.testing.assert_allclose(found, shares, atol=5.0 * np.sqrt(0.25 / len(f)) + 1e-3)
