"""A plugin that others ship: installed from its folder, used, and found again in a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfbdl import scaffold

EXAMPLE = Path(__file__).parents[1] / "examples" / "third_party_plugin"
TRAIN = """
import sys, json
import keras, numpy as np, tfbdl
x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
y = x.sum(axis=1)
net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="w")])
model = tfbdl.BayesianNetwork(net, "gaussian", tfbdl.prior("logistic", scale=0.3))
options = {"warmup": 20, "draws": 30, "chains": 2}
fit = tfbdl.fit(model, (x, y), engine="barker", engine_options=options, seed=1)
model.compile("adam", jit_compile=False)
model.fit(x, y, verbose=0)
model.save(sys.argv[1])
shapes = {name: value.shape for name, value in fit.posterior.draws.items()}
print(json.dumps([shapes, model.predict(x).ravel().tolist()]))
"""
DASHBOARD = """
import json
from streamlit.testing.v1 import AppTest
from tfbdl.planning import panels_for

page = "\\n".join([
    "from tfbdl import engines",
    "from tfbdl_dashboard.forms import options_form",
    "options_form(engines['barker'].config, 'form')",
])
form = AppTest.from_string(page, default_timeout=120).run()
assert not form.exception
names = [widget.label for widget in form.number_input]
panels = [[p.name for p in panels_for("bbb", engine)] for engine in ("barker", "nuts")]
print(json.dumps([names, *panels]))
"""
LOAD = """
import sys, json
import numpy as np
{load}
x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
print(json.dumps([repr(model.prior), model.predict(x).ravel().tolist()]))
"""
BY_TFBDL = LOAD.format(load="import tfbdl; model = tfbdl.load(sys.argv[1])")
BY_KERAS = LOAD.format(
    load="from tfbdl import BayesianNetwork; import keras;"
    " model = keras.saving.load_model(sys.argv[1])"
)


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(site: Path, *arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(site), cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def install(folder: Path, site: Path) -> Path:
    """Install a distribution into ``site``, without a network."""
    pip = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    run(site, *pip, "--quiet", "--target", str(site), str(folder))
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(EXAMPLE, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def trained(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list]]:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    return path, json.loads(run(site, "-c", TRAIN, str(path)).rpartition("\n")[2])


def test_list_and_show_know_the_plugin(site: Path) -> None:
    assert "barker" in run(site, "-m", "tfbdl.cli", "list", "engines")
    assert "logistic" in run(site, "-m", "tfbdl.cli", "list", "priors")
    assert "tfbdl-barker" in run(site, "-m", "tfbdl.cli", "plugins")


def test_dashboard_has_its_form_and_its_panel(site: Path) -> None:
    form, its_own, others = json.loads(run(site, "-c", DASHBOARD))
    assert form == ["chains", "warmup", "draws", "thin", "step_size"]
    assert "barker_acceptance" in its_own
    assert "barker_acceptance" not in others


@pytest.mark.slow
def test_its_panel_computes_and_draws(site: Path) -> None:
    code = "from tfbdl import testing; print(testing.check_panel('barker_acceptance'))"
    assert run(site, "-c", code).endswith("None")


def test_its_engine_fits_a_network_with_its_prior(trained: tuple[Path, list]) -> None:
    shapes = trained[1][0]
    assert shapes["w.kernel"] == [2, 30, 3, 1]
    assert shapes["w.bias"] == [2, 30, 1]
    assert shapes["likelihood.scale"] == [2, 30]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(BY_TFBDL, id="tfbdl.load"),
        pytest.param(BY_KERAS, id="keras", marks=pytest.mark.slow),
    ],
)
def test_model_with_its_prior_loads_in_a_fresh_process(
    code: str, site: Path, trained: tuple[Path, list]
) -> None:
    path, (_, predicted) = trained
    prior, again = json.loads(run(site, "-c", code, str(path)).rpartition("\n")[2])
    assert prior == "logistic(scale=0.3)"
    assert again == predicted


@pytest.mark.slow
def test_its_own_tests_pass(site: Path) -> None:
    assert "4 passed" in run(site, "-m", "pytest", "-p", "no:cacheprovider", cwd=EXAMPLE)


@pytest.mark.slow
def test_new_plugin_passes_its_own_tests_at_once(tmp_path: Path) -> None:
    folder = scaffold.new_plugin("my_new_prior", tmp_path)
    site = install(folder, tmp_path / "site")
    assert "2 passed" in run(site, "-m", "pytest", "-p", "no:cacheprovider", cwd=folder)
