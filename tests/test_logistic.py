"""Bayesian logistic regression: four engines against quadrature on a grid, and their parts."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats
from sklearn.linear_model import LogisticRegression as Reference
from tfbdl_linear import jaakkola, polya_gamma

import tfbdl
from tfbdl import diagnostics, errors, logistic_normal, random

ALPHA = 0.5
DRAWS = 20_000


@functools.cache
def problem(rows=150):
    """Two features with unlike effects, no intercept."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, 2)) * [1.0, 0.7]
    y = rng.uniform(size=rows) < special.expit(x @ [1.0, -0.6])
    return x, y.astype(int)


@functools.cache
def on_grid(alpha=ALPHA):
    """Posterior mean, covariance and log evidence by the trapezoidal rule."""
    x, y = problem()
    axis = np.linspace(-2.5, 3.0, 331)
    w = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    logits = w @ x.T
    log_joint = (y * logits - np.logaddexp(0.0, logits)).sum(1)
    log_joint += stats.multivariate_normal(np.zeros(2), np.eye(2) / alpha).logpdf(w)
    log_evidence = special.logsumexp(log_joint) + 2 * np.log(axis[1] - axis[0])
    mass = special.softmax(log_joint)
    mean = mass @ w
    covariance = (w - mean).T @ (mass[:, np.newaxis] * (w - mean))
    return mean, covariance, log_evidence, (w, mass)


@functools.cache
def fitted(engine, seed=0):
    options = {
        "em": {"tolerance": 1e-12},
        "laplace": {},
        "gibbs": {"chains": 2, "warmup": 50, "draws": 1000},
        "nuts": {"chains": 4, "warmup": 500, "draws": 1000},
    }[engine]
    model_options = {"alpha": ALPHA, "intercept": False}
    return tfbdl.fit(
        "logistic", problem(), engine=engine, engine_options=options,
        model_options=model_options, seed=seed,
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["gibbs", pytest.param("nuts", marks=pytest.mark.slow)])
def test_draws_have_the_moments_of_the_grid(engine):
    mean, covariance, _, _ = on_grid()
    draws = fitted(engine).posterior.draws["weights"]
    assert np.all(np.abs(draws.mean((0, 1)) - mean) < 4 * diagnostics.mcse_mean(draws))
    centred = draws - mean
    products = centred[..., :, np.newaxis] * centred[..., np.newaxis, :]
    bound = 4 * diagnostics.mcse_mean(products)
    assert np.all(np.abs(products.mean((0, 1)) - covariance) < bound)
    assert np.all(bound < 0.2 * np.sqrt(np.outer(np.diag(covariance), np.diag(covariance))))


@pytest.mark.parametrize(
    ("engine", "mean_error", "stddev_error"),
    # the bound makes the normal too narrow; the mode lies beside the mean of a skewed posterior
    [("em", 0.1, 0.2), ("laplace", 0.15, 0.04)],  # in posterior standard deviations
)
def test_normal_approximations_are_near_the_moments_of_the_grid(engine, mean_error, stddev_error):
    mean, covariance, log_evidence, _ = on_grid()
    stddev = np.sqrt(np.diagonal(covariance))
    fit = fitted(engine)
    found = fit.posterior
    assert np.all(np.abs(found.mean()["weights"] - mean) < mean_error * stddev)
    np.testing.assert_allclose(found.stddev()["weights"], stddev, rtol=stddev_error)
    if engine == "laplace":
        assert fit.metrics["log_evidence"] == pytest.approx(log_evidence, abs=0.02)


def test_the_bound_rises_to_just_below_the_evidence():
    fit = fitted("em")
    trace = np.array(fit.history["elbo"])
    assert len(trace) > 3
    assert (np.diff(trace) > -1e-10).all()
    # the exact lower bound of the same normal lies between it and the evidence
    x, y = problem()
    q = stats.multivariate_normal(fit.model.mean_, fit.model.covariance_)
    w, _ = on_grid()[3]
    logits = w @ x.T
    log_joint = (y * logits - np.logaddexp(0.0, logits)).sum(1)
    log_joint += stats.multivariate_normal(np.zeros(2), np.eye(2) / ALPHA).logpdf(w)
    elbo = special.softmax(q.logpdf(w)) @ log_joint + q.entropy()
    assert trace[-1] < elbo < on_grid()[2]
    assert trace[-1] > on_grid()[2] - 0.5


def test_the_bound_is_stationary_in_the_normal():
    # at convergence no small change of q raises the bound: Bishop 10.157, 10.158 and 10.163
    model = fitted("em").model
    x, y = problem()
    rows = tf.constant(x), tf.constant(y, tf.float64)
    prior = tf.zeros(2, tf.float64), ALPHA * tf.eye(2, dtype=tf.float64)

    def bound(mean, covariance):
        statistics = jaakkola.expected_statistics(*rows, mean, covariance)
        return float(jaakkola.bound(statistics, mean, covariance, *prior))

    best = bound(model.mean_, model.covariance_)
    for change in np.eye(2):
        for size in (-1e-3, 1e-3):
            assert bound(model.mean_ + size * change, model.covariance_) < best
            tilted = model.covariance_ * (1 + size * np.outer(change, change))
            assert bound(model.mean_, tilted) < best


def test_the_bound_touches_the_likelihood_of_a_point_mass():
    # with no spread xi^2 = (w phi)^2, where the bound on the sigmoid is exact: Bishop 10.144
    x, y = problem()
    w = np.array([0.8, -1.3])
    found = jaakkola.expected_statistics(
        tf.constant(x), tf.constant(y, tf.float64), tf.constant(w), tf.zeros((2, 2), tf.float64)
    )
    exact = (y * (x @ w) - np.logaddexp(0, x @ w)).sum()
    assert float(found["slack"]) + found["linear"].numpy() @ w == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_the_mode_is_that_of_scikit_learn(intercept):
    x, y = problem()
    fit = tfbdl.fit(
        "logistic", (x, y), engine="laplace",
        model_options={"alpha": ALPHA, "intercept": intercept},
    )  # fmt: skip
    columns = np.column_stack([x, np.ones(len(x))]) if intercept else x
    reference = Reference(C=1 / ALPHA, fit_intercept=False, tol=1e-12, max_iter=10_000)
    mode = reference.fit(columns, y).coef_[0]
    np.testing.assert_allclose(fit.posterior.mean()["weights"], mode, atol=1e-6)
    p = special.expit(columns @ mode)
    precision = columns.T @ (columns * (p * (1 - p))[:, np.newaxis]) + ALPHA * np.eye(len(mode))
    np.testing.assert_allclose(  # Bishop 4.143
        fit.posterior.covariance()["weights"], np.linalg.inv(precision), rtol=1e-5, atol=1e-9
    )


def test_the_gradient_is_residuals_times_inputs():
    x, y = problem()
    options = {"intercept": False, "m0": [0.3, -0.1], "S0": [[2.0, 0.4], [0.4, 1.0]]}
    model = tfbdl.build("logistic", (x, y), model_options=options)
    w = tf.constant([0.4, 0.9], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(w)
        value = model.log_joint({"weights": w}, (x, y))
    shift = w.numpy() - options["m0"]
    pull = -np.linalg.solve(options["S0"], shift)
    by_hand = pull - (special.expit(x @ w.numpy()) - y) @ x
    np.testing.assert_allclose(tape.gradient(value, w), by_hand, rtol=1e-10)
    log_prior = stats.multivariate_normal(options["m0"], options["S0"]).logpdf(w)
    log_lik = stats.bernoulli(special.expit(x @ w.numpy())).logpmf(y).sum()
    assert float(value) == pytest.approx(log_prior + log_lik, rel=1e-12)


@functools.cache
def polya_gamma_sampler():
    return tf.function(polya_gamma.sample, jit_compile=True)


def polya_gamma_draws(c, seed=0):
    key = tf.bitcast(random.key(seed, "test"), tf.int32)
    return polya_gamma_sampler()(tf.fill((DRAWS,), tf.constant(c, tf.float64)), key).numpy()


@pytest.mark.parametrize("c", [0.0, -2.0, 3.0, 3.2, 30.0])
def test_polya_gamma_draws_have_the_moments_and_the_law(c):
    n, draws = DRAWS, polya_gamma_draws(c)
    size = max(abs(c), 1e-3)
    mean = np.tanh(size / 2) / (2 * size)
    variance = (np.sinh(size) - size) / (4 * size**3 * np.cosh(size / 2) ** 2)
    assert draws.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / n))
    fourth = ((draws - mean) ** 4).mean()
    assert draws.var() == pytest.approx(variance, abs=4 * np.sqrt(fourth / n))
    assert float(polya_gamma.mean(tf.constant(c, tf.float64))) == pytest.approx(mean, rel=1e-6)
    # the sum of gammas that defines it (Polson et al. 2013, eq. 1), its tail at the mean
    rng = np.random.default_rng(1)
    k = np.arange(1, 301)
    rates = 2 * np.pi**2 * ((k - 0.5) ** 2 + c**2 / (4 * np.pi**2))
    sums = rng.exponential(size=(n, 300)) @ (1 / rates) + mean - (1 / rates).sum()
    assert stats.ks_2samp(draws, sums).pvalue > 1e-3


def test_polya_gamma_draws_are_finite_and_repeat_with_their_key():
    far = polya_gamma_draws(2_000.0)
    assert far.mean() == pytest.approx(1 / 4_000, rel=0.02)
    assert (far > 0).all()
    np.testing.assert_array_equal(polya_gamma_draws(1.0), polya_gamma_draws(1.0))
    assert not np.array_equal(polya_gamma_draws(1.0), polya_gamma_draws(1.0, seed=1))


@pytest.mark.parametrize("mu", [0.0, 1.3, -7.0])
@pytest.mark.parametrize("stddev", [1e-3, 0.4, 0.999, 1.0, 3.0, 40.0])
def test_averages_over_a_normal_logit_are_those_of_adaptive_quadrature(mu, stddev):
    def average(function):
        def density(a):
            return np.exp(-0.5 * ((a - mu) / stddev) ** 2) / (stddev * np.sqrt(2 * np.pi))

        points = [mu, 0.0, mu - 3 * stddev, mu + 3 * stddev, -5.0, 5.0]
        low, high = mu - 12 * stddev, mu + 12 * stddev
        inside = sorted({p for p in points if low < p < high})
        return integrate.quad(
            lambda a: function(a) * density(a), low, high, points=inside, limit=500,
            epsabs=1e-13, epsrel=1e-12,
        )[0]  # fmt: skip

    m, s = np.array([mu]), np.array([stddev])
    p = logistic_normal.mean_probability(m, s)[0]
    assert p == pytest.approx(average(special.expit), rel=1e-10, abs=1e-12)
    expected = average(lambda a: special.entr(special.expit(a)) + special.entr(special.expit(-a)))
    assert logistic_normal.mean_entropy(m, s)[0] == pytest.approx(expected, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("engine", ["em", "laplace", "gibbs"])
def test_predictions_average_over_the_posterior(engine):
    w, mass = on_grid()[3]
    x = np.array([[0.5, 0.2], [3.0, -3.0], [-4.0, 6.0]])
    probs = special.expit(w @ x.T)
    mean = mass @ probs
    entropies = mass @ stats.bernoulli(probs).entropy()
    predictive = fitted(engine).predict(x, draws=4_000)
    assert predictive.probs.shape == (3, 1)
    np.testing.assert_allclose(predictive.probs[:, 0], mean, atol=0.012)
    np.testing.assert_allclose(predictive.expected_entropy[:, 0], entropies, atol=0.02)
    np.testing.assert_allclose(
        predictive.entropy, predictive.expected_entropy + predictive.mutual_information, rtol=1e-6
    )
    truth = np.log(np.where([1, 0, 1], predictive.probs[:, 0], 1 - predictive.probs[:, 0]))
    np.testing.assert_allclose(predictive.log_prob([1, 0, 1]), truth, rtol=1e-5)


@pytest.mark.parametrize("engine", ["em", "laplace", pytest.param("gibbs", marks=pytest.mark.slow)])
def test_separable_data_stay_finite(engine):
    x = np.linspace(-2, 2, 20)[:, np.newaxis]
    y = (x[:, 0] > 0).astype(int)
    fit = tfbdl.fit(
        "logistic", (x, y), engine=engine, model_options={"alpha": 1e-2}, seed=1,
        engine_options={"gibbs": {"chains": 2, "draws": 50, "warmup": 50}}.get(engine, {}),
    )  # fmt: skip
    mean = fit.posterior.mean()["weights"]
    assert np.isfinite(mean).all()
    assert mean[0] > 1.0
    probs = fit.predict(x).probs[:, 0]
    assert ((probs > 0.5) == (y == 1)).all()
    assert ((probs > 0) & (probs < 1)).all()


@pytest.mark.parametrize("engine", ["em", "laplace"])
def test_posterior_and_predictions_are_the_same_after_save_and_load(engine, tmp_path):
    fit = tfbdl.fit(
        "logistic", "breast_cancer", engine=engine, model_options={"standardize": True},
        data_options={"test_fraction": 0.2}, out=tmp_path / "run",
    )  # fmt: skip
    loaded = tfbdl.load(tmp_path / "run")
    for name in ("mean", "covariance"):
        one, other = (getattr(f.posterior, name)()["weights"] for f in (fit, loaded))
        np.testing.assert_array_equal(one, other)
    x = np.random.default_rng(0).normal(size=(5, 30)) + 10.0
    np.testing.assert_array_equal(fit.predict(x).probs, loaded.predict(x).probs)
    assert 0.0 < fit.metrics["error"] < 0.08
    assert fit.metrics["nll"] < 0.2


def test_a_basis_bends_the_boundary():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = (x**2).sum(1) > 1.4
    plain = tfbdl.fit("logistic", (x, y), model_options={"alpha": 0.1})
    curved = tfbdl.fit(
        "logistic", (x, y), model_options={"alpha": 0.1, "basis": "polynomial", "degree": 2}
    )
    assert curved.posterior.mean()["weights"].shape == (5,)
    assert curved.metrics["train_error"] < 0.05 < 0.3 < plain.metrics["train_error"]


def test_labels_may_be_floats_or_names():
    x, y = problem()
    names = np.array(["no", "yes"])[y]
    plain, floats, named = (tfbdl.fit("logistic", (x, labels)) for labels in (y, 1.0 * y, names))
    for other in (floats, named):
        np.testing.assert_array_equal(other.model.mean_, plain.model.mean_)
    found = named.predict(x).log_prob(names)
    np.testing.assert_array_equal(found, plain.predict(x).log_prob(y))
    with pytest.raises(errors.DataError, match="class 'maybe', which the training data has not"):
        named.predict(x[:1]).log_prob(["maybe"])
    with pytest.raises(errors.DataError, match="Expected targets that are numbers"):
        plain.predict(x[:1]).log_prob(["yes"])
    # more rows are coded as those before, though one class is missing
    options = {"initial": "current", "steps": 50}
    more = tfbdl.fit(named.model, (x[:9], ["yes"] * 9), engine="em", engine_options=options)
    assert (more.predict(x).probs > named.predict(x).probs).mean() > 0.5
    assert more.info.class_names == ("no", "yes")


def test_a_fit_goes_on_from_its_posterior():
    first = fitted("em")
    again = tfbdl.fit(first.model, problem(), engine="em", engine_options={"initial": "current"})
    assert again.metrics["steps"] <= 3
    np.testing.assert_allclose(
        again.posterior.mean()["weights"], first.posterior.mean()["weights"], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(6) % 3, "Received: 3 labels: 0, 1, 2"),
        (np.arange(6) % 2 + 1, r"Received: 2 labels: 1, 2\. Recode them: \(y == 2\)"),
        (np.arange(6) % 2 * 2 - 1, r"Received: -1 .* Recode them, two classes by \(y > -1\)"),
        (np.linspace(0, 1, 6), "must be whole numbers 0, 1"),
        (np.eye(2, dtype=int)[np.arange(6) % 2], "two classes"),
    ],
)
@pytest.mark.parametrize("engine", ["em", "laplace", "gibbs"])
def test_labels_that_are_not_two_classes_are_refused(engine, y, message):
    with pytest.raises(errors.DataError, match=message):
        tfbdl.fit("logistic", (np.ones((6, 2)), y), engine=engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"m0": [0.0, 0.0]}, r"m0 must have the shape \[3\]"),
        ({"S0": [[1.0, 0.0], [0.0, 1.0]]}, r"S0 must have the shape \[3, 3\]"),
        ({"S0": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}, "eigenvalues above 0"),
        ({"S0": [[1.0]], "alpha": 2.0}, "give one"),
        ({"basis": "gaussian", "centers": "rows"}, "centers"),
        ({"alpha": 0.0}, "above 0"),
    ],
)
def test_priors_and_columns_that_do_not_fit_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        tfbdl.fit("logistic", problem(), model_options=options)


def test_weighted_rows_and_missing_labels_are_refused():
    x, y = problem()
    for engine in ("em", "laplace", "gibbs"):
        with pytest.raises(errors.DataError, match="sample_weight"):
            tfbdl.fit("logistic", (x, y, np.ones(len(x))), engine=engine)
    with pytest.raises(errors.DataError, match="needs labels"):
        tfbdl.fit("logistic", x)
    with pytest.raises(errors.OptionsError, match=r"'auto' .* or 'random'"):
        tfbdl.fit("logistic", (x, y), engine_options={"initial": "kmeans++"})
