"""Single pages in a real browser: addresses, forms of all models, faults, times."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import pytest
from browsing import Visit
from dashboard_process import Dashboard, serving, write_distribution

from tfbdl import registry
from tfbdl.runs import RESULT, MetricsWriter, RunFolder
from tfbdl.specs import RunSpec

pytestmark = pytest.mark.browser

RUNS, STEPS = 50, 10_000
FAILED = "run-01"
FAILING = """
raise RuntimeError("no licence was found")
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.browser() as found:
        yield found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty finished runs, each with a thousand logged steps; the first has ten thousand."""
    folder = tmp_path_factory.mktemp("runs")
    for number in range(RUNS):
        run = RunFolder(folder / f"run-{number:02}").create()
        run.write_spec(RunSpec(model="bbb", data="diabetes", seed=number))
        with MetricsWriter(run.metrics_path) as writer:
            for step in range(STEPS if number == 0 else 1_000):
                writer.write(step, elbo_of(step, number))
        figures = {"nll": 5.0 + number / 100, "rmse": 50.0 + number}
        (run.path / RESULT).write_text(json.dumps({"metrics": figures}))
        run.set_state("done")
    failed = RunFolder(folder / FAILED)
    failed.write_spec(RunSpec(model="vae", data="digits", model_options={"latent_dim": 3}))
    failed.set_state("failed", "DataError: A Bernoulli likelihood takes x from 0 to 1.")
    return folder


def elbo_of(step: int, seed: int) -> dict[str, float]:
    """A bound that climbs, as its two parts would."""
    fit = -2_000.0 - 3_000.0 * math.exp(-step / 300) + 5.0 * math.sin(step + seed)
    kl = 900.0 - 500.0 * math.exp(-step / 500)
    return {"elbo": fit - kl, "kl": kl, "nll": -fit / 400}


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard beside which a plugin is installed that fails when it is imported."""
    site = tmp_path_factory.mktemp("site")
    (site / "plugin_without_licence.py").write_text(FAILING)
    entries = {"licensed": "plugin_without_licence"}
    write_distribution(site, "licensed-plugin", "2.1", entries)
    with serving(root, PYTHONPATH=str(site)) as found:
        yield found


@pytest.fixture
def tab(browser: Any, server: Dashboard) -> Iterator[Visit]:
    """A tab in which nothing may go wrong, and which asks nobody else."""
    found = browsing.visit(browser, server)
    yield found
    found.close()
    assert not found.problems
    assert not found.outside


def test_first_paint_is_quick_and_loads_no_tensorflow(
    browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.perf_counter()
    with serving(tmp_path) as fresh:
        tab = browsing.visit(browser, fresh)
        tab.page.goto(fresh.address)
        tab.page.get_by_role("heading", name="Runs", level=1).wait_for()
        tab.wait_for("There is no run yet.", timeout=15)  # what stands below it comes after it
        seconds = time.perf_counter() - begun
        assert not any("libtensorflow" in name for name in fresh.libraries())
        tab.close()
    with capsys.disabled():
        print(f"\nfirst paint, server started and page drawn: {seconds:.1f} s")
    assert seconds < 15
    assert not tab.problems


@pytest.mark.parametrize(
    "path", [pytest.param("/posterior?run=run-07", marks=pytest.mark.slow), "/new-run"]
)
def test_address_of_a_page_works_on_a_fresh_server(path: str, browser: Any, root: Path) -> None:
    with serving(root) as fresh:
        tab = browsing.visit(browser, fresh)
        tab.open(path)
        title = {"/new-run": "New run"}.get(path, "Posterior")
        assert tab.page.get_by_role("heading", level=1).all_inner_texts() == [title]
        assert tab.page.get_by_text("Page not found").count() == 0
        tab.close()
    assert not tab.problems


@pytest.mark.slow
def test_every_page_has_an_address_that_names_its_run(tab: Visit) -> None:
    titles = {
        "/": "Runs",
        "/runs": "Runs",
        "/plugins": "Plugins",
        "/live?run=run-07": "Live",
        "/predictions?run=run-07": "Predictions",
        "/diagnostics?run=run-07": "Diagnostics",
        "/panels?run=run-07": "Panels",
    }
    for path, title in titles.items():
        tab.open(path)
        assert tab.page.get_by_role("heading", level=1).all_inner_texts() == [title], path
        assert "run=" not in path or "run-07" in tab.text(), path
    tab.open("/predictions?run=../run-07")
    assert "There is no run" in tab.text()


@pytest.mark.slow
def test_every_model_has_a_form_and_a_command_line(tab: Visit) -> None:
    tab.open("/new-run")
    for name, spec in registry.registry().models.items():
        tab.choose("Model", f"{name} · {spec.summary}")
        said = tab.text()
        assert f"Model: {name}\n" in said
        assert f"Engine: {spec.default_engine}\n" in said, name
        assert "Choose the data." in said, name
        assert tab.page.get_by_test_id("stAlertContentError").count() == 0, name
        assert tab.page.get_by_test_id("stException").count() == 0, name
    tab.choose("Model", "bbb ·")
    tab.choose("Data set", "diabetes")
    assert tab.command().startswith("tfbdl run bbb --data diabetes")
    tab.page.get_by_role("tab", name="Python").click()
    tab.settle()
    assert 'tfbdl.fit("bbb", "diabetes"' in tab.text()


@pytest.mark.slow
def test_malformed_table_is_refused_and_not_kept(tab: Visit, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("a,b,c\n1,2,3\n4,5\n6,7,8,9,10\n")
    tab.open("/new-run")
    tab.pick("Upload")
    tab.page.locator("input[type=file]").set_input_files(path)
    tab.wait_for("This file cannot be used.")
    tab.settle()
    assert str(tmp_path) not in tab.page.content()
    assert tab.page.get_by_test_id("stBaseButton-primary").is_disabled()
    kept = tab.server.root / ".uploads"
    assert not kept.exists() or not list(kept.iterdir())


@pytest.mark.slow
def test_choices_of_a_run_that_failed_can_be_changed(tab: Visit) -> None:
    tab.open(f"/live?run={FAILED}")
    assert "A Bernoulli likelihood takes x from 0 to 1." in tab.text()
    tab.page.get_by_role("button", name="Change its choices").click()
    tab.page.get_by_role("heading", name="New run", level=1).wait_for()
    tab.settle()
    said = tab.text()
    assert f"The choices of the run {FAILED} are shown." in said
    assert tab.command().startswith("tfbdl run vae --data digits")
    assert "--model.latent_dim 3" in tab.command()


def test_plugin_that_fails_is_shown_with_what_to_do(tab: Visit) -> None:
    tab.open("/plugins")
    said = tab.text()
    assert "no licence was found" in said
    assert "licensed" in said
    assert "What to do:" in said
    assert "Models (" in said  # the others are there
    tab.follow("New run")
    assert tab.page.get_by_role("combobox", name="Model").count() == 1


def test_many_runs_and_long_curves_stay_quick(
    tab: Visit, capsys: pytest.CaptureFixture[str]
) -> None:
    tab.open("/plugins")
    seconds = {}

    def follow(name: str, sign: Any) -> None:
        link = tab.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True)
        begun = time.perf_counter()
        link.click()
        tab.seconds_until(lambda: sign.count() > 0)
        seconds[name] = time.perf_counter() - begun
        tab.settle()

    follow("Runs", tab.page.get_by_test_id("stDataFrame").locator("canvas"))
    tab.open("/plugins?run=run-00")
    follow("Live", tab.page.get_by_test_id("stVegaLiteChart").locator("canvas, svg"))
    assert tab.page.get_by_test_id("stVegaLiteChart").count() >= 2
    with capsys.disabled():
        said = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        print(f"\nfifty runs and ten thousand steps: {said}")
    assert max(seconds.values()) < 4
