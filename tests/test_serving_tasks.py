"""The tasks of the side process against formulas: priors, predictions, a line away from data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from tensorflow_probability import distributions as tfd

import tfbdl
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, ModelError, OptionsError, UnknownNameError
from tfbdl.serving import marginals
from tfbdl.serving.predictions import prediction_sets, predictions
from tfbdl.serving.prior_and_posterior import FLAT, NOT_APART, prior_draws
from tfbdl.serving.prior_density import prior_density
from tfbdl.serving.rows import training_inputs
from tfbdl.serving.slide import Neighbours, slide

ALPHA, BETA = 4.0, 25.0


@dataclass(frozen=True)
class One:
    """One fit and its data, in the place of a folder of runs."""

    made: Any
    dataset: Dataset | None = None

    def fit(self, run: str) -> Any:
        """The fit."""
        return self.made

    def data(self, run: str) -> Dataset | None:
        """Its data."""
        return self.dataset


def rows(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a linear regression whose precisions are known."""
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(n, 3))).astype(float)  # as the data hold them
    y = x @ [1.0, -0.5, 0.0] + rng.normal(size=n) / np.sqrt(BETA)
    return x, np.float32(y).astype(float)


@pytest.fixture(scope="module")
def linear() -> One:
    """A linear regression by formula, thirty of whose rows are held out."""
    x, y = rows()
    data = as_dataset((x, y)).hold_out(np.arange(90, 120))
    options = {"alpha": ALPHA, "beta": BETA, "intercept": False}
    return One(tfbdl.fit("linear", data, model_options=options, seed=0), data)


def covariance() -> np.ndarray:
    """Of the weights given the training rows (Bishop 2006, eq. 3.54)."""
    x, _ = rows()
    return np.linalg.inv(ALPHA * np.eye(3) + BETA * x[:90].T @ x[:90])


def closed_form(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and epistemic variance of the predictions at ``x`` (Bishop 2006, 3.58 and 3.59)."""
    train, y = rows()
    mean = BETA * covariance() @ train[:90].T @ y[:90]
    return x @ mean, np.einsum("nf,fg,ng->n", x, covariance(), x)


# -- priors ------------------------------------------------------------------------------------


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


# -- predictions -------------------------------------------------------------------------------


def test_predictions_of_a_linear_model_are_those_of_the_formulas(linear: One) -> None:
    answer = predictions(linear, {"run": "r"})
    x, y = rows()
    mean, epistemic = closed_form(x[90:])
    law = scipy.stats.norm(mean, np.sqrt(1 / BETA + epistemic))
    assert (str(answer["kind"]), str(answer["rows"])) == ("numbers", "test rows")
    np.testing.assert_allclose(answer["mean"][:, 0], mean, rtol=1e-8)
    np.testing.assert_allclose(answer["aleatoric"][:, 0], 1 / BETA, rtol=1e-8)
    np.testing.assert_allclose(answer["epistemic"][:, 0], epistemic, rtol=1e-5)
    np.testing.assert_allclose(answer["pit"][:, 0], law.cdf(y[90:]), rtol=1e-6)
    for i, level in enumerate(answer["level"]):
        low, high = law.ppf((1 - level) / 2), law.ppf((1 + level) / 2)
        np.testing.assert_allclose(answer["low"][i, :, 0], low, rtol=1e-5)
        inside = int(((low <= y[90:]) & (y[90:] <= high)).sum())
        assert answer["found"][i, 0] == inside / 30
        band = scipy.stats.binomtest(inside, 30).proportion_ci(0.9, method="wilson")
        assert answer["band_low"][i, 0] == pytest.approx(band.low, abs=1e-9)
        assert answer["band_high"][i, 0] == pytest.approx(band.high, abs=1e-9)
    for quantile, share in zip(answer["expected"], answer["observed"][:, 0], strict=True):
        assert share == np.mean(law.cdf(y[90:]) <= quantile)
    first = answer["uncertain"][0]
    assert epistemic[first] == epistemic.max()
    np.testing.assert_allclose(answer["uncertain_x"][0], x[90 + first])


def test_predictions_are_of_training_rows_where_none_are_held_out(linear: One) -> None:
    x, y = rows()
    answer = predictions(One(linear.made, as_dataset((x, y))), {"run": "r"})
    assert (str(answer["rows"]), len(answer["y"])) == ("training rows", 120)


def test_predictions_are_of_two_thousand_rows_at_the_most(linear: One) -> None:
    x, y = rows(5001)
    answer = predictions(One(linear.made, as_dataset((x, y))), {"run": "r"})
    assert len(answer["index"]) == 2000
    assert set(np.diff(answer["index"])) == {2, 3}
    np.testing.assert_allclose(answer["y"][:, 0], y[answer["index"]])


def test_predictions_of_classes_part_the_entropy() -> None:
    x, y = rows(80)
    data = as_dataset((x, np.where(y > 0, "yes", "no")))
    answer = predictions(One(tfbdl.fit("logistic", data), data), {"run": "r"})
    assert list(answer["class"]) == ["no", "yes"]
    entropy = scipy.stats.entropy(answer["probs"], axis=1)
    np.testing.assert_allclose(answer["aleatoric"] + answer["epistemic"], entropy, atol=1e-6)
    assert (answer["epistemic"] >= 0).all()
    right = answer["predicted"] == answer["label"]
    assert np.sum(answer["accuracy"] * answer["count"]) == pytest.approx(right.sum())


def test_prediction_sets_are_the_smallest_that_hold_their_level() -> None:
    rng = np.random.default_rng(4)
    probs = rng.dirichlet([0.5] * 4, size=50)
    labels = rng.integers(0, 4, 50)
    inside, size = prediction_sets(probs, labels)
    for i, level in enumerate((0.5, 0.8, 0.9, 0.95, 0.99)):
        for n in range(50):
            chosen: list[int] = []
            while sum(probs[n, chosen]) < level - 1e-9:
                rest = [c for c in range(4) if c not in chosen]
                chosen.append(max(rest, key=lambda c: probs[n, c]))
            assert size[i, n] == len(chosen)
            assert inside[i, n] == (labels[n] in chosen)


def test_predictions_of_a_model_of_rows_are_refused() -> None:
    x, _ = rows(60)
    data = as_dataset(x)
    fit = tfbdl.fit("gmm", data, model_options={"num_components": 2})
    with pytest.raises(ModelError, match="no predictive distribution of targets"):
        predictions(One(fit, data), {"run": "r"})


def test_predictions_need_data_that_can_be_read_again(linear: One) -> None:
    with pytest.raises(DataError, match="were given as objects"):
        predictions(One(linear.made, None), {"run": "r"})


# -- the line away from the data ---------------------------------------------------------------


def test_slide_of_a_feature_grows_the_epistemic_variance_by_its_square(linear: One) -> None:
    answer = slide(linear, {"run": "r", "direction": "feature", "feature": 1, "row": 4})
    x, _ = rows()
    assert float(answer["at"]) == pytest.approx(x[94, 1])
    assert answer["at"] in answer["position"]
    moved = np.repeat(x[94:95], len(answer["position"]), axis=0)
    moved[:, 1] = answer["position"]
    np.testing.assert_allclose(answer["x"], moved, rtol=1e-6)
    mean, epistemic = closed_form(answer["x"].astype(float))
    np.testing.assert_allclose(answer["mean"][:, 0], mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(answer["epistemic"][:, 0], epistemic, rtol=1e-5)
    np.testing.assert_allclose(answer["aleatoric"], 1 / BETA)
    # a parabola: its second derivative is twice the variance of that weight
    curve = np.polyfit(answer["position"], answer["epistemic"][:, 0], 2)
    assert curve[0] == pytest.approx(covariance()[1, 1], rel=1e-4)
    low, high = x[:90, 1].min(), x[:90, 1].max()
    assert answer["position"][0] == pytest.approx(low - 1.5 * (high - low))
    assert set(answer["marks"]) == set(x[:90, 1])


def test_slide_between_rows_and_from_the_mean_runs_through_them(linear: One) -> None:
    x, _ = rows()
    answer = slide(linear, {"run": "r", "direction": "row", "row": 2, "other": 7})
    at = {round(float(p), 6): row for p, row in zip(answer["position"], answer["x"], strict=True)}
    np.testing.assert_allclose(at[0.0], x[92])
    np.testing.assert_allclose(at[1.0], x[97])
    answer = slide(linear, {"run": "r", "direction": "scale", "row": 2})
    at = {round(float(p), 6): row for p, row in zip(answer["position"], answer["x"], strict=True)}
    np.testing.assert_allclose(at[0.0], x[:90].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(at[1.0], x[92])
    assert answer["epistemic"][-1, 0] > 10 * answer["epistemic"][9, 0]


def test_slide_to_noise_ends_in_noise_of_the_data(linear: One) -> None:
    answer = slide(linear, {"run": "r", "direction": "noise", "row": 0})
    x, _ = rows()
    np.testing.assert_allclose(answer["x"][0], x[90])
    z = (answer["x"][-1] - x[:90].mean(axis=0)) / x[:90].std(axis=0)
    assert np.abs(z).max() < 5.0
    again = slide(linear, {"run": "r", "direction": "noise", "row": 0})
    np.testing.assert_array_equal(again["x"], answer["x"])


def test_slide_of_classes_gives_their_probabilities() -> None:
    x, y = rows(80)
    data = as_dataset((x, (y > 0).astype(int)))
    fit = tfbdl.fit("logistic", data)
    answer = slide(One(fit, data), {"run": "r", "direction": "feature", "feature": 0, "row": 1})
    np.testing.assert_allclose(answer["probs"].sum(axis=1), 1.0)
    assert answer["probs"][0, 1] < 0.1 < 0.9 < answer["probs"][-1, 1]  # its weight is positive


def test_distance_is_to_the_nearest_training_row_in_standard_deviations() -> None:
    rng = np.random.default_rng(5)
    train = rng.normal(size=(40, 2, 3)) * [1.0, 10.0, 0.1]
    train[:, 0, 0] = 3.0  # does not vary
    x = rng.normal(size=(7, 2, 3)) * [1.0, 10.0, 0.1] * 2
    flat = train.reshape(40, 6)
    sd = flat.std(axis=0)
    sd[0] = sd[1:].mean()
    expected = [
        min(np.sqrt(np.mean(((row.reshape(-1) - other) / sd) ** 2)) for other in flat) for row in x
    ]
    near = Neighbours.of(train)
    np.testing.assert_allclose(near.distance(x), expected, rtol=1e-6)
    assert near.distance(train[3:4])[0] == 0.0


def test_slide_keeps_the_standardised_training_rows(
    linear: One, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = slide(linear, {"run": "r", "direction": "noise", "row": 0})
    monkeypatch.setattr(Neighbours, "of", None)  # is not asked for again
    second = slide(linear, {"run": "r", "direction": "noise", "row": 1})
    assert first["distance"][0] != second["distance"][0]


def test_training_inputs_are_as_many_rows_as_their_numbers_allow() -> None:
    x = np.arange(600.0).reshape(100, 2, 3)
    data = as_dataset((x, np.zeros(100)))
    assert training_inputs(data).shape == (100, 2, 3)
    kept = training_inputs(data, most_numbers=300)
    assert kept[:, 0, 0].tolist() == list(range(0, 600, 12))
    assert len(training_inputs(data, most=7)) == 7
    assert len(training_inputs(data, most_numbers=2)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": "featre"}, "Did you mean 'feature'"),
        ({"direction": "feature", "feature": 3}, "'feature' must be from 0 to 2"),
        ({"direction": "row", "other": 30}, "'other' must be from 0 to 29"),
        ({"direction": "noise", "row": -1}, "'row' must be from 0 to 29"),
        ({"direction": "noise", "row": 1.5}, "'row' must be from 0 to 29"),
    ],
)
def test_slide_refuses_what_is_not_there(
    linear: One, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionsError, match=message):
        slide(linear, {"run": "r", **arguments})


def test_slide_refuses_inputs_by_name(linear: One) -> None:
    x, y = rows()
    data = as_dataset(({"a": x, "b": x}, y))
    with pytest.raises(DataError, match="inputs by name"):
        slide(One(linear.made, data), {"run": "r"})
