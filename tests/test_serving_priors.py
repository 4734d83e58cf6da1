"""The priors that the side process shows, against their densities and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from serving_cases import ALPHA, One, linear_regression, rows
from tensorflow_probability import distributions as tfd

import tfbdl
from tfbdl.errors import OptionsError, UnknownNameError
from tfbdl.serving import marginals
from tfbdl.serving.prior_and_posterior import FLAT, NOT_APART, prior_draws
from tfbdl.serving.prior_density import prior_density


@pytest.fixture
def linear() -> One:
    """A linear regression by formula, thirty of whose rows are held out."""
    return linear_regression()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("normal", {"scale": 0.5}, scipy.stats.norm(0, 0.5)),
        ("laplace", {"scale": 2.0}, scipy.stats.laplace(0, 2.0)),
        ("layerwise", {"gain": 3.0}, scipy.stats.norm(0, 3.0 / np.sqrt(10))),  # ten inputs
    ],
)
def test_prior_density_is_that_of_one_element(
    name: str, options: dict[str, Any], expected: Any
) -> None:
    answer = prior_density(One(None), {"prior": name, "options": options})
    np.testing.assert_allclose(answer["density"], expected.pdf(answer["x"]), rtol=1e-4)
    assert expected.cdf(answer["x"][0]) < 0.03
    assert expected.cdf(answer["x"][-1]) > 0.97
    # 4,000 draws: the largest distance of the cdfs is below 1.95 / sqrt(n) but once in a thousand
    assert scipy.stats.kstest(answer["draws"], expected.cdf).statistic < 1.95 / np.sqrt(4000)


def test_prior_density_resolves_a_narrow_peak() -> None:
    options = {"pi": 0.5, "sigma1": 1.0, "sigma2": 0.002}
    answer = prior_density(One(None), {"prior": "scale_mixture", "options": options})
    peak = 0.5 * scipy.stats.norm(0, 0.002).pdf(0.0)
    assert answer["density"].max() == pytest.approx(peak, rel=0.02)
    assert np.trapezoid(answer["density"], answer["x"]) == pytest.approx(1.0, abs=0.1)


def test_prior_density_averages_over_a_hyperprior() -> None:
    options = {"hyperprior": "log_normal", "hyper_scale": 0.5}
    answer = prior_density(One(None), {"prior": "empirical_normal", "options": options})
    assert "hyperprior" in str(answer["note"])
    scales = scipy.stats.lognorm(0.5)

    def at(w: float) -> float:
        integrand = lambda s: scales.pdf(s) * scipy.stats.norm(0, s).pdf(w)  # noqa: E731
        return float(scipy.integrate.quad(integrand, 1e-3, 30)[0])

    for w in (0.5, 1.0, 2.0):
        found = np.interp(w, answer["x"], answer["density"])
        # 200 scales: a standard error of about 3 %
        assert found == pytest.approx(at(w), rel=0.12)


def test_prior_density_names_the_nearest_prior() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'normal'"):
        prior_density(One(None), {"prior": "norml"})


@pytest.mark.parametrize(
    ("distribution", "index", "expected"),
    [
        (tfd.Normal(1.0, 2.0), (), scipy.stats.norm(1, 2)),
        (tfd.Sample(tfd.Laplace(0.0, 3.0), [2, 2]), (1, 0), scipy.stats.laplace(0, 3)),
        (tfd.Independent(tfd.Normal([0.0, 5.0], [1.0, 2.0]), 1), (1,), scipy.stats.norm(5, 2)),
        (
            tfd.MultivariateNormalTriL([1.0, 2.0], [[1.0, 0.0], [3.0, 4.0]]),
            (1,),
            scipy.stats.norm(2, 5),
        ),
    ],
)
def test_marginal_is_that_of_one_element(distribution: Any, index: Any, expected: Any) -> None:
    draws = marginals.draws_of(distribution, index)
    grid = marginals.grid_over(draws)
    np.testing.assert_allclose(
        marginals.density(distribution, index, grid, draws), expected.pdf(grid), rtol=1e-4
    )
    assert scipy.stats.kstest(draws, expected.cdf).statistic < 1.95 / np.sqrt(len(draws))


def test_marginal_without_a_formula_is_a_histogram() -> None:
    wishart = tfd.WishartTriL(5.0, np.eye(2, dtype="float32"))
    draws = marginals.draws_of(wishart, (0, 0))
    grid = marginals.grid_over(draws)
    found = marginals.density(wishart, (0, 0), grid, draws)
    expected = scipy.stats.chi2(5).pdf(grid)  # of a diagonal element
    # 4,000 draws in sixty bins: a standard error of at most 12 % of the peak's height
    assert np.abs(found - expected).mean() < 0.06 * expected.max()
    assert grid[0] > -0.5


def test_prior_draws_are_the_normal_prior_of_linear_weights(linear: One) -> None:
    arguments = {"run": "r", "elements": ["weights[1]"], "low": [-9.0], "high": [0.0]}
    answer = prior_draws(linear, arguments)
    expected = scipy.stats.norm(0, 1 / np.sqrt(ALPHA)).pdf(answer["x"][0])
    np.testing.assert_allclose(answer["density"][0], expected, rtol=1e-6)
    assert answer["x"][0][0] == -9.0  # the grid takes in what it is told to


@pytest.mark.slow
def test_prior_draws_of_a_network_know_weights_and_learned_parameters() -> None:
    x, y = rows(40)
    options = {"hidden": [3], "likelihood": "gaussian"}
    fit = tfbdl.fit(
        "bbb",
        (x, y),
        prior="laplace",
        model_options=options,
        prior_options={"scale": 0.7},
        engine_options={"epochs": 1},
    )
    elements = ["dense.kernel[2, 1]", "likelihood.scale"]
    answer = prior_draws(One(fit), {"run": "r", "elements": elements})
    laplace, lognormal = scipy.stats.laplace(0, 0.7), scipy.stats.lognorm(1.0)
    np.testing.assert_allclose(answer["density"][0], laplace.pdf(answer["x"][0]), rtol=1e-4)
    inside = answer["x"][1] > 1e-3
    np.testing.assert_allclose(
        answer["density"][1][inside], lognormal.pdf(answer["x"][1][inside]), rtol=1e-3
    )


def test_prior_draws_of_the_logistic_regression_are_normal() -> None:
    x, y = rows(60)
    fit = tfbdl.fit("logistic", (x, (y > 0).astype(int)), model_options={"alpha": 4.0})
    answer = prior_draws(One(fit), {"run": "r", "elements": ["weights[0]"]})
    expected = scipy.stats.norm(0, 0.5).pdf(answer["x"][0])
    np.testing.assert_allclose(answer["density"][0], expected, rtol=1e-5)


def test_prior_draws_say_what_is_flat_or_not_apart() -> None:
    x, y = rows(40)
    flat = tfbdl.fit("linear", (x, y), model_options={"alpha": 1.0, "beta": 1.0})
    answer = prior_draws(One(flat), {"run": "r", "elements": ["intercept"]})
    assert list(answer["note"]) == [FLAT]
    assert np.isnan(answer["density"]).all()
    apart = tfbdl.fit("conjugate", x, model_options={"family": "normal_inverse_wishart"})
    answer = prior_draws(One(apart), {"run": "r", "elements": ["mean[0]"]})
    assert list(answer["note"]) == [NOT_APART]


def test_prior_draws_refuse_what_is_not_there(linear: One) -> None:
    with pytest.raises(OptionsError, match="Did you mean 'weights'"):
        prior_draws(linear, {"run": "r", "elements": ["weigths[0]"]})
    for label in ("weights[3]", "weights[,]", "weights[1 2]", "weights[ ]"):
        with pytest.raises(OptionsError, match=r"has the shape \[3\]"):
            prior_draws(linear, {"run": "r", "elements": [label]})
    with pytest.raises(OptionsError, match="At most 24"):
        prior_draws(linear, {"run": "r", "elements": ["weights[0]"] * 25})
