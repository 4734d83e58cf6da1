"""The panels of Bayes by Backprop: what they say of weights, against the model and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tfbdl_bbb.panel import PruningControls
from tfbdl_bbb.weights import SHARES, densities, pruning

import tfbdl
from tfbdl import evaluation
from tfbdl.data import as_dataset
from tfbdl.errors import ModelError
from tfbdl.fitted import Fit
from tfbdl.specs import RunSpec

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = (X @ [1.0, -1.0, 0.5] + 0.1 * RNG.normal(size=60)).astype("float32")
DRAWS = 32


def fit_of(y: np.ndarray, data: Any = "known", **options: Any) -> Fit:
    """A net whose weights and scales are set at random, as if it were trained."""
    rows = as_dataset((X, y))
    model = tfbdl.build("bbb", rows, model_options={"hidden": (6,), **options}, seed=1)
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) - 1.0)
    fit = Fit(
        model=model,
        posterior=model.posterior,
        history={},
        metrics={},
        spec=RunSpec(model="bbb"),
        info=rows.info,
    )
    fit.given = (None, rows if data == "known" else None)
    return fit


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_of(Y)


def test_nothing_pruned_is_what_the_fit_says_of_itself(fit: Fit) -> None:
    said = pruning(fit, PruningControls(pruned=0.0))
    expected = fit.evaluate((X, Y), draws=DRAWS)
    assert str(said["figure_name"]) == "rmse"
    np.testing.assert_allclose(said["now"], [expected["rmse"], expected["nll"]], rtol=1e-5)
    np.testing.assert_array_equal(said["now"], said["whole"])
    assert np.isnan(said["cut"])


def test_a_pruned_net_is_the_one_that_the_model_itself_prunes(fit: Fit) -> None:
    said = pruning(fit, PruningControls(pruned=0.75))
    by_model = evaluation.evaluate(fit.model.prune(0.75).predictive(X, draws=DRAWS, seed=0), Y)
    np.testing.assert_allclose(said["now"], [by_model["rmse"], by_model["nll"]], rtol=1e-5)
    place = SHARES.index(0.75)
    np.testing.assert_allclose(said["now"], [said["figure"][0, place], said["nll"][0, place]])


def test_orders_agree_where_all_or_none_are_pruned_and_nowhere_else(fit: Fit) -> None:
    said = pruning(fit, PruningControls())
    for name in ("figure", "nll"):
        np.testing.assert_allclose(said[name][1:, [0, -1]], said[name][:1, [0, -1]].repeat(2, 0))
        assert not np.allclose(said[name][0, 1:-1], said[name][2, 1:-1])


@pytest.mark.parametrize("order", ["signal_to_noise", "reversed"])
def test_the_cut_parts_the_weights_that_go_from_those_that_stay(fit: Fit, order: Any) -> None:
    said = pruning(fit, PruningControls(pruned=0.4, order=order))
    ratios = np.concatenate([r.ravel() for r in fit.model.signal_to_noise().values()])
    gone = ratios <= said["cut"] * 1.00001 if order == "signal_to_noise" else ratios >= said["cut"]
    assert gone.sum() == pytest.approx(int(said["removed"]), abs=1)
    assert int(said["weights"]) == ratios.size


def test_densities_of_ratios_add_up_and_the_cdf_is_that_of_the_weights(fit: Fit) -> None:
    said = pruning(fit, PruningControls())
    width = np.diff(np.log10(said["ratio"]))[0]
    assert said["density"].sum() * width == pytest.approx(1.0)
    ratios = np.concatenate([r.ravel() for r in fit.model.signal_to_noise().values()])
    middle = len(said["ratio"]) // 2
    edge = said["ratio"][middle] * 10 ** (width / 2)
    assert said["cdf"][middle] == pytest.approx(np.mean(ratios <= edge))
    assert list(said["layer"]) == list(fit.model.signal_to_noise())


def test_classes_are_scored_by_their_error() -> None:
    labels = (Y > 0).astype("int32")
    fit = fit_of(labels)
    said = pruning(fit, PruningControls(pruned=0.0))
    expected = fit.evaluate((X, labels), draws=DRAWS)
    assert str(said["figure_name"]) == "error"
    np.testing.assert_allclose(said["now"], [expected["error"], expected["nll"]], rtol=1e-5)


def test_without_data_the_ratios_stand_and_the_figures_are_missing() -> None:
    said = pruning(fit_of(Y, data=None), PruningControls())
    assert "density" in said
    assert "figure" not in said


def test_a_posterior_without_spread_is_refused() -> None:
    with pytest.raises(ModelError, match="a point for each weight"):
        pruning(fit_of(Y, posterior="delta"), PruningControls())


def test_densities_are_of_weights_alone() -> None:
    alone, beside = fit_of(Y), fit_of(Y)
    whole = beside.posterior

    class WithScale:
        """Another site that was sampled too, far from all weights."""

        mean, stddev = whole.mean, whole.stddev

        def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
            return {**whole.sample(n, seed=seed), "likelihood.scale": np.full((n, 5000), 50.0)}

    for weight, value in zip(beside.model.variables, alone.model.variables, strict=True):
        weight.assign(value)
    beside.posterior = WithScale()
    expected, said = densities(alone, None), densities(beside, None)
    np.testing.assert_array_equal(said["value"], expected["value"])
    np.testing.assert_allclose(said["density"], expected["density"], rtol=1e-6)


def test_densities_are_those_of_the_prior_and_of_the_posterior(fit: Fit) -> None:
    said = densities(fit, None)
    curves = dict(zip(said["curve"], said["density"], strict=True))
    # 200,000 draws over some 80 bins: a standard error of 0.01 at the most
    np.testing.assert_allclose(curves["prior"], stats.norm.pdf(said["value"]), atol=0.06)
    width = said["value"][1] - said["value"][0]
    mean, sd = fit.posterior.mean(), fit.posterior.stddev()
    sites = list(fit.model.weight_sites())
    reach = said["value"][-1] + width / 2
    inside = [
        stats.norm.cdf(reach, mean[s], sd[s]) - stats.norm.cdf(-reach, mean[s], sd[s])
        for s in sites
    ]
    expected = np.concatenate([part.ravel() for part in inside]).mean()
    assert curves["posterior"].sum() * width == pytest.approx(expected, abs=0.02)
    assert said["count"].tolist() == [mean[s].size for s in sites]
    np.testing.assert_allclose(said["mean_sd"], [sd[s].mean() for s in sites], rtol=1e-5)
