"""Bayesian mixture of normals: the bound, the posterior and the predictive against closed forms."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path

import mixture_oracles as oracle
import numpy as np
import pytest
from bayesian_mixtures import HYPER, PRIOR, W0, clusters, fit, wine
from scipy import special, stats
from sklearn.mixture import BayesianGaussianMixture
from tfbdl_mixture.table import check_count

import tfbdl
from tfbdl import errors

# -- one component: everything has a closed form -----------------------------------------------


def test_one_component_is_the_conjugate_posterior_and_its_bound_the_evidence() -> None:
    x = clusters(30)
    model = (run := fit(x, num_components=1, **HYPER)).model
    beta, nu, m, W = oracle.condition(x, PRIOR)
    assert model.beta_[0] == pytest.approx(beta)
    assert model.nu_[0] == pytest.approx(nu)
    np.testing.assert_allclose(model.m_[0], m, rtol=1e-12)
    np.testing.assert_allclose(model.W_[0], W, rtol=1e-10)
    np.testing.assert_allclose(model.covariances_[0], np.linalg.inv(nu * W), rtol=1e-10)
    assert run.history["elbo"][-1] == pytest.approx(oracle.log_marginal(x, PRIOR), abs=1e-8)
    assert run.metrics["elbo"] == pytest.approx(model.elbo(x), abs=1e-8)


def test_new_rows_of_one_component_have_a_student_t_distribution() -> None:
    x = clusters(12)
    model = fit(x, num_components=1, **HYPER).model
    t = oracle.predictive(oracle.condition(x, PRIOR))
    new = np.random.default_rng(1).normal(scale=4.0, size=(20, 2))
    np.testing.assert_allclose(model.log_prob(new), t.logpdf(new), rtol=1e-10)
    drawn = model.sample(4000, seed=3)
    for i in range(2):
        marginal = stats.t(t.df, t.loc[i], np.sqrt(t.shape[i, i]))
        assert stats.kstest(drawn[:, i], marginal.cdf).pvalue > 1e-3
    # correlation of two t variables by ranks: that of the scale matrix, 4 standard errors
    rho = t.shape[0, 1] / np.sqrt(t.shape[0, 0] * t.shape[1, 1])
    tau = stats.kendalltau(drawn[:, 0], drawn[:, 1]).statistic
    assert tau == pytest.approx(2 / np.pi * np.arcsin(rho), abs=4 * 0.67 / np.sqrt(4000))


def test_draws_of_the_posterior_have_its_exact_moments() -> None:
    posterior = fit(clusters(40), num_components=2, alpha0=2.0, **HYPER).posterior
    draws = posterior.sample(8000, seed=5)
    for name, mean in posterior.mean().items():
        sd = posterior.stddev()[name]
        assert (np.abs(draws[name].mean(axis=0) - mean) < 5 * sd / np.sqrt(8000)).all()
        np.testing.assert_allclose(draws[name].std(axis=0), sd, rtol=0.1)
    np.testing.assert_allclose(draws["weights"].sum(axis=1), 1.0)


# -- the bound ---------------------------------------------------------------------------------


def log_ratio(model, x, draws: int) -> np.ndarray:
    """ln p - ln q at draws of q, by SciPy's distributions."""
    rng = np.random.default_rng(0)
    beta0, nu0, m0, scale = PRIOR
    alpha, alpha0 = model.alpha_, np.full(len(model.alpha_), model.alpha0)
    weights = rng.dirichlet(alpha, size=draws)
    total = stats.dirichlet.logpdf(weights.T, alpha0) - stats.dirichlet.logpdf(weights.T, alpha)
    density = []
    for beta, nu, m, W in zip(model.beta_, model.nu_, model.m_, model.W_, strict=True):
        Lambda = stats.wishart(nu, W).rvs(draws, random_state=rng)
        moved = np.moveaxis(Lambda, 0, -1)
        total += stats.wishart(nu0, scale).logpdf(moved) - stats.wishart(nu, W).logpdf(moved)
        root = np.linalg.cholesky(np.linalg.inv(Lambda))
        noise = rng.normal(size=(draws, 2))
        mu = m + np.einsum("sij,sj->si", root, noise) / np.sqrt(beta)
        half = 0.5 * np.linalg.slogdet(Lambda)[1]
        from_prior = np.einsum("si,sij,sj->s", mu - m0, Lambda, mu - m0)
        total += np.log(beta0 / beta) - 0.5 * (beta0 * from_prior - (noise**2).sum(axis=1))
        y = x - mu[:, None]
        squares = np.einsum("sni,sij,snj->sn", y, Lambda, y)
        density.append(half[:, None] - np.log(2 * np.pi) - 0.5 * squares)
    r = model.responsibilities(x)
    z = (rng.uniform(size=(draws, len(x), 1)) > np.cumsum(r, axis=1)).sum(axis=2)
    log_p = np.stack(density, axis=2) + np.log(weights)[:, None] - np.log(r)
    return total + np.take_along_axis(log_p, z[..., None], axis=2)[..., 0].sum(axis=1)


def test_bound_is_the_mean_of_log_p_less_log_q() -> None:
    x = clusters(15)
    run = fit(x, steps=2, num_components=3, alpha0=0.8, **HYPER)  # on the way, not at its end
    ratio = log_ratio(run.model, x, 2500)
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.2
    assert run.history["elbo"][-1] == pytest.approx(ratio.mean(), abs=4 * error)


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
def test_bound_is_below_the_evidence_of_all_labellings(seed: int) -> None:
    x = clusters(8, seed)
    prior = oracle.dirichlet_multinomial(0.9, 2)
    evidence, _ = oracle.normalised(oracle.log_joints(x, PRIOR, 2, prior))
    bound = fit(x, num_components=2, alpha0=0.9, seed=seed, **HYPER).metrics["elbo"]
    # two of the 256 labellings, mirror images of one another, carry nearly all the evidence
    assert evidence - 3.0 < bound < evidence


@pytest.mark.parametrize("alpha0", [1e-3, pytest.param(1.0, marks=pytest.mark.slow)])
def test_bound_never_falls(alpha0: float) -> None:
    x = np.random.default_rng(2).normal(size=(80, 3)) * [1.0, 1e3, 1e-3] + 1e4
    trace = fit(x, num_components=6, alpha0=alpha0, steps=200).history["elbo"]
    assert len(trace) > 5
    assert np.diff(trace).min() > -1e-8
    assert trace[-1] > trace[0]


# -- a peer ------------------------------------------------------------------------------------


def peer(x: np.ndarray, iterations: int) -> BayesianGaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge
        return BayesianGaussianMixture(
            n_components=4, weight_concentration_prior_type="dirichlet_distribution",
            reg_covar=0.0, max_iter=iterations, tol=0.0, random_state=0,
        ).fit(x)  # fmt: skip


def params_of(other: BayesianGaussianMixture) -> dict[str, np.ndarray]:
    nu = other.degrees_of_freedom_
    return {
        "alpha": other.weight_concentration_,
        "beta": other.mean_precision_,
        "nu": nu,
        "m": other.means_,
        "W": np.linalg.inv(other.covariances_ * nu[:, None, None]),
    }


@pytest.mark.parametrize(
    ("before", "after"), [(3, 9), pytest.param(100, 106, marks=pytest.mark.slow)]
)
def test_steps_from_one_start_lead_where_scikit_learn_goes(before: int, after: int) -> None:
    x = wine()
    start, end = params_of(peer(x, before)), peer(x, after)
    options = {"initial": start, "tolerance": 0}
    model = fit(x, steps=after - before, engine_options=options, num_components=4).model
    for name, value in params_of(end).items():
        np.testing.assert_allclose(model.params[name], value, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.weights_, end.weights_, atol=1e-9)
    np.testing.assert_allclose(model.covariances_, end.covariances_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.responsibilities(x), end.predict_proba(x), atol=1e-6)


# -- superfluous components --------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
def test_small_concentration_empties_components_of_wine(seed: int) -> None:
    x = wine()
    run = fit(x, num_components=10, alpha0=1e-3, seed=seed)
    model = run.model
    assert 2 <= len(model.active()) <= 4
    assert run.metrics["active_components"] == len(model.active())
    assert 1.0 < run.metrics["effective_components"] < 4.5
    assert model.weights_[model.active()].sum() > 0.99
    assert (np.diff(model.weights_[model.active()]) <= 0).all()


@pytest.mark.slow
def test_the_example_counts_and_draws_components(tmp_path) -> None:
    path = Path(__file__).parents[1] / "examples" / "superfluous_components.py"
    counts = runpy.run_path(str(path))["main"](tmp_path / "picture.png")
    assert counts["bayes"] <= 4
    assert counts["em"] >= 9
    assert 10_000 < (tmp_path / "picture.png").stat().st_size < 200_000


# -- what else a user relies on ----------------------------------------------------------------


def test_fit_survives_a_folder_and_goes_on_with_more_rows(tmp_path) -> None:
    x = clusters(40)
    run = fit(x, num_components=3)
    run.save(tmp_path / "run")
    loaded = tfbdl.load(tmp_path / "run")
    for name in ("log_prob", "responsibilities"):
        np.testing.assert_array_equal(getattr(loaded.model, name)(x), getattr(run.model, name)(x))
    np.testing.assert_array_equal(loaded.model.weights_, run.model.weights_)
    assert loaded.model.elbo(x) == pytest.approx(run.metrics["elbo"], abs=1e-8)
    np.testing.assert_array_equal(run.model.predict(x), run.model.responsibilities(x).argmax(1))
    more = tfbdl.fit(run.model, clusters(80), engine_options={"initial": "current", "steps": 3})
    assert more.model.alpha_.sum() == pytest.approx(80 + 1.0)  # rows and alpha0 = 1/3 thrice
    assert run.model.alpha_.sum() == pytest.approx(40 + 1.0)


def test_defaults_are_those_of_scikit_learn() -> None:
    x = wine()
    other, model = peer(x, 1), fit(x, steps=0, num_components=4).model
    beta, nu, m, W = model.base
    assert (beta, nu) == (other.mean_precision_prior_, other.degrees_of_freedom_prior_)
    np.testing.assert_allclose(m, other.mean_prior_, atol=1e-12)
    np.testing.assert_allclose(np.linalg.inv(W), other.covariance_prior_, atol=1e-10)
    assert model.alpha0 == other.weight_concentration_prior_


def test_bound_of_some_rows_keeps_the_prior_of_the_fit() -> None:
    x = clusters(30)
    model = fit(x, num_components=1).model
    prior = tuple(np.asarray(part) for part in model.base)
    log_q = model.elbo(x[:1]), model.elbo(x[1:2]), model.elbo(x[:2])
    # with one component the bound is linear in the rows, but for the divergence from the prior
    beta, nu, m, W = (part[0] for part in (model.beta_, model.nu_, model.m_, model.W_))
    log_det = special.digamma(0.5 * (nu - np.arange(2))).sum() + 2 * np.log(2)
    log_det += np.linalg.slogdet(W)[1]
    squares = nu * np.einsum("ni,ij,nj->n", x - m, W, x - m) + 2 / beta
    each = 0.5 * (log_det - 2 * np.log(2 * np.pi) - squares)
    divergence = each.sum() - oracle.log_marginal(x, prior)
    expected = each[0] - divergence, each[1] - divergence, each[:2].sum() - divergence
    np.testing.assert_allclose(log_q, expected, rtol=1e-9)


def test_single_precision_agrees_with_double() -> None:
    x = clusters(60) + 100.0
    one, two = (fit(x, num_components=3, steps=20, dtype=t) for t in ("float32", "float64"))
    assert one.model.means_.dtype == one.model.log_prob(x).dtype == np.float32
    np.testing.assert_allclose(one.model.weights_, two.model.weights_, atol=1e-3)
    assert one.metrics["elbo"] == pytest.approx(two.metrics["elbo"], abs=0.01)


def test_columns_that_single_precision_cannot_tell_apart_are_refused_in_it() -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    x = np.column_stack([x, x.sum(axis=1) + 2e-3 * x[:, 0] ** 2])
    with pytest.raises(errors.DataError, match=r"of rank 2 in float32.*dtype='float64'"):
        fit(x, dtype="float32")


@pytest.mark.slow
def test_drawn_labels_lead_near_the_maximum() -> None:
    x = clusters(60)
    best = fit(x, num_components=2).metrics["elbo"]
    options = {"e_step": "monte_carlo", "samples": 2}
    found = fit(x, 10, options, num_components=2).metrics["elbo"]
    # six standard deviations apart, hardly a label is in doubt
    assert best - 1.0 < found <= best + 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": [-1.0, 1.0]}, "'alpha' of initial must be finite and above 0.*-1"),
        ({"nu": [1.0, 3.0]}, "'nu' of initial must be finite and above 1.*1"),
        ({"W": [np.eye(2), -np.eye(2)]}, "positive definite.*eigenvalue of -1"),
        ({"W": [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]]}, "one that is not"),
    ],
)
def test_a_start_that_is_no_distribution_is_refused(change, message: str) -> None:
    start = {"alpha": np.ones(2), "beta": np.ones(2), "nu": np.full(2, 3.0), "m": np.eye(2)}
    start |= {"W": np.stack([np.eye(2)] * 2), **{n: np.asarray(v) for n, v in change.items()}}
    with pytest.raises(errors.OptionsError, match=message):
        fit(clusters(10), 1, {"initial": start}, num_components=2)


@pytest.mark.parametrize("n", [0, 2.5, True])
def test_a_number_of_rows_to_draw_that_is_none_is_refused(n) -> None:
    with pytest.raises(errors.OptionsError, match=f"whole number of at least 1.*{n}"):
        check_count(n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nu0": 1.0}, "nu0 must be above 1.*Received: 1"),
        ({"W0": [[1.0, 2.0], [2.0, 1.0]]}, "symmetric and positive definite.*eigenvalue of -1"),
        ({"W0": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric and positive definite.*not symmetric"),
        ({"W0": [1.0, 1.0]}, r"W0 must have the shape \[2, 2\].*\[2\]"),
        ({"m0": [1.0, 1.0, 1.0]}, r"m0 must have the shape \[2\].*\[3\]"),
        ({"alpha0": 0.0}, "'alpha0'.* above 0"),
        ({"W0": [[1.0], [1.0, 2.0]]}, "'W0'.*lists of equal lengths"),
    ],
)
def test_wrong_hyperparameters_are_refused(options, message: str) -> None:
    with pytest.raises(errors.OptionsError, match=message):
        fit(clusters(10), **options)


@pytest.mark.parametrize("engine", ["em", "gibbs"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((1, 2)), "at least 2 rows"),
        (np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]]), r"constant columns \[1\]"),
        (np.arange(10.0)[:, None] * [1.0, 2.0], "10 rows and 2 columns of rank 1"),
        (np.array([[1.0, np.nan], [2.0, 5.0], [4.0, 5.0]]), "NaN"),
        (np.ones((4, 2, 2)), r"shape"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(x, message: str, engine: str) -> None:
    with pytest.raises(errors.TfbdlError, match=message):
        tfbdl.fit("bayesian_gmm", x, engine=engine)


def test_a_constant_column_is_no_hindrance_where_w0_is_given() -> None:
    x = np.column_stack([clusters(20)[:, 0], np.full(20, 5.0)])
    run = fit(x, num_components=2, W0=W0)
    assert np.isfinite(run.metrics["elbo"])


def test_a_model_without_fit_or_with_other_columns_says_so() -> None:
    model = tfbdl.build("bayesian_gmm", clusters(10))
    with pytest.raises(errors.ModelError, match="not fitted"):
        model.log_prob(clusters(10))
    with pytest.raises(errors.DataError, match="2 columns"):
        fit(clusters(20), num_components=2).model.log_prob(np.ones((3, 5)))


def test_wishart_entropy_terms_do_not_cancel_for_many_columns() -> None:
    x = np.random.default_rng(0).normal(size=(60, 12))
    run = fit(x, num_components=1)
    prior = tuple(np.asarray(part) for part in run.model.base)
    d, n = 12, 60
    beta, nu, _, W = oracle.condition(x, prior)
    expected = (
        -0.5 * n * d * np.log(np.pi)
        + 0.5 * d * np.log(prior[0] / beta)
        + special.multigammaln(nu / 2, d)
        - special.multigammaln(prior[1] / 2, d)
        + 0.5 * (nu * np.linalg.slogdet(W)[1] - prior[1] * np.linalg.slogdet(prior[3])[1])
    )
    assert run.metrics["elbo"] == pytest.approx(expected, abs=1e-7)
