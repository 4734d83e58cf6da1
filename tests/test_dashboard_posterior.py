"""The page of the posterior, without TensorFlow: densities, forest, pairs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_cases import charts_of, fake_side, finished_run, page_of_run
from tfbdl_dashboard import posterior_charts
from tfbdl_dashboard.pages import posterior

from tfbdl.specs import RunSpec

NUTS = RunSpec(model="bbb", data="diabetes", engine="nuts")


def sites(chains: int = 2, draws: int = 100) -> dict[str, np.ndarray]:
    """Draws of a scalar far from zero and of a matrix about it."""
    rng = np.random.default_rng(0)
    return {
        "scale": rng.normal(9.0, 0.1, (chains, draws)),
        "dense.kernel": rng.normal(0.0, 1.0, (chains, draws, 20, 20)),
    }


def priors(elements: list[str], low: list[float], high: list[float]) -> dict[str, np.ndarray]:
    """What the side process would say: standard normal, and nothing of the scale."""
    grid = np.stack([np.linspace(-4.0, 4.0, 21)] * len(elements))
    flat = np.array([element == "scale" for element in elements])
    return {
        "element": np.array(elements),
        "x": np.where(flat[:, np.newaxis], np.nan, grid),
        "density": np.where(flat[:, np.newaxis], np.nan, np.exp(-0.5 * grid**2)),
        "note": np.where(flat, "The prior of this element is flat.", ""),
    }


def test_posterior_page_draws_prior_against_posterior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    asked = fake_side(monkeypatch, {"prior_draws": priors})
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    assert "2 chains of 100 draws, 401 elements in 2 sites." in [c.value for c in shown.caption]
    chosen = shown.multiselect[0].value
    assert chosen[0] == "scale"  # the surest
    (task, run, arguments), *others = asked
    assert (task, run, arguments["elements"], others) == ("prior_draws", "first", chosen, [])
    assert arguments["low"][0] < 9.0 < arguments["high"][0]
    assert "scale: The prior of this element is flat." in [text.value for text in shown.text]
    assert len(charts_of(shown)) == len(chosen)


def test_posterior_page_leaves_the_side_process_alone_without_the_prior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    asked = fake_side(monkeypatch, {"prior_draws": priors})
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    asked.clear()
    shown.toggle[0].set_value(False).run()
    assert not shown.exception
    assert asked == []


def test_posterior_page_finds_elements_of_the_forest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    fake_side(monkeypatch, {"prior_draws": priors})
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    shown.segmented_control[0].set_value(posterior.FOREST).run()
    rows = rows_of_forest(shown)
    assert len(rows) == posterior.MOST_ROWS
    assert rows[0] == "scale"
    shown.text_input[0].set_value("[3, 1").run()
    assert not shown.exception
    expected = {"dense.kernel[3, 1]", *(f"dense.kernel[3, {i}]" for i in range(10, 20))}
    assert set(rows_of_forest(shown)) == expected
    shown.text_input[0].set_value("nothing like it").run()
    assert [info.value for info in shown.info] == ["No element has this in its name."]


def test_posterior_page_marks_divergent_draws_in_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging = np.zeros((2, 100), bool)
    diverging[1, :7] = True
    stats = {"diverging": diverging}
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites(), stats=stats)
    fake_side(monkeypatch, {"prior_draws": priors})
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    shown.segmented_control[0].set_value(posterior.PAIRS).run()
    assert not shown.exception
    assert any(text.value.startswith("7 divergent transitions") for text in shown.text)
    assert len(charts_of(shown)) == 3  # each of three elements against each
    shown.multiselect[0].set_value(["scale"]).run()
    assert shown.info[0].value == "Choose two to 5 elements."


def test_posterior_page_warns_of_an_element_that_was_mistyped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    fake_side(monkeypatch, {"prior_draws": priors})
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    shown.multiselect[0].set_value(["scale"]).run()
    for typed, said in (("scael", "Did you mean"), ("dense.kernel[,]", "has the shape")):
        shown.text_input[0].set_value(typed).run()
        assert not shown.exception
        assert said in shown.warning[0].value
        assert len(charts_of(shown)) == 1
    shown.text_input[0].set_value(" dense.kernel[19,19] ").run()
    assert not shown.warning
    assert "dense.kernel[19, 19]" in json.dumps(charts_of(shown)[1])


def test_choosing_a_site_offers_none_of_another_whose_name_begins_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    both = {"mu": rng.normal(size=(2, 100, 3)), "mu_all": rng.normal(5.0, 1.0, (2, 100, 3))}
    finished_run(tmp_path, spec=NUTS, verdicts=["x"], draws=both)
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    site = next(box for box in shown.selectbox if box.label == "Site")
    site.set_value("mu").run()
    assert not shown.exception
    assert set(shown.multiselect[0].options) == {"mu[0]", "mu[1]", "mu[2]"}


def test_posterior_page_says_why_there_are_no_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished_run(tmp_path, spec=RunSpec(model="gmm", data="iris"))
    shown = page_of_run("posterior", tmp_path, monkeypatch)
    assert "point estimate" in shown.info[0].value
    folder.set_state("cancelled", "Cancelled at step 3.")
    assert "when the run is done" in page_of_run("posterior", tmp_path, monkeypatch).info[0].value


def test_prior_notes_say_once_what_holds_of_all() -> None:
    answer = {"element": np.array(["a", "b"]), "note": np.array(["Flat.", "Flat."])}
    assert posterior.prior_notes(answer) == ["Flat."]
    answer["note"] = np.array(["Flat.", ""])
    assert posterior.prior_notes(answer) == ["a: Flat."]


def test_density_chart_cuts_a_prior_with_a_pole_off() -> None:
    values = np.random.default_rng(0).normal(size=500)
    grid = np.linspace(-3.0, 3.0, 101)
    tall = np.where(np.abs(grid) < 0.1, 1e9, 0.1)
    spec = json.loads(posterior_charts.density_chart("w", values, (grid, tall)).to_json())
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low == 0
    assert 0.4 < high < 4.0  # a standard normal's peak is 0.4


@pytest.mark.slow
def test_posterior_and_diagnostics_pages_leave_tensorflow_out(tmp_path: Path) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    code = f"""
import os, sys
os.environ["TFBDL_RUNS"] = {str(tmp_path)!r}
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import side
side.computed = lambda *args, **kwargs: None
for name in ("posterior", "diagnostics", "predictions"):
    page = AppTest.from_string(f"from tfbdl_dashboard.pages import {{name}}; {{name}}.show()")
    page.query_params["run"] = "first"
    assert not page.run(timeout=60).exception, name
print(sorted({{"tensorflow", "keras"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def rows_of_forest(shown: Any) -> list[str]:
    """The labels of the forest, from above."""
    chart = shown.get("vega_lite_chart")[0]
    datasets = {d.name: d for d in chart.proto.datasets}
    for dataset in datasets.values():
        frame = _frame(dataset.data.data)
        if "element" in frame:
            return list(frame["element"])
    raise AssertionError("the page has no forest")


def _frame(content: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(content).read_pandas()
