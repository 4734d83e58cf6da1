"""The page of predictions with a fake side process: numbers, classes, the slider, the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from dashboard_cases import charts_of, fake_side, finished_run, page_of_run
from tfbdl_dashboard import predictive_charts, predictive_tables
from tfbdl_dashboard.pages import predictions as page

from tfbdl.specs import RunSpec

LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.99])


def numbers(n: int = 50, targets: int = 1) -> dict[str, np.ndarray]:
    """Predictions of a normal with sd 2 (aleatoric variance 3, epistemic 1), as the task says."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(n, targets))
    y = mean + 2.0 * rng.normal(size=(n, targets))
    half = 2.0 * scipy.stats.norm.ppf((1 + LEVELS) / 2)[:, np.newaxis, np.newaxis]
    shape = (len(LEVELS), targets)
    grid = np.arange(1, 20) / 20
    return {
        "kind": np.array("numbers"),
        "rows": np.array("test rows"),
        "index": np.arange(n) * 2,
        "y": y,
        "mean": mean,
        "aleatoric": np.full((n, targets), 3.0),
        "epistemic": np.full((n, targets), 1.0),
        "pit": scipy.stats.norm.cdf((y - mean) / 2.0),
        "level": LEVELS,
        "low": mean - half,
        "high": mean + half,
        "found": np.full(shape, 0.7),
        "band_low": np.full(shape, 0.6),
        "band_high": np.full(shape, 0.8),
        "expected": grid,
        "observed": np.repeat(grid[:, np.newaxis], targets, axis=1),
        "observed_low": np.repeat(grid[:, np.newaxis] - 0.1, targets, axis=1),
        "observed_high": np.repeat(grid[:, np.newaxis] + 0.1, targets, axis=1),
        "target": np.array([f"t{i}" for i in range(targets)]),
        "uncertain": np.array([4, 1]),
        "uncertain_x": np.array([[0.1, 0.2], [0.3, 0.4]]),
        "feature": np.array(["age", "bmi"]),
    }


def classes() -> dict[str, np.ndarray]:
    """Four predictions of three classes, one of which is wrong; inputs are images 8 by 8."""
    probs = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    ones = np.ones(5)
    return {
        "kind": np.array("classes"),
        "rows": np.array("training rows"),
        "index": np.arange(4),
        "probs": probs,
        "label": np.array([0, 1, 2, 1]),
        "predicted": probs.argmax(axis=1),
        "aleatoric": np.array([0.3, 0.4, 0.5, 0.6]),
        "epistemic": np.array([0.0, 0.1, 0.1, 0.2]),
        "confidence": np.array([0.5, 0.7]),
        "accuracy": np.array([0.0, 1.0]),
        "count": np.array([1, 3]),
        "accuracy_low": np.array([0.0, 0.6]),
        "accuracy_high": np.array([0.7, 1.0]),
        "ece": np.array(0.25),
        "level": LEVELS,
        "found": ones,
        "band_low": 0.6 * ones,
        "band_high": ones,
        "size": 1.5 * ones,
        "class": np.array(["setosa", "versicolor", "virginica"]),
        "uncertain": np.array([3, 2]),
        "uncertain_x": np.random.default_rng(0).random((2, 64)),
        "feature": np.array([], str),
    }


def slide_of_numbers(**arguments: object) -> dict[str, np.ndarray]:
    """A line of five positions; the epistemic variance grows away from 0."""
    position = np.linspace(-2.0, 2.0, 5)
    column = position[:, np.newaxis]
    return {
        "position": position,
        "at": np.array(0.9),
        "distance": np.abs(position),
        "marks": np.array([-0.5, 0.5]),
        "mean": column,
        "low": column - 3,
        "high": column + 3,
        "aleatoric": np.full((5, 1), 4.0),
        "epistemic": column**2,
        "x": np.zeros((5, 2)),
    }


def info(columns: int) -> dict[str, object]:
    """The description of data in ``run.json``."""
    return {"x_shape": [columns], "x_dtype": "float32", "feature_names": None}


def test_predictions_page_shows_numbers_with_both_uncertainties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"nll": 1.25, "coverage_90": 0.875}
    spec = RunSpec(model="bbb", data="diabetes")
    finished_run(tmp_path, spec=spec, metrics=metrics, data_info=info(2))
    fake_side(monkeypatch, {"predictions": numbers(), "slide": slide_of_numbers})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    assert [m.value for m in shown.metric][:2] == ["1.25", "0.875"]
    texts = [t.value for t in shown.text]
    assert "50 test rows, evenly spaced among all." in texts
    captions = [c.value for c in shown.caption]
    assert "25.0% of the variance is epistemic: more data would take it away." in captions
    coverage = shown.dataframe[0].value
    assert list(coverage["nominal"]) == LEVELS.tolist()
    assert list(coverage["says"]) == [
        "covers more than it states",
        "as stated, up to noise",
        *["covers less than it states"] * 3,
    ]
    # four of predictions, and mean, uncertainties, distance along the slider's line
    assert len(charts_of(shown)) == 7
    extents = {c["config"]["axisY"]["minExtent"] for c in charts_of(shown)[4:]}
    assert len(extents) == 1  # one below the other
    assert any("By chance one of the 5 levels" in caption for caption in captions)


def test_predictions_page_moves_an_input_by_the_slider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(model="bbb", data="diabetes")
    finished_run(tmp_path, spec=spec, data_info=info(2))
    asked = fake_side(monkeypatch, {"predictions": numbers(), "slide": slide_of_numbers})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    assert asked[-1] == ("slide", "first", {"direction": "feature", "row": 0, "feature": 0})
    figures = {metric.label: metric.value for metric in shown.metric}
    assert (figures["mean"], figures["epistemic sd"]) == ("1", "1")  # nearest to the row: 0.9
    shown.select_slider[0].set_value(2.0).run()
    assert not shown.exception
    figures = {metric.label: metric.value for metric in shown.metric}
    assert (figures["mean"], figures["epistemic sd"], figures["aleatoric sd"]) == ("2", "2", "2")
    move = next(box for box in shown.selectbox if box.label == "Move")
    move.set_value("to another row").run()
    assert asked[-1] == ("slide", "first", {"direction": "row", "row": 0, "other": 1})


def test_predictions_page_moves_a_named_feature_of_a_table_and_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(model="bbb", data="diabetes")
    for columns, direction in ((49, "feature"), (100, "row")):
        known = info(columns) | {"feature_names": [f"c{i}" for i in range(columns)]}
        finished_run(tmp_path / str(columns), spec=spec, data_info=known)
        answers = {
            "predictions": numbers() | {"uncertain_x": np.eye(2, columns)},
            "slide": slide_of_numbers() | {"x": np.eye(5, columns)},
        }
        asked = fake_side(monkeypatch, answers)
        shown = page_of_run("predictions", tmp_path / str(columns), monkeypatch)
        assert asked[-1][2]["direction"] == direction
        move = next(box for box in shown.selectbox if box.label == "Move")
        assert "one feature" in move.options


def test_predictions_page_chooses_among_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(model="bbb", data="diabetes")
    finished_run(tmp_path, spec=spec, data_info={"x_shape": {"a": [2], "b": [3]}})
    fake_side(monkeypatch, {"predictions": numbers(targets=3)})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    target = next(box for box in shown.selectbox if box.label == "Target")
    assert list(target.options) == ["t0", "t1", "t2"]
    assert "none can be moved" in shown.info[0].value
    target.set_value(2).run()
    assert not shown.exception
    axes = [c["layer"][0]["encoding"]["x"]["title"] for c in charts_of(shown) if "layer" in c]
    assert "observed t2" in axes


def test_predictions_page_shows_classes_and_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(model="bbb", data="digits")
    finished_run(tmp_path, spec=spec, data_info=info(64))
    slide = slide_of_numbers() | {
        "probs": np.tile([0.5, 0.3, 0.2], (5, 1)),
        "aleatoric": np.full(5, 0.9),
        "epistemic": np.arange(5.0),
        "x": np.zeros((5, 64)),
    }
    asked = fake_side(monkeypatch, {"predictions": classes(), "slide": slide})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    assert "4 training rows." in [t.value for t in shown.text]
    assert any("error 0.250" in c.value for c in shown.caption)
    assert asked[-1][2]["direction"] == "row"  # pixels are not moved one by one
    figures = {metric.label: metric.value for metric in shown.metric}
    assert figures["class"] == "setosa (50%)"
    assert len(shown.get("image")) == 3  # the input that moves, and the two least certain rows
    table = shown.dataframe[1].value
    assert list(table["class"]) == ["versicolor", "virginica"]
    assert list(table["predicted"]) == ["setosa", "virginica"]
    assert table["epistemic share"].tolist() == pytest.approx([0.25, 1 / 6])


def test_predictions_page_of_a_model_of_rows_shows_its_figures_of_held_out_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=RunSpec(model="gmm", data="iris"), metrics={"test_nll": 2.5})
    asked = fake_side(monkeypatch, {})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    assert asked == []
    assert "Panels" in shown.info[0].value
    assert any(text.value.startswith("test_nll: 2.5.") for text in shown.text)


def test_predictions_page_without_an_answer_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=RunSpec(model="bbb", data="diabetes"))
    fake_side(monkeypatch, {"predictions": None})
    shown = page_of_run("predictions", tmp_path, monkeypatch)
    assert "Posterior and Panels" in shown.info[0].value
    assert not shown.dataframe


def test_all_rows_are_a_file_with_every_figure() -> None:
    answer = numbers(n=5, targets=2)
    text = predictive_tables.all_rows(answer).to_csv(index=False)
    frame = pd.read_csv(io.StringIO(text))
    assert list(frame["row"]) == [0, 2, 4, 6, 8]
    assert frame["sd of t1"].tolist() == pytest.approx([2.0] * 5)
    assert frame["low_90 of t0"].tolist() == pytest.approx(
        (answer["mean"][:, 0] - 2 * 1.6448536).tolist()
    )
    probs = predictive_tables.all_rows(classes())
    assert probs["p(setosa)"].tolist() == [0.8, 0.1, 0.2, 0.5]


def test_uncertain_rows_name_their_inputs() -> None:
    frame = predictive_tables.uncertain_rows(numbers(), with_inputs=True)
    assert list(frame["row"]) == [8, 2]
    assert frame["x: bmi"].tolist() == [0.2, 0.4]
    assert frame["epistemic share"].tolist() == pytest.approx([0.25, 0.25])


def test_captions_say_what_was_taken_for_what() -> None:
    assert predictive_tables.captions(classes(), [3, 0]) == [
        "versicolor taken for setosa (50%)",
        "setosa (80%)",
    ]


def test_parts_chart_stacks_rows_by_their_total() -> None:
    chart = predictive_charts.parts(np.array([3.0, 1.0]), np.array([0.0, 1.0]), "variance")
    frame = chart.data
    noise = frame[frame["part"] == predictive_charts.ALEATORIC]
    assert noise["value"].tolist() == [1.0, 3.0]
    assert noise["row"].tolist() == [25.0, 75.0]


def test_share_text_tells_an_infinite_variance_apart() -> None:
    assert page.share_text(np.ones(2), np.array([np.inf, 1.0]), "variance").startswith("The var")
    assert page.share_text(np.zeros(2), np.zeros(2), "entropy").startswith("0.0%")
