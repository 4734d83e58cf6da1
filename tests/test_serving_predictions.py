"""The predictions that the side process shows, against the formulas of a linear regression."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from serving_cases import BETA, One, closed_form, linear_regression, rows

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, ModelError
from tfbdl.serving.predictions import prediction_sets, predictions


@pytest.fixture
def linear() -> One:
    """A linear regression by formula, thirty of whose rows are held out."""
    return linear_regression()


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
