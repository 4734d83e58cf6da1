"""The package's public names, and that the light ones never load TensorFlow."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tfbdl

ROOT = Path(tfbdl.__file__).parent
LIGHT_FUNCTIONS = ("build", "fit", "load", "plan", "resume")


def run(code: str, **environment: str) -> str:
    """Run ``code`` in a fresh process; return its last line."""
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    variables = {name: value for name, value in variables.items() if value}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("\n")[2]


def test_light_side_leaves_tensorflow_out() -> None:
    code = """
import sys, json
import tfbdl, tfbdl.pytest_plugin
from tfbdl import hookimpl, Config, Field, ModelSpec, EngineSpec, PriorSpec, DatasetSpec
from tfbdl import PanelSpec, Capability, errors, runs
from tfbdl.planning import plan
from tfbdl.specs import RunSpec
list(tfbdl.models), list(tfbdl.engines), list(tfbdl.priors), list(tfbdl.datasets)
list(tfbdl.plugins), tfbdl.__version__, dir(tfbdl)
refused = 0
for ask in (
    lambda: tfbdl.models["no_such_model"],
    lambda: plan(RunSpec(model="no_such_model")),
    lambda: plan(RunSpec(model=None, engine="no_such_engine")),
    lambda: tfbdl.no_such_name,
):
    try:
        ask()
    except (tfbdl.errors.TfbdlError, AttributeError):
        refused += 1
heavy = {"tensorflow", "keras", "tensorflow_probability", "tf_keras", "streamlit"}
print(json.dumps([refused, sorted(heavy & set(sys.modules))]))
"""
    assert json.loads(run(code)) == [4, []]


def test_public_functions_stay_functions_and_refuse_wrong_names_without_tensorflow() -> None:
    code = """
import sys, json
import tfbdl
outcomes = []
for attempt in range(2):
    for name in ("fit", "build", "plan"):
        try:
            getattr(tfbdl, name)("no_such_model", "no_such_data")
        except tfbdl.errors.UnknownNameError as error:
            outcomes.append([name, error.kind])
outcomes.append(sorted({"tensorflow", "keras"} & set(sys.modules)))
for attempt in range(2):
    for name in ("load", "resume"):
        try:
            getattr(tfbdl, name)("no_such_folder")
        except tfbdl.errors.TfbdlError:
            outcomes.append(name)
print(json.dumps(outcomes))
"""
    names = [["fit", "model"], ["build", "model"], ["plan", "model"]]
    assert json.loads(run(code)) == [*names, *names, [], "load", "resume", "load", "resume"]


def test_no_module_bears_the_name_of_a_public_function_or_mapping() -> None:
    modules = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    functions = {"bayesianize", "prior", "models", "engines", "priors", "datasets", "plugins"}
    assert not modules & (functions | set(LIGHT_FUNCTIONS))


def test_public_names_are_those_of_the_documentation() -> None:
    assert set(tfbdl.__all__) == {
        "fit",
        "build",
        "load",
        "resume",
        "plan",
        "BayesianNetwork",
        "bayesianize",
        "LogDensity",
        "Predictive",
        "Posterior",
        "Fit",
        "Dataset",
        "models",
        "engines",
        "priors",
        "datasets",
        "plugins",
        "prior",
        "likelihoods",
        "layers",
        "inference",
        "calibration",
        "testing",
        "sklearn",
        "runs",
        "hookimpl",
        "Config",
        "Field",
        "ModelSpec",
        "EngineSpec",
        "PriorSpec",
        "DatasetSpec",
        "PanelSpec",
        "Capability",
        "errors",
        "__version__",
    }
    assert set(tfbdl.__all__) <= set(dir(tfbdl))


def test_misspelt_public_name_names_the_nearest() -> None:
    with pytest.raises(
        AttributeError, match=r"has no attribute 'BayesNetwork'\. Did you mean 'Baye"
    ):
        _ = tfbdl.BayesNetwork


def test_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()


GATE = """
import os, tfbdl
try:
    import tfbdl._backend
    print("ok", os.environ["KERAS_BACKEND"])
except tfbdl.errors.BackendError as error:
    print(error)
"""


def test_gate_sets_the_variable_where_nothing_is_configured(tmp_path: Path) -> None:
    assert run(GATE, KERAS_BACKEND="", KERAS_HOME=str(tmp_path)) == "ok tensorflow"


def test_gate_accepts_a_file_that_names_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    assert run(GATE, KERAS_BACKEND="", KERAS_HOME=str(tmp_path)) == "ok tensorflow"


def test_gate_names_the_variable_to_change(tmp_path: Path) -> None:
    message = run(GATE, KERAS_BACKEND="jax", KERAS_HOME=str(tmp_path))
    assert "the environment variable KERAS_BACKEND names 'jax'" in message
    assert "Set KERAS_BACKEND=tensorflow before keras is imported." in message


def test_gate_names_the_file_to_change_and_the_variable_outweighs_it(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    message = run(GATE, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    assert f"the file {tmp_path / 'keras.json'} names 'torch'" in message
    assert 'Write "backend": "tensorflow" into' in message
    assert run(GATE, KERAS_BACKEND="tensorflow", KERAS_HOME=str(tmp_path)) == "ok tensorflow"


OURS = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=65536"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", OURS),
        ("--xla_dump_to=x", f"--xla_dump_to=x {OURS}"),
        ("--xla_backend_extra_options=a=b", "--xla_backend_extra_options=a=b"),
        ("flags.txt", "flags.txt"),
    ],
)
def test_gate_asks_for_small_loops_in_one_kernel_and_leaves_what_the_user_set(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("XLA_FLAGS", before)
    gate = importlib.reload(importlib.import_module("tfbdl._backend"))
    assert os.environ[gate.XLA_VARIABLE] == after


@pytest.mark.parametrize(("running", "shown"), [("jax", "imported on 'jax'"), ("tensorflow", "ok")])
def test_gate_asks_keras_itself_once_it_is_imported(running: str, shown: str) -> None:
    imported = f"""
import sys, types
keras = sys.modules["keras"] = types.ModuleType("keras")
keras.config = types.SimpleNamespace(backend=lambda: {running!r})
"""
    assert shown in run(imported + GATE, KERAS_BACKEND="tensorflow")


def test_gate_is_passed_before_any_heavy_name(tmp_path: Path) -> None:
    code = """
import tfbdl
for name in ("BayesianNetwork", "layers", "prior"):
    try:
        getattr(tfbdl, name)
    except tfbdl.errors.BackendError:
        print("refused", end=" ")
print()
"""
    assert run(code, KERAS_BACKEND="jax") == "refused refused refused"
