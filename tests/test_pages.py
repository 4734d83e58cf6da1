"""The Python examples of all pages run as they stand; README and evaluation do what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import page_examples
import pytest

import tfbdl
from tfbdl import calibration

QUICK = ("README.md", "docs/plugin-authors.md")
PAGES = [
    pytest.param(name, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in map(page_examples.name_of, page_examples.pages())
    if "```python" in (page_examples.ROOT / name).read_text()
]


@dataclass
class Ran:
    """A page whose examples have run: where, and what was defined after each."""

    folder: Path
    after: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """Run a page, once, in a folder of its own."""
    done: dict[str, Ran] = {}

    def run(name: str) -> Ran:
        if name not in done:
            folder = tmp_path_factory.mktemp("page")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                done[name] = Ran(folder, page_examples.run(page_examples.ROOT / name))
        return done[name]

    return run


@pytest.mark.parametrize("name", PAGES)
def test_examples_of_the_page_run(name, ran) -> None:
    assert ran(name).after


# -- the README --------------------------------------------------------------------------------


def test_readme_has_an_example_for_each_of_its_readers(ran) -> None:
    assert len(ran("README.md").after) == 3


def test_network_of_the_readme_has_intervals_and_is_stored(ran) -> None:
    page = ran("README.md")
    low, high = page.after[0]["low"], page.after[0]["high"]
    assert low.shape == high.shape == (92, 1)
    assert (low < high).all()
    assert isinstance(page.after[0]["model"], tfbdl.BayesianNetwork)
    assert (page.folder / "model.keras").is_file()


def test_posterior_of_the_readme_is_that_of_eight_schools(ran) -> None:
    fit = ran("README.md").after[1]["fit"]
    assert all(math.isfinite(value) for value in fit.metrics.values())
    assert set(fit.posterior.mean()) == {"mu", "tau", "z"}
    # posteriordb's reference draws, eight_schools_noncentered: 4.41 with a deviation of 3.3;
    # 4,000 draws whose effective number is at least 400 have an error of 0.17
    assert fit.posterior.mean()["mu"] == pytest.approx(4.41, abs=0.7)


def test_plugin_of_the_readme_yields_a_prior(ran) -> None:
    (spec,) = ran("README.md").after[2]["tfbdl_priors"]()
    assert isinstance(spec, tfbdl.PriorSpec)


# -- evaluation --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluation(ran) -> list[dict[str, Any]]:
    return ran("docs/evaluation.md").after


@pytest.mark.slow
def test_every_section_on_evaluation_has_an_example(evaluation) -> None:
    sections = (page_examples.ROOT / "docs" / "evaluation.md").read_text().count("\n## ")
    assert len(evaluation) == 1 + sections + 1  # the set-up, and temperatures


@pytest.mark.slow
def test_temperature_makes_the_held_out_rows_likelier(evaluation) -> None:
    scaling = evaluation[2]["scaling"]
    assert scaling.nll_after < scaling.nll_before
    assert evaluation[2]["probs"].shape == (len(evaluation[2]["test"]), 8)


@pytest.mark.slow
def test_strange_digits_are_more_uncertain(evaluation) -> None:
    assert evaluation[4]["found"].auroc > 0.6  # chance is 0.5, with an error of 0.02


@pytest.mark.slow
def test_sets_cover(evaluation) -> None:
    test, sets, y = (evaluation[5][name] for name in ("test", "sets", "y"))
    # 480 held-out rows and as many of the test: a deviation of 0.0065
    assert np.mean(sets[np.arange(len(test)), y[test]]) == pytest.approx(0.99, abs=0.026)


@pytest.mark.slow
def test_intervals_cover(evaluation) -> None:
    y, low, high = (evaluation[6][name] for name in ("y", "low", "high"))
    # 120 held-out and 122 test rows: a deviation of 0.04
    assert calibration.coverage(y[320:, np.newaxis], low, high) == pytest.approx(0.9, abs=0.1)
