"""A line away from the data: what is predicted along it, and how far from the data it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from serving_cases import BETA, One, closed_form, covariance, linear_regression, rows

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.serving.rows import training_inputs
from tfbdl.serving.slide import Neighbours, slide


@pytest.fixture
def linear() -> One:
    """A linear regression by formula, thirty of whose rows are held out."""
    return linear_regression()


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
