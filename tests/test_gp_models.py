"""The models nngp and gp: ML-II, posteriors of hyperparameters, classes, options."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special, stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, ExpSineSquared, WhiteKernel
from tfbdl_nngp import GPRegressor, Kernel
from tfbdl_nngp.config import GPOptions
from tfbdl_nngp.families import WrittenFamily
from tfbdl_nngp.label_predictive import largest_probabilities

import tfbdl
from tfbdl import errors
from tfbdl.data import as_dataset
from tfbdl.posterior import Posterior

RNG = np.random.default_rng(0)
X = RNG.uniform(-3.0, 3.0, size=(40, 1))
Y = 2.0 + 3.0 * np.sin(2.0 * X[:, 0]) + 0.3 * RNG.normal(size=40)
NEW = np.linspace(-3.0, 3.0, 9)[:, np.newaxis]


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.fixture(scope="module")
def gp():
    return tfbdl.fit("gp", (X, Y), seed=0)


def test_ml_ii_finds_what_scikit_learn_finds(gp):
    kernel = ConstantKernel() * RBF() + WhiteKernel(0.1)
    theirs = GaussianProcessRegressor(kernel, alpha=0.0, n_restarts_optimizer=2, random_state=0)
    theirs.fit(standardised(X), standardised(Y))
    found = np.exp(theirs.kernel_.theta)
    ours = [float(gp.metrics[n]) for n in ("variance", "length_scale", "noise")]
    np.testing.assert_allclose(ours, found, rtol=1e-3)  # both stop where the slope is small
    evidence = theirs.log_marginal_likelihood_value_ - len(Y) * np.log(Y.std())
    assert gp.metrics["log_evidence"] == pytest.approx(evidence, abs=1e-5)


def test_predictions_are_those_of_the_regressor_in_the_units_of_the_targets(gp):
    kernel = WrittenFamily(GPOptions(), 1).at(
        {n: gp.metrics[n] for n in ("variance", "length_scale")}
    )
    by_hand = GPRegressor(kernel, gp.metrics["noise"]).fit(standardised(X), standardised(Y))
    scaled = (NEW - X.mean(axis=0)) / X.std(axis=0)
    expected, p = by_hand.predict(scaled), gp.predict(NEW)
    np.testing.assert_allclose(p.mean, Y.mean() + Y.std() * expected.mean, rtol=1e-9)
    np.testing.assert_allclose(p.epistemic, Y.var() * expected.epistemic, rtol=1e-9)
    np.testing.assert_allclose(p.aleatoric, Y.var() * gp.metrics["noise"], rtol=1e-9)
    # the noise of the simulation is 0.3: its estimate from 40 rows has a relative error of 1 / 9
    assert 0.2 < np.sqrt(p.aleatoric[0, 0]) < 0.4


def test_posterior_of_f_at_the_rows_is_the_prediction_there(gp):
    p = gp.predict(X)
    np.testing.assert_allclose(gp.posterior.mean()["f"], p.mean[:, 0], rtol=1e-8)
    np.testing.assert_allclose(gp.posterior.stddev()["f"], np.sqrt(p.epistemic[:, 0]), rtol=1e-6)
    covariance = gp.posterior.covariance()["f"]
    draws = gp.posterior.sample(20_000, seed=1)["f"]
    spread = np.diag(covariance)
    bound = 5.0 * np.sqrt((np.outer(spread, spread) + covariance**2) / 20_000)
    np.testing.assert_array_less(abs(np.cov(draws.T) - covariance), bound)


def test_fixed_hyperparameters_stay_and_evidence_is_a_density():
    options = {"fixed": {"variance": 1.0, "length_scale": 0.5}, "noise": 0.2, "standardize": False}
    fit = tfbdl.fit("gp", (X, Y), model_options=options)
    K = np.exp(-2.0 * (X - X.T) ** 2)
    expected = stats.multivariate_normal.logpdf(Y, np.zeros(40), K + 0.2 * np.eye(40))
    assert fit.metrics["log_evidence"] == pytest.approx(expected, abs=1e-8)
    assert set(fit.model.params) == {"x", "y"}


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("rbf + linear * constant", lambda a, b: np.exp(-0.5 * ((a - b) / 0.7) ** 2) + a * b),
        (
            "periodic",
            lambda a, b: ExpSineSquared(0.7, 1.3)(a[:, :1], b.T[:, :1]),
        ),
        ("matern12", lambda a, b: np.exp(-abs(a - b) / 0.7)),
        (
            "matern32",
            lambda a, b: (1 + 3**0.5 * abs(a - b) / 0.7) * np.exp(-(3**0.5) * abs(a - b) / 0.7),
        ),
        (
            "rational_quadratic",
            lambda a, b: (1 + 0.5 * ((a - b) / 0.7) ** 2 / 1.9) ** -1.9,
        ),
    ],
)
def test_written_kernels_are_their_formulas(text, theirs):
    values = {"length_scale": 0.7, "period": 1.3, "mixture": 1.9, "variance": 1.0}
    values |= {"length_scale_2": 1.0, "variance_2": 1.0}
    family = WrittenFamily(GPOptions(kernel=text), 1)
    kernel = family.at({h.name: values[h.name] for h in family.free})
    a = X[:6]
    expected = theirs(np.repeat(a, 6, axis=1), np.repeat(a, 6, axis=1).T)
    np.testing.assert_allclose(kernel.matrix(a), expected, atol=1e-9)
    np.testing.assert_allclose(kernel.diagonal(a), np.diag(expected), atol=1e-9)


def test_ard_finds_the_input_that_matters():
    x = RNG.normal(size=(60, 2))
    y = np.sin(2.0 * x[:, 0]) + 0.05 * RNG.normal(size=60)
    fit = tfbdl.fit("gp", (x, y), model_options={"ard": True})
    first, second = fit.model.length_scale_
    assert second > 10.0 * first


# -- nngp ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nngp():
    x = RNG.normal(size=(30, 3))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1) + 0.1 * RNG.normal(size=(30, 2))
    fit = tfbdl.fit("nngp", (x, y), model_options={"depth": 2, "activation": "erf"})
    return x, y, fit


def evidence_by_hand(x, y, weight, bias, noise):
    """With the arcsine kernels of two hidden layers of erf."""
    inputs = standardised(x)
    K = bias + weight * inputs @ inputs.T / x.shape[1]
    for _ in range(2):
        scale = np.sqrt(np.outer(1.0 + 2.0 * np.diag(K), 1.0 + 2.0 * np.diag(K)))
        K = bias + weight * 2.0 / np.pi * np.arcsin(2.0 * K / scale)
    columns, A = standardised(y).T, K + noise * np.eye(len(x))
    total = sum(stats.multivariate_normal.logpdf(c, np.zeros(len(x)), A) for c in columns)
    return total - len(x) * np.log(y.std(axis=0)).sum()


def test_network_hyperparameters_are_where_the_evidence_is_largest(nngp):
    x, y, fit = nngp
    names = ("weight_variance", "bias_variance", "noise")
    best = np.array([fit.metrics[name] for name in names])
    top = evidence_by_hand(x, y, *best)
    assert fit.metrics["log_evidence"] == pytest.approx(top, abs=1e-7)
    start = np.log([1.5, 0.1, 0.1])
    other = optimize.minimize(
        lambda t: -evidence_by_hand(x, y, *np.exp(t)), start, method="Nelder-Mead"
    )
    assert top >= -other.fun - 1e-3


def test_log_joint_is_prior_times_evidence(nngp):
    x, y, fit = nngp
    params = {"weight_variance": 2.0, "bias_variance": 0.3, "noise": 0.2}
    state = {name: tf.constant(value, tf.float64) for name, value in params.items()}
    centres = {"weight_variance": 1.5, "bias_variance": 0.1, "noise": 0.1}
    prior = sum(stats.lognorm.logpdf(params[n], 1.0, scale=centres[n]) for n in params)
    expected = prior + evidence_by_hand(x, y, 2.0, 0.3, 0.2) + 30 * np.log(y.std(axis=0)).sum()
    # a jitter of 1e-9 of the diagonal
    assert float(fit.model.log_joint(state, (x, y))) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def grid():
    """The posterior of the length scale, all else fixed: a sum over a grid of its logarithm."""
    values, x, y = np.exp(np.linspace(-3.0, 2.0, 400)), standardised(X), standardised(Y)
    logs = []
    for scale in values:
        K = np.exp(-0.5 * ((x - x.T) / scale) ** 2) + 0.04 * np.eye(40)
        log_prior = stats.norm.logpdf(np.log(scale))  # of the logarithm, in which it is even
        logs.append(stats.multivariate_normal.logpdf(y, np.zeros(40), K) + log_prior)
    weights = special.softmax(logs)
    mean = weights @ values
    return mean, np.sqrt(weights @ (values - mean) ** 2)


ONE_UNKNOWN = {"fixed": {"variance": 1.0}, "noise": 0.04}


@pytest.mark.slow
def test_laplace_gives_draws_by_which_predictions_are_averaged(grid, tmp_path):
    fit = tfbdl.fit(
        "gp", (X, Y), engine="laplace", model_options=ONE_UNKNOWN, seed=1, out=tmp_path / "run"
    )
    # a normal of the logarithm for a law that leans: the mean is off by parts of a deviation
    assert fit.posterior.mean()["length_scale"] == pytest.approx(grid[0], abs=0.5 * grid[1])
    assert fit.posterior.stddev()["length_scale"] == pytest.approx(grid[1], rel=0.3)
    p = fit.predict(NEW, draws=20)
    states = fit.posterior.sample(20, 0)["length_scale"]
    scaled, x, y = (NEW - X.mean()) / X.std(), standardised(X), standardised(Y)
    means = [
        np.exp(-0.5 * ((scaled - x.T) / s) ** 2)
        @ np.linalg.solve(np.exp(-0.5 * ((x - x.T) / s) ** 2) + 0.04 * np.eye(40), y)
        for s in states
    ]
    np.testing.assert_allclose(p.mean[:, 0], Y.mean() + Y.std() * np.mean(means, axis=0), rtol=1e-6)
    assert (p.epistemic > Y.var() * np.var(means, axis=0)[:, np.newaxis]).all()
    loaded = tfbdl.load(tmp_path / "run").predict(NEW, draws=20)
    np.testing.assert_array_equal(loaded.mean, p.mean)
    low, high = p.interval(0.9)
    assert (low < p.mean).all()
    assert (p.mean < high).all()


def test_rows_that_samplers_are_shown_take_the_place_of_those_before():
    model = tfbdl.build("gp", (X, Y))
    data = as_dataset((X, Y))
    model.condition(data)
    model.observe(data)
    assert set(model.params) == {"x", "y"}
    np.testing.assert_array_equal(model.x_, np.asarray(data.x, "float64"))  # once, not twice


@pytest.mark.slow
def test_nuts_draws_hyperparameters_from_their_posterior(grid):
    engine = {"chains": 2, "warmup": 200, "draws": 400}
    fit = tfbdl.fit(
        "gp", (X, Y), engine="nuts", model_options=ONE_UNKNOWN, engine_options=engine, seed=1
    )
    summary = fit.posterior.summary().loc["length_scale"]
    error = 4.0 / np.sqrt(float(summary["ess_bulk"]))  # four standard errors
    assert abs(summary["mean"] - grid[0]) < error * grid[1]
    assert summary["sd"] == pytest.approx(grid[1], rel=error)


# -- classes ------------------------------------------------------------------------------------


def test_probabilities_are_those_of_the_largest_of_normals():
    mean = np.array([[0.0, 0.5, -0.2], [1.0, 1.0, 1.0]])
    variance = np.array([[1.0, 0.3, 2.0], [0.4, 0.4, 0.4]])
    found = largest_probabilities(mean, variance)
    draws = mean + np.sqrt(variance) * RNG.normal(size=(200_000, 2, 3))
    counts = np.stack([(draws.argmax(axis=2) == c).mean(axis=0) for c in range(3)], axis=1)
    error = np.sqrt(0.25 / 200_000)
    np.testing.assert_allclose(found, counts, atol=5.0 * error)
    np.testing.assert_allclose(found[1], 1.0 / 3.0, atol=1e-4)


def test_classes_are_regressed_on_their_labels():
    x = RNG.normal(size=(60, 2))
    labels = np.array(["a", "b", "c"])[np.argmax(x @ RNG.normal(size=(2, 3)), axis=1)]
    fit = tfbdl.fit("nngp", (x, labels), model_options={"depth": 1})
    codes = np.unique(labels, return_inverse=True)[1]
    targets = np.eye(3)[codes] - 1.0 / 3.0
    kernel = Kernel.mlp(1, "relu", fit.metrics["weight_variance"], fit.metrics["bias_variance"])
    by_hand = GPRegressor(kernel, fit.metrics["noise"]).fit(standardised(x), targets)
    p = fit.predict(x)
    # the largest mean wins unless variances differ, which they do not between classes
    np.testing.assert_array_equal(p.probs.argmax(axis=1), by_hand.mean(standardised(x)).argmax(1))
    assert fit.metrics["train_error"] < 0.1
    np.testing.assert_allclose(p.probs.sum(axis=1), 1.0)
    assert (p.mutual_information >= 0.0).all()
    far = fit.predict(np.array([[40.0, -40.0]]))
    assert far.probs.shape == (1, 3)


def test_classes_under_draws_of_hyperparameters_are_averages():
    labels = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-1.0, 1.0])]
    model = tfbdl.build("gp", (X, labels))
    model.observe(as_dataset((X, labels)))
    draws = RNG.lognormal(size=(3, 1, 5))
    names = ("variance", "length_scale", "noise")
    model.adopt(Posterior(dict(zip(names, draws, strict=True))))
    p = model.predictive(NEW, draws=5)
    np.testing.assert_allclose(p.probs.sum(axis=1), 1.0)
    assert (p.expected_entropy <= p.entropy + 1e-12).all()  # entropy is concave
    assert (p.mutual_information > 1e-4).any()


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "rbf + perodic"}, r"'perodic'\. Did you mean 'periodic'\?"),
        ({"kernel": "rbf *"}, "no kernel is named ''"),
        ({"fixed": {"lengthscale": 1.0}}, "no hyperparameter 'lengthscale'. Did you mean 'length_"),
        ({"fixed": {"length_scale": -1.0}}, "length_scale must be above 0"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_options_that_are_none_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        tfbdl.fit("gp", (X, Y), model_options=options)


def test_mini_batches_and_weights_are_refused():
    with pytest.raises(errors.DataError, match="needs all 40 rows at once"):
        tfbdl.fit("gp", (X, Y), engine="variational", engine_options={"batch_size": 8, "steps": 2})
    with pytest.raises(errors.DataError, match="sample_weight"):
        tfbdl.fit("gp", (X, Y, np.ones(40)))


def test_a_search_without_an_end_is_named():
    flat = np.ones(20)
    with pytest.warns(errors.TfbdlWarning, match="evidence still rose where the search ended"):
        tfbdl.fit("gp", (X[:20], flat))


def test_a_length_scale_that_vanishes_is_named():
    rough = RNG.normal(size=30)
    with pytest.warns(errors.TfbdlWarning, match="length_scale"):
        tfbdl.fit("gp", (X[:30], rough), model_options={"noise": 0.0})
