"""Linear regressions: closed forms against enumeration by scipy, scikit-learn and samplers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from linear_cases import closed, mvn_evidence, simulated, standardised_diabetes
from scipy import stats
from sklearn.linear_model import BayesianRidge

import tfbdl
from tfbdl import diagnostics, errors

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
