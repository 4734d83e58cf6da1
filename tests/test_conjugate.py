"""Conjugate families: evidence, posterior and predictive against integrals and scipy."""

import functools
import itertools

import numpy as np
import pytest
from scipy import special, stats

import tfbdl
from tfbdl import errors

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(3.0, size=(12, 2)).astype("float64")
NORMAL = RNG.normal(size=(15, 2)) @ [[1.0, 0.4], [0.0, 0.6]] + [0.5, -1.0]
CASES = {
    "beta_bernoulli": ((COUNTS > 3).astype(float), {"alpha": 2.0, "beta": [1.0, 0.5]}),
    "beta_binomial": (np.minimum(COUNTS, 5), {"alpha": [0.7, 2.0], "beta": 1.5, "trials": 5}),
    "dirichlet_categorical": (np.arange(9.0)[:, np.newaxis] ** 2 % 4, {"alpha": [1, 0.5, 2, 1.5]}),
    "dirichlet_multinomial": (COUNTS, {"alpha": [0.8, 2.0], "trials": 6}),
    "gamma_poisson": (COUNTS, {"shape": 2.0, "rate": [0.5, 1.0]}),
    "normal_gamma": (NORMAL, {"m0": 0.2, "kappa0": 0.5, "shape": [2.0, 3.0], "rate": 1.5}),
    "normal_inverse_wishart": (
        NORMAL,
        {"m0": [0.1, -0.2], "kappa0": 0.7, "nu0": 4.5, "S0": [[2.0, 0.3], [0.3, 1.0]]},
    ),
}
families = pytest.mark.parametrize("family", CASES)


def fit_of(family, x=None, engine_options=None, **options):
    data, own = CASES[family]
    chosen = {"family": family, **own, **options}
    return tfbdl.fit(
        "conjugate", data if x is None else x, model_options=chosen,
        engine_options=engine_options or {},
    )  # fmt: skip


@functools.cache
def fitted(family):
    return fit_of(family)


def evidence_by_integration(family):
    """log p(x) by the trapezoidal rule over a parameter's logarithm or logit, with scipy's laws."""
    x, o = CASES[family]
    z = np.linspace(-40.0, 40.0, 2_001)
    rates = np.exp(z)
    total = 0.0
    for j in range(1 if family == "dirichlet_multinomial" else x.shape[1]):
        column, trials = x[:, j], o.get("trials", 1)
        if family == "gamma_poisson":
            log_prior = stats.gamma(o["shape"], scale=1 / o["rate"][j]).logpdf(rates) + z
            log_lik = stats.poisson.logpmf(column[:, np.newaxis], rates)
        else:
            if family == "dirichlet_multinomial":  # two columns: a binomial with a beta prior
                (a, b), trials = o["alpha"], x.sum(1)[:, np.newaxis]
            else:
                a, b = (np.broadcast_to(o[name], 2)[j] for name in ("alpha", "beta"))
            log_prior = a * special.log_expit(z) + b * special.log_expit(-z) - special.betaln(a, b)
            log_lik = np.log(special.binom(trials, column[:, np.newaxis]))
            log_lik = log_lik + column[:, np.newaxis] * special.log_expit(z)
            log_lik = log_lik + (trials - column[:, np.newaxis]) * special.log_expit(-z)
        total += special.logsumexp(log_prior + log_lik.sum(0)) + np.log(z[1] - z[0])
    return total


@pytest.mark.parametrize(
    "family", ["beta_bernoulli", "beta_binomial", "dirichlet_multinomial", "gamma_poisson"]
)
def test_the_evidence_of_counts_is_the_integral_over_the_parameter(family):
    found = fitted(family).metrics["log_evidence"]
    assert found == pytest.approx(evidence_by_integration(family), rel=1e-9)


def test_the_evidence_of_one_normal_column_is_the_double_integral():
    x = NORMAL[:5, :1]
    fit = fit_of("normal_gamma", x, shape=2.0)

    mean = np.linspace(-40.0, 40.0, 4_001)[:, np.newaxis]
    log_precision = np.linspace(-9.0, 6.0, 301)
    precision = np.exp(log_precision)
    log_joint = stats.gamma(2.0, scale=1 / 1.5).logpdf(precision) + log_precision
    log_joint = log_joint + stats.norm.logpdf(mean, 0.2, (0.5 * precision) ** -0.5)
    for value in x[:, 0]:
        log_joint = log_joint + stats.norm.logpdf(value, mean, precision**-0.5)
    log_evidence = special.logsumexp(log_joint) + np.log(80.0 / 4_000 * 15.0 / 300)
    assert fit.metrics["log_evidence"] == pytest.approx(log_evidence, abs=1e-6)


def test_normal_columns_and_normal_inverse_wishart_agree_in_one_dimension():
    # IW(S, nu) of one number is an inverse gamma: precision ~ Gamma(nu / 2, S / 2)
    x = NORMAL[:, :1]
    one = fit_of("normal_gamma", x, shape=1.6, rate=0.9)
    matrix = fit_of("normal_inverse_wishart", x, m0=0.2, kappa0=0.5, nu0=2 * 1.6, S0=[[2 * 0.9]])
    assert matrix.metrics["log_evidence"] == pytest.approx(one.metrics["log_evidence"], rel=1e-12)
    np.testing.assert_allclose(
        matrix.posterior.stddev()["mean"], one.posterior.stddev()["mean"], rtol=1e-12
    )


def test_the_evidence_of_normal_rows_is_the_product_of_multivariate_t():
    x, o = CASES["normal_inverse_wishart"]
    m, kappa, nu, S = np.array(o["m0"]), o["kappa0"], o["nu0"], np.array(o["S0"])
    total = 0.0
    for row in x:  # Murphy 2012, 4.6.3.6, and the update by one row
        df = nu - 1.0
        total += stats.multivariate_t(m, S * (kappa + 1) / (kappa * df), df).logpdf(row)
        S = S + kappa / (kappa + 1) * np.outer(row - m, row - m)
        m, kappa, nu = (kappa * m + row) / (kappa + 1), kappa + 1, nu + 1
    fit = fitted("normal_inverse_wishart")
    assert fit.metrics["log_evidence"] == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(fit.model.mean_, m, rtol=1e-12)
    np.testing.assert_allclose(fit.model.scale_, S, rtol=1e-12)
    np.testing.assert_allclose(fit.posterior.mean()["covariance"], S / (nu - 3), rtol=1e-12)
    predictive = stats.multivariate_t(m, S * (kappa + 1) / (kappa * (nu - 1)), nu - 1)
    new = np.array([[0.0, 0.0], [2.0, -3.0]])
    np.testing.assert_allclose(fit.model.log_prob(new), predictive.logpdf(new), rtol=1e-10)


def test_the_evidence_of_categories_is_a_chain_of_pseudo_counts():
    x, o = CASES["dirichlet_categorical"]
    counts, total = np.array(o["alpha"], float), 0.0
    for label in x[:, 0].astype(int):
        total += np.log(counts[label] / counts.sum())
        counts[label] += 1
    fit = fitted("dirichlet_categorical")
    assert fit.metrics["log_evidence"] == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(fit.posterior.mean()["probs"], counts / counts.sum())
    np.testing.assert_allclose(
        fit.posterior.covariance()["probs"], stats.dirichlet(counts).cov(), rtol=1e-10
    )


@families
def test_the_prediction_of_a_row_is_the_ratio_of_evidences(family):
    x, _ = CASES[family]
    first = fitted(family)
    new = x[:2][::-1]
    for row, found in zip(new, first.model.log_prob(new), strict=True):
        longer = fit_of(family, np.vstack([x, row]))
        ratio = longer.metrics["log_evidence"] - first.metrics["log_evidence"]
        assert found == pytest.approx(ratio, abs=1e-9)


@families
def test_rows_at_once_in_batches_and_in_two_fits_give_the_same(family):
    x, _ = CASES[family]
    whole = fitted(family)
    parts = fit_of(family, engine_options={"batch_size": 4})
    half = fit_of(family, x[:5])
    rest = tfbdl.fit(half.model, x[5:], engine="exact", engine_options={"initial": "current"})
    for other in (parts, rest):
        assert other.metrics["log_evidence"] == pytest.approx(
            whole.metrics["log_evidence"], rel=1e-10
        )
        for name, value in whole.model.params.items():
            np.testing.assert_allclose(other.model.params[name], value, rtol=1e-10, atol=1e-12)
    assert half.model.params["num_rows"] == 5  # the fit before is left untouched


def test_predictions_of_counts_are_scipys():
    x, o = CASES["beta_binomial"]
    fit = fitted("beta_binomial")
    a, b = fit.model.alpha_, fit.model.beta_
    np.testing.assert_allclose(a, np.array(o["alpha"]) + x.sum(0))
    new = np.array(list(itertools.product(range(6), range(6))), float)
    expected = stats.betabinom(5, a, b).logpmf(new).sum(1)
    np.testing.assert_allclose(fit.model.log_prob(new), expected, rtol=1e-10)
    assert np.exp(fit.model.log_prob(new)).sum() == pytest.approx(1.0, rel=1e-10)
    fit = fitted("gamma_poisson")
    p = fit.model.rate_ / (fit.model.rate_ + 1)
    expected = stats.nbinom(fit.model.shape_, p).logpmf(COUNTS).sum(1)
    np.testing.assert_allclose(fit.model.log_prob(COUNTS), expected, rtol=1e-10)
    fit = fitted("dirichlet_multinomial")
    expected = [stats.dirichlet_multinomial(fit.model.alpha_, r.sum()).logpmf(r) for r in COUNTS]
    np.testing.assert_allclose(fit.model.log_prob(COUNTS), expected, rtol=1e-9)


@families
def test_samples_of_the_predictive_have_its_law(family):
    fit = fitted(family)
    n = 20_000
    rows = fit.model.sample(n, seed=1)
    assert rows.shape == (n, CASES[family][0].shape[1])
    np.testing.assert_array_equal(rows, fit.model.sample(n, seed=1))
    assert not np.array_equal(rows, fit.model.sample(n, seed=2))
    if family.startswith("normal"):
        kappa = float(fit.model.kappa_)
        free = float(fit.model.nu_) - 1 if "wishart" in family else 2 * fit.model.shape_[0]
        rate = fit.model.scale_[0, 0] / free if "wishart" in family else (
            fit.model.rate_[0] / fit.model.shape_[0]
        )  # fmt: skip
        law = stats.t(free, fit.model.mean_[0], np.sqrt(rate * (kappa + 1) / kappa))
        assert stats.kstest(rows[:, 0], law.cdf).pvalue > 1e-3
        return
    # frequencies against the probabilities that log_prob gives
    seen, counts = np.unique(rows, axis=0, return_counts=True)
    chance = np.exp(fit.model.log_prob(seen))
    error = 5 * np.sqrt(chance * (1 - chance) / n) + 1 / n
    assert (np.abs(counts / n - chance) < error).all()


@families
def test_draws_of_the_posterior_have_its_exact_moments(family):
    posterior = fitted(family).posterior
    n = 20_000
    draws = posterior.sample(n, seed=4)
    for name, mean in posterior.mean().items():
        stddev = posterior.stddev()[name]
        np.testing.assert_array_less(np.abs(draws[name].mean(0) - mean), 5 * stddev / np.sqrt(n))
        np.testing.assert_allclose(draws[name].std(0), stddev, rtol=0.06)
        flat = draws[name].reshape(n, -1)
        scale = np.outer(stddev.ravel(), stddev.ravel())
        found = np.atleast_2d(np.cov(flat, rowvar=False))
        np.testing.assert_allclose(found / scale, posterior.covariance()[name] / scale, atol=0.1)


@families
def test_a_fit_is_the_same_after_save_and_load(family, tmp_path):
    fit = fitted(family)
    fit.save(tmp_path / "run")
    loaded = tfbdl.load(tmp_path / "run")
    x = CASES[family][0]
    np.testing.assert_array_equal(loaded.model.log_prob(x), fit.model.log_prob(x))
    for name, mean in fit.posterior.mean().items():
        np.testing.assert_array_equal(loaded.posterior.mean()[name], mean)


def test_defaults_are_vague_and_named():
    x = NORMAL
    model = tfbdl.fit("conjugate", x).model
    assert (float(model.nu_), float(model.kappa_)) == (2 + 2 + 15, 1 + 15)
    np.testing.assert_allclose(model.mean_, x.sum(0) / 16, rtol=1e-6)


def test_one_column_may_be_a_vector():
    x = np.array([0.0, 1.0, 1.0])
    fit = tfbdl.fit("conjugate", x, model_options={"family": "beta_bernoulli"})
    assert fit.metrics["log_evidence"] == pytest.approx(special.betaln(3, 2), rel=1e-12)
    np.testing.assert_allclose(fit.model.log_prob([1.0]), [np.log(3 / 5)])


@pytest.mark.parametrize(
    ("family", "x", "message"),
    [
        ("beta_bernoulli", [[0.0], [0.5]], "whole numbers from 0 to 1. Received: 0.5 in row 1"),
        ("beta_binomial", [[6.0, 1.0]], "whole numbers from 0 to 5"),
        ("dirichlet_categorical", [[4.0]], "with 4 categories .* from 0 to 3"),
        ("gamma_poisson", [[-1.0, 0.0]], "from 0. Received: -1"),
        ("dirichlet_multinomial", [[1.5, 0.0]], "whole numbers"),
    ],
)
def test_rows_that_the_family_cannot_produce_are_refused(family, x, message):
    with pytest.raises(errors.DataError, match=message):
        fit_of(family, np.array(x), **({"beta": 1.0} if family == "beta_bernoulli" else {}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "gamma_poisson", "alpha": 1.0}, "takes shape, rate, not alpha"),
        ({"family": "beta_binomial"}, "needs trials"),
        ({"family": "gamma_poisson", "rate": 0.0}, "rate .* above 0"),
        ({"family": "gamma_poisson", "rate": [1.0, 1.0, 1.0]}, r"shape \[2\]"),
        ({"nu0": 0.5}, "nu0 must be above 1"),
        ({"S0": [[1.0, 2.0], [2.0, 1.0]]}, "S0 must be a covariance"),
        ({"S0": [[1.0]]}, r"shape \[2, 2\]"),
        ({"kappa0": -1.0}, "above 0"),
        ({"family": "dirichlet_categorical"}, "one column"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        tfbdl.fit("conjugate", COUNTS, model_options=options)


def test_categories_that_rows_in_turn_may_lack_must_be_given():
    x = np.array([0.0, 1.0, 1.0, 3.0])
    options = {"family": "dirichlet_categorical"}
    turn = {"batch_size": 2}
    with pytest.raises(errors.OptionsError, match="Expected the option categories="):
        tfbdl.fit("conjugate", x, model_options=options, engine_options=turn)
    for more in ({"categories": 4}, {"alpha": [1.0, 1.0, 1.0, 1.0]}):
        fit = tfbdl.fit("conjugate", x, model_options=options | more, engine_options=turn)
        np.testing.assert_array_equal(fit.model.alpha_, [2.0, 3.0, 1.0, 2.0])


def test_what_there_is_instead_of_predictions_is_named():
    fit = fitted("gamma_poisson")
    with pytest.raises(errors.ModelError, match=r"fit\.model\.log_prob and fit\.model\.sample"):
        fit.predict(COUNTS)
    with pytest.raises(errors.DataError, match=r"fit\.model\.log_prob scores rows"):
        fit.evaluate((COUNTS, np.zeros(len(COUNTS))))
    with pytest.raises(errors.DataError, match=r"Expected finite numbers .* Received: list"):
        fit.model.log_prob(["a"])


def test_a_file_is_taken_whole(tmp_path):
    path = tmp_path / "counts.csv"
    np.savetxt(path, COUNTS, delimiter=",", header="a,b", comments="")
    options = {"family": "gamma_poisson"}
    whole = tfbdl.fit("conjugate", str(path), model_options=options)
    assert whole.model.num_rows_ == len(COUNTS)
    assert whole.model.rate_.shape == (2,)
    asked = {"target": ["b"], "test_fraction": 0.5}
    part = tfbdl.fit("conjugate", str(path), model_options=options, data_options=asked)
    assert part.model.num_rows_ == len(COUNTS) // 2
    assert part.model.rate_.shape == (1,)


def test_use_before_a_fit_and_other_columns_after_it_are_refused():
    model = tfbdl.build("conjugate", COUNTS)
    with pytest.raises(errors.ModelError, match="not fitted"):
        model.log_prob(COUNTS)
    with pytest.raises(errors.ModelError, match="not fitted"):
        model.sample(3)
    with pytest.raises(errors.DataError, match="rows of 2 columns"):
        fitted("gamma_poisson").model.log_prob(np.ones((3, 4)))
    without = fit_of("dirichlet_multinomial", trials=None)
    with pytest.raises(errors.OptionsError, match="option trials="):
        without.model.sample(2)
    with pytest.raises(errors.OptionsError, match="n must be"):
        fitted("gamma_poisson").model.sample(0)
