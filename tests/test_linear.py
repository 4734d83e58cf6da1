"""Linear regressions: closed forms against enumeration by scipy, scikit-learn and samplers."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ARDRegression, BayesianRidge

import tfbdl
from tfbdl import diagnostics, errors, random
from tfbdl.data import as_dataset


def simulated(n=30, m=4, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, m)) + 0.5
    return x, x @ rng.normal(size=m) + noise * rng.normal(size=n) + 2.0


def closed(x, y, model="linear", **options):
    return tfbdl.fit(model, (x, y), engine="exact", model_options=options)


def mvn_evidence(phi, t, alpha, beta):
    """log N(t | 0, I / beta + Phi Phi' / alpha); alpha a number or one for each column."""
    covariance = np.eye(len(t)) / beta + (phi / alpha) @ phi.T
    return stats.multivariate_normal.logpdf(t, np.zeros(len(t)), covariance)


def standardised_diabetes():
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), (y - y.mean()) / y.std()


# -- linear: posterior, evidence, predictive -----------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(30, 4), (6, 15), (5, 5)])
def test_evidence_is_the_density_of_the_targets(n, m):
    x, y = simulated(n, m)
    fit = closed(x, y, alpha=0.7, beta=3.0, intercept=False)
    assert fit.metrics["log_evidence"] == pytest.approx(mvn_evidence(x, y, 0.7, 3.0), abs=1e-8)


@pytest.mark.parametrize(("n", "m"), [(30, 4), (6, 15)])
def test_posterior_and_predictive_are_those_of_the_textbook(n, m):
    x, y = simulated(n, m)
    rng = np.random.default_rng(1)
    root, m0 = rng.normal(size=(m, m)), rng.normal(size=m)
    S0 = root @ root.T + np.eye(m)
    fit = closed(x, y, beta=3.0, m0=m0, S0=S0, intercept=False)
    SN = np.linalg.inv(np.linalg.inv(S0) + 3.0 * x.T @ x)
    mN = SN @ (np.linalg.solve(S0, m0) + 3.0 * x.T @ y)
    np.testing.assert_allclose(fit.posterior.mean()["weights"], mN, atol=1e-9)
    np.testing.assert_allclose(fit.posterior.covariance()["weights"], SN, atol=1e-9)
    evidence = stats.multivariate_normal.logpdf(y, x @ m0, np.eye(n) / 3.0 + x @ S0 @ x.T)
    assert fit.metrics["log_evidence"] == pytest.approx(evidence, abs=1e-8)
    new = rng.normal(size=(7, m))
    p = fit.predict(new)
    spread = np.einsum("ij,jk,ik->i", new, SN, new)
    np.testing.assert_allclose(p.mean[:, 0], new @ mN, atol=1e-9)
    np.testing.assert_allclose(p.epistemic[:, 0], spread, atol=1e-9)
    np.testing.assert_allclose(p.aleatoric, 1.0 / 3.0)
    np.testing.assert_allclose(
        p.log_prob(np.ones(7)), stats.norm.logpdf(1.0, new @ mN, np.sqrt(1 / 3 + spread)), atol=1e-9
    )
    np.testing.assert_allclose(
        p.quantile(0.9)[:, 0], stats.norm.ppf(0.9, new @ mN, np.sqrt(1 / 3 + spread)), atol=1e-6
    )
    draws = fit.posterior.sample(40_000, seed=3)["weights"]
    # standard errors of the mean and of a variance at 40,000 draws, five of each
    np.testing.assert_array_less(abs(draws.mean(axis=0) - mN), 5 * np.sqrt(np.diag(SN) / 40_000))
    np.testing.assert_allclose(np.var(draws, axis=0), np.diag(SN), rtol=5 * np.sqrt(2 / 40_000))


@pytest.mark.parametrize("options", [{}, {"noise_prior": "gamma"}, {"intercept": False}])
def test_rows_in_turn_are_rows_at_once(options):
    x, y = simulated()
    whole = closed(x, y, **options)
    parts = tfbdl.fit(
        "linear", (x, y), engine_options={"batch_size": 7}, model_options=options
    )  # batches with fewer rows than columns on the way
    first = closed(x[:11], y[:11], **options)
    later = tfbdl.fit(
        first.model, (x[11:], y[11:]), engine="exact", engine_options={"initial": "current"}
    )
    for other in (parts, later):
        for name, value in whole.posterior.mean().items():
            np.testing.assert_allclose(other.posterior.mean()[name], value, rtol=1e-9)
            found = other.posterior.covariance()[name]
            np.testing.assert_allclose(found, whole.posterior.covariance()[name], rtol=1e-8)
        for name in ("log_evidence", "alpha", "beta", "gamma"):
            assert other.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-9)
    assert first.model.count_ == 11  # the given model stayed as it was


@pytest.mark.parametrize("intercept", [True, False])
def test_precisions_by_evidence_are_those_of_bayesian_ridge(intercept):
    x, y = standardised_diabetes()
    fit = closed(x, y, intercept=intercept)
    expected = {"alpha": 30.042775, "beta": 2.0222064, "log_evidence": -485.776330}
    for name, value in (expected | {"gamma": 8.57929}).items():
        assert fit.metrics[name] == pytest.approx(value, rel=1e-6)
    none = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0, "tol": 1e-12}
    ridge = BayesianRidge(**none, max_iter=5000).fit(x + 3.0, y + 1.0)
    shifted = closed(x + 3.0, y + 1.0)
    np.testing.assert_allclose(shifted.posterior.mean()["weights"], ridge.coef_, atol=1e-7)
    assert shifted.posterior.mean()["intercept"] == pytest.approx(ridge.intercept_, abs=1e-7)
    assert shifted.metrics["alpha"] == pytest.approx(ridge.lambda_, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(40, 5), (12, 20)])
def test_the_evidence_is_stationary_at_its_fixed_point(n, m):
    x, y = simulated(n, m, noise=1.0)
    fit = closed(x, y, intercept=False)
    at = np.log([fit.metrics["alpha"], fit.metrics["beta"]])
    for step in 1e-4 * np.eye(2):
        up, down = (mvn_evidence(x, y, *np.exp(at + sign * step)) for sign in (1, -1))
        assert abs(up - down) / 2e-4 < 1e-5  # rounding of two densities, over the step
        assert max(up, down) < mvn_evidence(x, y, *np.exp(at))


def dense_evidence(x, y, alpha, beta):
    """The evidence of centred targets, of pairs of precisions: ``[g]``."""
    phi, t = x - x.mean(axis=0), y - y.mean()
    values, vectors = np.linalg.eigh(phi @ phi.T)
    energy = (vectors.T @ t) ** 2
    variance = 1.0 / beta[:, None] + np.maximum(values, 0.0) / alpha[:, None]
    return stats.norm.logpdf(np.sqrt(energy), 0.0, np.sqrt(variance)).sum(axis=1)


@pytest.mark.parametrize("given", [{}, {"alpha": 0.3}, {"beta": 40.0}])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_precisions_on_a_grid_have_a_larger_evidence(given, seed):
    # raw powers up to 6 on [0, 5]: the evidence has several maxima
    x = np.linspace(0.0, 5.0, 60)
    y = np.sin(x) + 0.1 * np.random.default_rng(seed).normal(size=60)
    powers = x[:, None] ** np.arange(1, 7)
    fit = closed(x[:, None], y, basis="polynomial", degree=6, **given)
    grids = [
        np.exp(np.linspace(-25.0, 25.0, 201)) if name not in given else np.array([given[name]])
        for name in ("alpha", "beta")
    ]
    alpha, beta = (part.ravel() for part in np.meshgrid(*grids))
    best = dense_evidence(powers, y, alpha, beta).max()
    assert best - 1e-5 < fit.metrics["log_evidence"] < best + 0.2  # of a grid of steps of 1/4


@pytest.mark.parametrize("ratio", [1e8, 1e12, 1e14, 1e16, 1e20])
@pytest.mark.parametrize("rows", [30, 3])
def test_what_is_not_known_keeps_its_digits_at_any_ratio_of_precisions(ratio, rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5))
    scale = np.sqrt(ratio)
    fit = closed(scale * x, rng.normal(size=rows), alpha=1.0, beta=1.0, intercept=False)
    # phi' S_N phi at the rows themselves: eigenvalues k / (k + 1 / ratio) of the hat matrix
    values, vectors = np.linalg.eigh(x @ x.T)
    share = np.where(values > 1e-9, values / (values + 1.0 / ratio), 0.0)
    expected = (vectors**2 * share).sum(axis=1)
    np.testing.assert_allclose(fit.predict(scale * x).epistemic[:, 0], expected, rtol=1e-9)
    assert np.isfinite(fit.predict(scale * x).sample(3)).all()


def test_the_evidence_counts_all_centred_rows_whatever_the_columns():
    for rows, columns in ((30, 4), (6, 15)):
        x, y = simulated(rows, columns)
        phi, t = x - x.mean(axis=0), y - y.mean()
        fit = closed(x, y, alpha=0.7, beta=3.0)
        assert fit.metrics["log_evidence"] == pytest.approx(mvn_evidence(phi, t, 0.7, 3.0))
    # the engine laplace integrates over the intercept too
    mode = tfbdl.fit("linear", (x, y), engine="laplace", model_options={"alpha": 0.7, "beta": 3.0})
    more = 0.5 * np.log(2.0 * np.pi / (6 * 3.0))
    assert mode.metrics["log_evidence"] == pytest.approx(fit.metrics["log_evidence"] + more)


def test_one_precision_given_leaves_the_other_to_the_evidence():
    x, y = simulated(noise=1.0)
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        fit = closed(x, y, intercept=False, **{name: 0.5})
        assert fit.metrics[name] == 0.5

        def evidence(log_value, fit=fit, other=other):
            given = fit.metrics | {other: np.exp(log_value)}
            return mvn_evidence(x, y, given["alpha"], given["beta"])

        at = np.log(fit.metrics[other])
        assert abs(evidence(at + 1e-4) - evidence(at - 1e-4)) / 2e-4 < 1e-5


def test_normal_gamma_evidence_and_predictive_are_student_t():
    x, y = simulated(9, 3)
    options = {"alpha": 0.8, "noise_prior": "gamma", "c0": 2.0, "d0": 1.5, "intercept": False}

    def evidence(x, y):  # t ~ St(0, d0 / c0 (I + Phi Phi' / alpha), 2 c0)
        shape = 1.5 / 2.0 * (np.eye(len(y)) + x @ x.T / 0.8)
        return stats.multivariate_t.logpdf(y, np.zeros(len(y)), shape, df=4.0)

    fit = closed(x, y, **options)
    assert fit.metrics["log_evidence"] == pytest.approx(evidence(x, y), abs=1e-9)
    new, target = np.array([[0.3, -1.0, 2.0]]), np.array([0.7])
    both = evidence(np.concatenate([x, new]), np.concatenate([y, target]))
    found = fit.predict(new)
    assert found.log_prob(target)[0] == pytest.approx(both - evidence(x, y), abs=1e-8)
    beta = fit.posterior.sample(40_000, seed=1)["beta"]
    mean, variance = fit.posterior.mean()["beta"], fit.posterior.covariance()["beta"][0, 0]
    assert abs(beta.mean() - mean) < 5 * np.sqrt(variance / 40_000)
    assert found.aleatoric[0, 0] == pytest.approx(np.mean(1.0 / beta), rel=0.03)
    x, y = simulated(30, 3)
    free = closed(x, y, **(options | {"alpha": None}))
    around = [
        closed(x, y, **(options | {"alpha": free.metrics["alpha"] * f})) for f in (0.99, 1.01)
    ]
    assert all(one.metrics["log_evidence"] < free.metrics["log_evidence"] for one in around)


def test_constant_and_equal_columns_do_no_harm():
    x, y = simulated()
    bad = np.column_stack([x, np.full(len(x), 7.3), x[:, 0]])
    with pytest.warns(errors.TfbdlWarning, match="Columns do not vary .* prior: 4"):
        fit = closed(bad, y)
    mean, sd = fit.posterior.mean()["weights"], fit.posterior.stddev()["weights"]
    assert mean[4] == pytest.approx(0.0, abs=1e-12)
    assert sd[4] == pytest.approx(fit.metrics["alpha"] ** -0.5)
    assert mean[0] == pytest.approx(mean[5], abs=1e-9)  # they share the weight
    SN = np.linalg.inv(
        fit.metrics["alpha"] * np.eye(6)
        + fit.metrics["beta"] * (bad - bad.mean(0)).T @ (bad - bad.mean(0))
    )
    np.testing.assert_allclose(fit.posterior.covariance()["weights"], SN, atol=1e-9)


def test_several_targets_share_the_covariance():
    x, y = simulated()
    both = closed(x, np.column_stack([y, y + x[:, 0]]), alpha=0.7, beta=3.0)
    for j, target in enumerate((y, y + x[:, 0])):
        one = closed(x, target, alpha=0.7, beta=3.0)
        np.testing.assert_allclose(both.posterior.mean()["weights"][:, j], one.model.weights_)
        np.testing.assert_allclose(both.predict(x).mean[:, j], one.predict(x).mean[:, 0])
        np.testing.assert_allclose(
            both.posterior.covariance()["weights"][j::2, j::2],
            one.posterior.covariance()["weights"],
        )
    separate = [closed(x, t, alpha=0.7, beta=3.0) for t in (y, y + x[:, 0])]
    total = sum(one.metrics["log_evidence"] for one in separate)
    assert both.metrics["log_evidence"] == pytest.approx(total, abs=1e-9)


def test_the_evidence_of_polynomials_is_largest_at_a_cubic():
    x = np.linspace(-1.0, 1.0, 25)
    for seed in range(3):
        y = np.sin(np.pi * x) + 0.3 * np.random.default_rng(seed).normal(size=25)
        found = np.array(
            [
                closed(
                    np.vander(x, order + 1, increasing=True), y,
                    alpha=5e-3, beta=11.1, intercept=False,
                ).metrics["log_evidence"]
                for order in range(8)
            ]
        )  # fmt: skip
        assert found.argmax() == 3
        assert found[2] < found[1]  # an even power says nothing of an odd function
        assert (np.diff(found[3:]) < 0).all()  # and each power beyond costs


def test_the_example_draws_the_evidence(tmp_path):
    path = Path(__file__).parents[1] / "examples" / "evidence.py"
    spec = importlib.util.spec_from_file_location("evidence_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(tmp_path / "evidence.png")["order"] == 3
    assert 10_000 < (tmp_path / "evidence.png").stat().st_size < 150_000


def test_a_fit_without_noise_or_signal_says_so():
    x, y = simulated(noise=0.0)
    with pytest.warns(errors.TfbdlWarning, match="noise vanishes"):
        exact = closed(x, y)
    np.testing.assert_allclose(exact.predict(x).mean[:, 0], y, atol=1e-4)
    rng = np.random.default_rng(3)
    z = rng.normal(size=(50, 1))
    y = rng.normal(size=50)
    unrelated = y - z[:, 0] * ((z[:, 0] - z.mean()) @ y) / ((z[:, 0] - z.mean()) @ z[:, 0])
    with pytest.warns(errors.TfbdlWarning, match="all weights at zero"):
        none = closed(z, unrelated)
    assert abs(none.posterior.mean()["weights"][0]) < 1e-6
    with pytest.warns(errors.TfbdlWarning, match="targets do not vary"):
        flat = closed(x, np.full(len(x), 2.5))
    np.testing.assert_allclose(flat.predict(x).mean, 2.5)


@pytest.mark.parametrize(
    ("model", "held"),
    [("linear", "vary, so that"), ("ard", "vary, so that"), ("linear_full", "vary: alpha")],
)
def test_no_model_is_sure_of_targets_that_do_not_vary(model, held):
    x, _ = simulated()
    with pytest.warns(errors.TfbdlWarning, match=f"targets do not {held}"):
        fit = tfbdl.fit(model, (x, np.full(len(x), 2.5)))
    if model != "linear_full":  # beta stays at one
        assert fit.metrics["log_evidence"] < 0.0
        assert (fit.predict(x).variance > 1.0).all()
    fits = "columns fit the targets exactly"
    with pytest.warns(errors.TfbdlWarning, match=fits):
        tfbdl.fit(model, (x, x @ np.ones(4)))


@pytest.mark.filterwarnings("ignore::tfbdl.errors.TfbdlWarning")
@pytest.mark.parametrize(
    ("model", "options"),
    [("linear", {"noise_prior": "gamma"}), ("linear_full", {}), ("ard", {}), ("linear", {})],
)
def test_a_sequence_may_begin_with_one_row(model, options):
    x, y = simulated()
    for rows in (1, 2):
        fit = tfbdl.fit(model, (x[:rows], y[:rows]), model_options=options)
        assert 1e-6 < fit.metrics["beta"] < 1e4  # nothing is certain
        p = fit.predict(x)
        assert np.isfinite(p.log_prob(y)).all()
        assert not np.isnan(p.variance).any()
        if options or model == "linear_full":
            assert np.isinf(p.variance).all()
            if rows == 2:  # a Cauchy distribution
                np.testing.assert_allclose(p.quantile(0.5), p.mean)
                width = p.quantile(0.75) - p.mean
                np.testing.assert_allclose(p.quantile(0.9) - p.mean, width * 3.0776835, rtol=1e-5)


def test_rows_too_few_for_a_variance_say_so():
    with pytest.warns(errors.TfbdlWarning, match="The 2 rows so far leave the variance"):
        fit = closed(X[:2], Y[:2], noise_prior="gamma", alpha=1.0)
    assert "train_epistemic_share" not in fit.metrics
    with pytest.warns(errors.TfbdlWarning, match="too few to tell weights from noise"):
        closed(X[:2], Y[:2])


@pytest.mark.parametrize("model", ["linear", pytest.param("linear_full", marks=pytest.mark.slow)])
def test_laplace_finds_the_mode_of_the_data_or_says_that_there_is_none(model):
    x, y = simulated(50, 3)
    exact = closed(x, y)
    fit = tfbdl.fit(model, (x, y), engine="laplace", engine_options={"restarts": 3})
    np.testing.assert_allclose(
        fit.posterior.mean()["weights"],
        exact.posterior.mean()["weights"],
        atol=0.3 * exact.posterior.stddev()["weights"].min(),
    )
    noise = np.random.default_rng(0).normal(size=50)
    with pytest.warns(errors.TfbdlWarning, match="alpha = .* is held by its prior alone"):
        tfbdl.fit(model, (x, noise), engine="laplace")


def test_constant_columns_are_named_after_many_batches():
    from tfbdl_linear import roots

    rng, root = np.random.default_rng(0), None
    for _ in range(300):  # rounding adds up to 1.5e-13 of the column's length
        rows = np.column_stack([rng.normal(size=(1000, 2)), np.full(1000, 7.3)])
        root = roots.absorb(root, rows, rng.normal(size=(1000, 1)))
    parts = roots.parts(root, 3, intercept=True, count=300_000.0)
    assert roots.constant_columns(parts, 300_000.0, intercept=True)[0].endswith("prior: 2.")
    x, y = simulated(40, 2, noise=1.0)
    x = np.column_stack([x, np.full(40, 1e3 / 7.0)])
    with pytest.warns(errors.TfbdlWarning, match="do not vary .* prior: 2"):
        tfbdl.fit("linear", (x, y), engine_options={"batch_size": 7})


def test_whole_numbers_are_targets_like_others():
    x, y = simulated()
    y = np.round(y).astype(int)
    as_given, as_floats = closed(x, y), closed(x, y.astype(float))
    np.testing.assert_array_equal(as_given.model.weights_, as_floats.model.weights_)
    with pytest.raises(errors.DataError, match=r"targets that are numbers.*Received: classes"):
        tfbdl.fit("linear", (x, y - y.min()), data_options={"task": "classification"})
    later = tfbdl.fit(as_given.model, (x, y), engine_options={"initial": "current"})
    assert later.model.count_ == 60


@pytest.mark.slow
def test_nuts_gives_the_moments_of_the_closed_form():
    x, y = simulated(12, 2)
    options = {"alpha": 0.7, "beta": 3.0}
    exact = closed(x, y, **options)
    mean, sd = exact.posterior.mean(), exact.posterior.stddev()
    nuts = tfbdl.fit(
        "linear", (x, y), engine="nuts", model_options=options,
        engine_options={"chains": 2, "warmup": 300, "draws": 1000},
    )  # fmt: skip
    for name, draws in nuts.posterior.draws.items():
        assert (abs(draws.mean((0, 1)) - mean[name]) < 5 * diagnostics.mcse_mean(draws)).all()
        np.testing.assert_allclose(draws.std((0, 1)), sd[name], rtol=0.12)
    np.testing.assert_allclose(
        nuts.predict(x[:3], draws=2000).variance, exact.predict(x[:3]).variance, rtol=0.1
    )


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["point", "gamma"])
def test_full_rank_variational_inference_finds_the_closed_form(noise):
    x, y = simulated(20, 3)
    options = {"alpha": 0.7} | ({"beta": 3.0} if noise == "point" else {"noise_prior": "gamma"})
    exact = closed(x, y, **options).posterior
    fit = tfbdl.fit(
        "linear", (x, y), engine="variational", model_options=options,
        engine_options={
            "posterior": "full_rank", "steps": 6000, "learning_rate": 0.02, "schedule": "cosine",
        },
    )  # fmt: skip
    tolerance = 0.05 if noise == "point" else 0.2  # a log-normal stands in for the gamma
    for name, value in exact.mean().items():
        sd = exact.stddev()[name]
        assert (abs(fit.posterior.mean()[name] - value) < tolerance * sd).all()
        np.testing.assert_allclose(fit.posterior.stddev()[name], sd, rtol=tolerance)


# -- linear_full ---------------------------------------------------------------------------------

HYPER = {"a0": 2.0, "b0": 1.0, "c0": 2.0, "d0": 0.5}


def by_quadrature(x, y):
    """log evidence, and mean and variance of each weight, by a sum over both precisions."""
    log_alpha, log_beta = np.linspace(-6, 4, 50), np.linspace(-1, 4, 50)
    phi = x
    terms, means, seconds = [], [], []
    for a in np.exp(log_alpha):
        for b in np.exp(log_beta):
            prior = stats.gamma.logpdf(a, 2.0, scale=1.0) + stats.gamma.logpdf(b, 2.0, scale=2.0)
            S = np.linalg.inv(a * np.eye(phi.shape[1]) + b * phi.T @ phi)
            mean = b * S @ phi.T @ y
            terms.append(mvn_evidence(phi, y, a, b) + prior + np.log(a) + np.log(b))
            means.append(mean)
            seconds.append(np.diag(S) + mean**2)
    terms = np.array(terms)
    cell = (log_alpha[1] - log_alpha[0]) * (log_beta[1] - log_beta[0])
    edge = np.ones((50, 50), bool)
    edge[1:-1, 1:-1] = False
    assert terms.reshape(50, 50)[edge].max() < terms.max() - 7.0  # the grid holds the mass
    weights = np.exp(terms - terms.max())
    evidence = terms.max() + np.log(weights.sum() * cell)
    weights /= weights.sum()
    mean = weights @ np.array(means)
    return evidence, mean, weights @ np.array(seconds) - mean**2


def test_vb_climbs_below_the_evidence_and_near_the_posterior():
    x, y = simulated(25, 2)
    y = y - 2.0
    fit = tfbdl.fit(
        "linear_full", (x, y), model_options={**HYPER, "intercept": False},
        engine_options={"steps": 50, "tolerance": 1e-12},
    )  # fmt: skip
    evidence, mean, variance = by_quadrature(x, y)
    trace = np.array(fit.history["elbo"])
    assert (np.diff(trace) > -1e-9).all()
    assert evidence - 0.5 < trace[-1] < evidence  # the bound misses what factors cannot hold
    np.testing.assert_allclose(
        fit.posterior.mean()["weights"], mean, atol=0.05 * np.sqrt(variance).min()
    )
    np.testing.assert_allclose(fit.posterior.stddev()["weights"], np.sqrt(variance), rtol=0.1)


def test_vb_keeps_its_digits_where_columns_are_of_all_sizes():
    # powers up to 12 of inputs to 10: columns of lengths 1 to 1e13
    x = np.linspace(0.0, 10.0, 60)[:, None]
    y = np.sin(x[:, 0]) + 0.1 * np.random.default_rng(0).normal(size=60)
    options = {"basis": "polynomial", "degree": 12}
    vb = tfbdl.fit("linear_full", (x, y), model_options=options)
    exact = closed(x, y, **options)
    np.testing.assert_allclose(vb.predict(x).mean, exact.predict(x).mean, atol=0.02)
    assert vb.metrics["beta"] == pytest.approx(exact.metrics["beta"], rel=0.05)


def test_the_variance_of_a_vb_prediction_is_that_of_its_factors():
    x, y = simulated(6, 2)
    fit = tfbdl.fit("linear_full", (x, y), model_options=HYPER)
    draws = fit.posterior.sample(100_000, seed=1)
    function = x @ draws["weights"].T + draws["intercept"]
    noise = np.mean(1.0 / draws["beta"])
    p = fit.predict(x)
    np.testing.assert_allclose(p.epistemic[:, 0], function.var(axis=1), rtol=0.03)
    np.testing.assert_allclose(p.aleatoric[:, 0], noise, rtol=0.03)


def test_conditionals_are_those_of_the_textbook():
    x, y = simulated(25, 2)
    model = tfbdl.build("linear_full", (x, y), model_options=HYPER)
    batch = tf.constant(x), tf.constant(y)
    state = {"weights": [1.0, -2.0], "intercept": 0.5, "alpha": 0.6, "beta": 2.0}
    state = {name: tf.constant(value, tf.float64) for name, value in state.items()}
    keys = tf.bitcast(random.split(random.key(0), 1000), tf.int32)

    def draws(block, site):
        def one(key):
            return model.conditionals[block](key, state, batch)[site]

        return tf.function(lambda: tf.map_fn(one, keys, fn_output_signature=tf.float64))().numpy()

    phi = np.column_stack([x, np.ones(25)])
    S = np.linalg.inv(np.diag([0.6, 0.6, 0.0]) + 2.0 * phi.T @ phi)
    found = np.column_stack([draws("weights", "weights"), draws("weights", "intercept")])
    mean = 2.0 * S @ phi.T @ y
    np.testing.assert_array_less(abs(found.mean(axis=0) - mean), 5 * np.sqrt(np.diag(S) / 1000))
    sizes = np.sqrt(np.outer(np.diag(S), np.diag(S)))  # five standard errors of a covariance
    assert (abs(np.cov(found.T) - S) < 5 * sizes * np.sqrt(2 / 1000)).all()
    misfit = ((y - x @ [1.0, -2.0] - 0.5) ** 2).sum()
    exact = {"alpha": (2.0 + 1.0, 1.0 + 2.5), "beta": (2.0 + 12.5, 0.5 + misfit / 2)}
    for name, (shape, rate) in exact.items():
        found = stats.kstest(draws(name, name), stats.gamma(shape, scale=1.0 / rate).cdf)
        assert found.pvalue > 1e-3


@pytest.mark.slow
def test_gibbs_draws_from_the_posterior():
    x, y = simulated(25, 2)
    y = y - 2.0
    _, mean, variance = by_quadrature(x, y)
    fit = tfbdl.fit(
        "linear_full", (x, y), engine="gibbs", model_options={**HYPER, "intercept": False},
        engine_options={"chains": 2, "warmup": 100, "draws": 2000},
    )  # fmt: skip
    draws = fit.posterior.draws["weights"]
    for j in range(2):
        error = diagnostics.mcse_mean(draws[..., j])
        assert abs(draws[..., j].mean() - mean[j]) < 4 * error
    np.testing.assert_allclose(draws.var((0, 1)), variance, rtol=0.15)


@pytest.mark.slow
def test_vb_gibbs_and_nuts_agree():
    x, y = simulated(60, 3)
    vb = tfbdl.fit("linear_full", (x, y))
    lengths = {"chains": 2, "warmup": 500, "draws": 2000}
    for engine in ("gibbs", "nuts"):
        fit = tfbdl.fit("linear_full", (x, y), engine=engine, engine_options=lengths)
        for name in ("weights", "intercept", "beta"):
            sd = vb.posterior.stddev()[name]
            assert (abs(fit.posterior.mean()[name] - vb.posterior.mean()[name]) < 0.15 * sd).all()
            np.testing.assert_allclose(fit.posterior.stddev()[name], sd, rtol=0.1)
        np.testing.assert_allclose(
            fit.predict(x[:4], draws=2000).variance, vb.predict(x[:4]).variance, rtol=0.1
        )


# -- ard -----------------------------------------------------------------------------------------


def test_ard_finds_the_columns_that_matter_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 20)) * np.geomspace(0.1, 10, 20)
    w = np.zeros(20)
    w[:4] = [10.0, -20.0, 5.0, 8.0]
    y = x @ w + 0.3 * rng.normal(size=100) + 5.0
    fit = closed(x, y, "ard")
    relevant, alpha, beta = fit.model.relevant_, fit.model.alpha_, float(fit.model.beta_)
    assert relevant[:4].all()
    assert relevant.sum() <= 12  # of 16 useless columns a third fits noise by chance
    assert (fit.posterior.stddev()["weights"][~relevant] == 0.0).all()
    phi, t = x - x.mean(axis=0), y - y.mean()
    kept = phi[:, relevant]
    expected = mvn_evidence(kept, t, alpha[relevant], beta)
    assert fit.metrics["log_evidence"] == pytest.approx(expected, abs=1e-7)
    for i in range(kept.shape[1]):  # stationary in each precision that is finite
        nudge = np.exp(1e-3 * np.eye(kept.shape[1])[i])
        up, down = (mvn_evidence(kept, t, alpha[relevant] * f, beta) for f in (nudge, 1 / nudge))
        assert abs(up - down) / 2e-3 < 1e-4
    C = np.linalg.inv(np.eye(100) / beta + (kept / alpha[relevant]) @ kept.T)
    for column in phi[:, ~relevant].T:  # Tipping & Faul 2003: q^2 <= s where alpha is infinite
        assert (column @ C @ t) ** 2 <= column @ C @ column
    none = {"alpha_1": 0, "alpha_2": 0, "lambda_1": 0, "lambda_2": 0}
    peer = ARDRegression(**none, threshold_lambda=1e8, tol=1e-8, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(fit.posterior.mean()["weights"], peer.coef_, atol=1e-3)


def test_the_relevance_vector_machine_needs_few_rows_of_sinc():
    rng = np.random.default_rng(1)
    x = np.linspace(-10.0, 10.0, 60)[:, None]
    y = np.sinc(x[:, 0] / np.pi) + 0.05 * rng.normal(size=60)
    options = {"basis": "gaussian", "centers": "rows", "width": 2.0}
    fit = closed(x, y, "ard", **options)
    assert fit.metrics["relevant"] <= 12
    grid = np.linspace(-9.0, 9.0, 50)[:, None]
    error = fit.predict(grid).mean[:, 0] - np.sinc(grid[:, 0] / np.pi)
    assert np.sqrt(np.mean(error**2)) < 0.04
    assert fit.model.centers_.shape == (60, 1)


# -- basis functions, files, bad input -----------------------------------------------------------


def test_bases_are_their_functions():
    from tfbdl_linear.basis import make_basis
    from tfbdl_linear.config import BasisOptions

    x = np.random.default_rng(0).normal(size=(5, 2))
    info = as_dataset((x, x[:, 0]), dtype="float64").info

    def columns(**options):
        return make_basis(BasisOptions(**options), info)(x).numpy()

    np.testing.assert_allclose(columns(), x)
    np.testing.assert_allclose(columns(basis="polynomial", degree=3), np.hstack([x, x**2, x**3]))
    z = (x[:, None] - np.array([-1.0, 0.0, 1.0])[:, None]) / 0.5
    options = {"num_basis": 3, "domain": (-1.0, 1.0), "width": 0.5}
    gaussians = columns(basis="gaussian", **options)
    np.testing.assert_allclose(gaussians, np.exp(-0.5 * z**2).reshape(5, 6))
    sigmoids = columns(basis="sigmoid", **options)
    np.testing.assert_allclose(sigmoids, 1.0 / (1.0 + np.exp(-z)).reshape(5, 6))
    waves = columns(basis="fourier", num_basis=1, domain=(0.0, 4.0))
    np.testing.assert_allclose(
        waves, np.hstack([np.sin(np.pi * x / 2), np.cos(np.pi * x / 2)]), atol=1e-12
    )
    scaled = columns(standardize=True)
    np.testing.assert_allclose(scaled, (x - x.mean(0)) / x.std(0))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("linear", {"basis": "gaussian", "noise_prior": "gamma"}),
        ("linear", {"basis": "gaussian", "centers": "rows"}),
        ("ard", {"basis": "polynomial"}),
        ("linear_full", {"standardize": True}),
    ],
)
def test_a_stored_fit_predicts_the_same(tmp_path, model, options):
    x, y = simulated(20, 2)
    fit = tfbdl.fit(model, (x, y), model_options=options, out=tmp_path / "run")
    again = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(again.predict(x).mean, fit.predict(x).mean)
    np.testing.assert_array_equal(again.predict(x).variance, fit.predict(x).variance)
    for name, value in fit.posterior.covariance().items():
        np.testing.assert_array_equal(again.posterior.covariance()[name], value)


X, Y = simulated()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "'alpha' .* must be a finite number above 0"),
        ({"beta": -1.0}, "'beta' .* must be a finite number above 0"),
        ({"alpha": 1.0, "S0": np.eye(4).tolist()}, "give one"),
        ({"beta": 1.0, "noise_prior": "gamma"}, "give beta or noise_prior"),
        ({"m0": [0.0, 1.0]}, r"m0 must have the shape \[4\].*Received: \[2\]"),
        ({"S0": [[1.0]]}, r"S0 must have the shape \[4, 4\].*Received: \[1, 1\]"),
        ({"S0": (-np.eye(4)).tolist()}, "S0 must be a covariance"),
        ({"S0": np.triu(np.ones((4, 4))).tolist()}, "S0 must be a covariance"),
        ({"domain": (1.0, 0.0)}, "domain must be two numbers that rise"),
        ({"centers": "rows"}, "centers='rows' is for basis='gaussian'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        closed(X, Y, **options)


def test_data_that_do_not_fit_are_refused():
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(errors.DataError, match=r"NaN|missing|finite"):
        closed(bad, Y)
    with pytest.raises(errors.DataError, match=r"targets that are numbers.*Received: none"):
        tfbdl.fit("linear", X)
    with pytest.raises(errors.DataError, match="must be numbers for regression"):
        closed(X, ["a", "b"] * 15)
    with pytest.raises(errors.DataError, match="Received: a sample_weight"):
        tfbdl.fit("linear", (X, Y, np.ones(30)))
    with pytest.raises(errors.DataError, match=r"x of shape \[n, d\]"):
        closed(X.reshape(15, 2, 4), Y[:15])
    with pytest.raises(errors.DataError, match="Mean and standard deviation of the inputs"):
        closed(X[:, 0], Y, basis="gaussian")
    with pytest.raises(errors.DataError, match="rows"):
        closed(X, Y).predict(X[:, :2])
    with pytest.raises(errors.ModelError, match="not fitted"):
        tfbdl.build("linear", (X, Y)).posterior  # noqa: B018
    rows = {"basis": "gaussian", "centers": "rows"}
    with pytest.raises(errors.OptionsError, match="no more rows can come after"):
        tfbdl.fit("linear", (X, Y), model_options=rows, engine_options={"batch_size": 20})
    with pytest.raises(errors.OptionsError, match="starts by 'auto' or 'random'"):
        tfbdl.fit("linear_full", (X, Y), engine_options={"initial": "kmeans++"})
    with pytest.raises(errors.ModelError, match="known once rows were seen"):
        tfbdl.fit(
            "linear", (X, Y), engine="nuts",
            model_options={"basis": "gaussian", "centers": "rows"},
        )  # fmt: skip


def test_fewer_rows_than_columns_are_enough():
    x, y = simulated(8, 20, noise=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.TfbdlWarning)  # the noise may vanish
        fit = closed(x, y)
    phi, t = x - x.mean(axis=0), y - y.mean()
    alpha, beta = fit.metrics["alpha"], fit.metrics["beta"]
    gram = phi @ phi.T / alpha
    gain = np.linalg.solve(gram + np.eye(8) / beta, t)  # the same as a Gaussian process
    np.testing.assert_allclose(fit.predict(x).mean[:, 0], y.mean() + gram @ gain, atol=1e-6)
