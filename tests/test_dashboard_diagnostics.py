"""The page of diagnostics: verdicts in plain words, tables, traces; and runs without a chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dashboard_cases import charts_of, finished_run, page_of_run
from tfbdl_dashboard import draws, jobs
from tfbdl_dashboard.pages import diagnostics as page

from tfbdl import runs
from tfbdl.specs import RunSpec

NUTS = RunSpec(model="linear", data="diabetes", engine="nuts")


def sites() -> dict[str, np.ndarray]:
    """Four chains: one element is well, of another a chain stands apart."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 300, 3))
    weights[2, :, 1] += 3.0
    return {"weights": weights, "scale": rng.gamma(5.0, size=(4, 300))}


def stats() -> dict[str, np.ndarray]:
    """What a sampler reports."""
    rng = np.random.default_rng(1)
    diverging = np.zeros((4, 300), bool)
    diverging[3, :5] = True
    return {"energy": rng.normal(size=(4, 300)), "diverging": diverging}


def test_diagnostics_page_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = ["R-hat 1.60 > 1.01 for weights[1]: do not use", "bulk ESS 7 < 400 for weights[1]"]
    finished_run(tmp_path, spec=NUTS, verdicts=verdicts, draws=sites(), stats=stats())
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert shown.error[0].value == "Do not use these draws yet."
    texts = [text.value for text in shown.text]
    assert "\n".join(verdicts) in texts
    assert any("have not met" in text for text in texts)
    assert any("Too few draws" in text for text in texts)
    assert not any("tfbdl resume" in text for text in texts)


def test_diagnostics_page_puts_the_worst_element_first_and_traces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=["x"], draws=sites(), stats=stats())
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert shown.warning[0].value.startswith("Read this")
    table = shown.dataframe[0].value
    assert table["element"].iloc[0] == "weights[1]"
    assert table["R-hat"].iloc[0] > 1.3
    assert (table["R-hat"].iloc[1:] < 1.05).all()
    assert shown.multiselect[0].value[0] == "weights[1]"
    by_chain = shown.dataframe[1].value
    assert list(by_chain["divergent"]) == [0, 0, 0, 5]
    assert by_chain["E-BFMI"].tolist() == pytest.approx(
        [2.0] * 4, abs=0.35
    )  # of independent energies
    assert len(charts_of(shown)) == 5  # trace and ranks of two elements, energy


def test_diagnostics_page_extends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(jobs, "_launch", lambda folder, arguments: asked.append(arguments))
    folder = finished_run(tmp_path, spec=NUTS, verdicts=["x"], draws=sites())
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert shown.number_input[0].value == 300  # as many as it has
    shown.number_input[0].set_value(250).run()
    shown.button[0].click().run()
    assert not shown.exception
    assert asked == [["resume", "--draws", "250", str(folder.path.absolute())]]


def test_diagnostics_page_offers_no_more_draws_where_there_can_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=RunSpec(model="linear"), verdicts=[], draws=sites())
    assert not page_of_run("diagnostics", tmp_path, monkeypatch).button
    assert jobs.not_extendable(runs.RunFolder(tmp_path / "first")).startswith("This run was made")
    spec = RunSpec(model="bbb", data="diabetes")  # variational by default
    folder = finished_run(tmp_path / "other", spec=spec)
    assert "no draws to add" in jobs.not_extendable(folder)


def test_diagnostics_page_says_when_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=NUTS, verdicts=[], draws=sites())
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert "Nothing speaks against these draws" in shown.success[0].value
    assert "400 effective draws" in shown.success[0].value


def test_diagnostics_page_of_independent_draws_shows_curves_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"weights": np.zeros((1, 10, 2))}
    folder = finished_run(tmp_path, spec=RunSpec(model="bbb", data="diabetes"), draws=one)
    with runs.MetricsWriter(folder.metrics_path) as writer:
        for step in range(5):
            writer.write(step, {"elbo": -10.0 + step, "val_elbo": -11.0 + step, "other": 1.0})
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert "no Markov chain" in shown.info[0].value
    (chart,) = charts_of(shown)
    domain = chart["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert domain == ["elbo", "val_elbo"]
    assert not shown.dataframe


def test_diagnostics_page_of_a_point_estimate_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, spec=RunSpec(model="gmm", data="iris"))
    shown = page_of_run("diagnostics", tmp_path, monkeypatch)
    assert "point estimate" in shown.info[0].value
    assert "This run recorded no curve." in [text.value for text in shown.text]


def test_summary_leaves_out_constants_and_says_what_it_looked_at() -> None:
    rng = np.random.default_rng(3)
    constant = np.broadcast_to(rng.normal(size=4), (2, 50, 4))
    found = draws.Draws(sites={"a": rng.normal(size=(2, 50, 30)), "b": constant}, stats={})
    table = page.summary(found, most=10)
    assert {label.partition("[")[0] for label in table["element"]} == {"a"}
    assert table.attrs["notes"] == ["a: 10 of 30 elements, evenly spaced."]
    row = table.set_index("element").loc["a[3]"]
    values = found.sites["a"][..., 3]
    assert row["mean"] == pytest.approx(values.mean())
    # of independent draws the error of the mean is about sd / sqrt(n)
    assert row["MCSE"] == pytest.approx(values.std() / 10.0, rel=0.5)


def test_advice_is_given_once_for_each_kind() -> None:
    verdicts = ["R-hat 1.2 for a", "R-hat 1.3 for b", "3 divergent of 10 transitions"]
    said = page.advice(verdicts)
    assert len(said) == 2
    assert any("target_accept" in text for text in said)
