"""The command line and the Python text that a page shows make the run that the page would start."""

from __future__ import annotations

import json
import math
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfbdl_dashboard import commands

from tfbdl import _cli_options, cli, planning, registry
from tfbdl.config import Config, OptionField, fields_of, make
from tfbdl.errors import OptionsError
from tfbdl.specs import RunSpec


def parsed(command: str) -> RunSpec:
    """What the command line makes of a command, once a shell has taken it apart."""
    script = command.replace("tfbdl run", "printf '%s\\0'", 1)
    words = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    rest, texts = _cli_options.split_groups(words.split("\0")[:-1])
    run = cli.typer.main.get_command(cli.app).commands["run"].make_context("run", list(rest))
    names = {name: run.params[name] for name in ("model", "data", "engine", "prior")}
    return _cli_options.run_spec(None, names, texts, run.params["seed"])


def executed(text: str) -> RunSpec:
    """What the Python text asks ``tfbdl.fit`` for."""
    import types

    from tfbdl import api

    asked: list[RunSpec] = []

    def fit(model: Any, data: Any, **arguments: Any) -> None:
        asked.append(api.plan(model, data, **arguments).run)

    body = text.removeprefix("import tfbdl\n")
    assert body != text
    exec(body, {"tfbdl": types.SimpleNamespace(fit=fit)})
    return asked[0]


def test_numbers_that_are_not_finite_are_written_as_python_reads_them() -> None:
    values = {"a": math.inf, "b": [-math.inf, 1.5], "c": math.nan}
    read = eval(commands.literal(values), {"float": float})
    assert read["a"] == math.inf
    assert read["b"] == [-math.inf, 1.5]
    assert math.isnan(read["c"])


def plain(spec: RunSpec) -> dict[str, Any]:
    """All of a run as it is written to ``run.json``."""
    dumped: dict[str, Any] = json.loads(spec.model_dump_json())
    return dumped


def values(field: OptionField) -> st.SearchStrategy[Any]:
    """What an option may be, as plain values; bounds are kept, other checks may still refuse."""
    low = -1e6 if field.low is None else field.low
    high = 1e6 if field.high is None else field.high
    arrays = st.lists(st.floats(-5, 5), min_size=1, max_size=3)
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int": st.integers(int(low) + field.low_open, int(high) - field.high_open),
        "float": st.floats(
            low, high, exclude_min=field.low_open, exclude_max=field.high_open, width=64
        ),
        "str": st.text(max_size=8).filter(lambda text: text.lower() not in ("none", "null")),
        "choice": st.sampled_from(field.choices or ("",)),
        "array": st.one_of(st.floats(-5, 5), arrays, st.lists(arrays, min_size=1, max_size=1)),
        "arrays": st.dictionaries(st.text(max_size=3), arrays, max_size=2),
    }
    if field.kind == "list":
        own = kinds["str" if field.item == "str" else field.item]
        found: st.SearchStrategy[Any] = st.lists(own, max_size=3)
    elif field.item == "arrays" and field.kind == "choice":
        found = st.one_of(kinds["choice"], kinds["arrays"])
    else:
        found = kinds[field.kind]
    return st.one_of(st.none(), found) if field.optional else found


@st.composite
def options(draw: st.DrawFn, config: type[Config], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Some options of a schema, as the form returns them; those that are refused are dropped."""
    fields = [field for field in fields_of(config) if field.name not in skip]
    chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique=True)) if fields else []
    needed = [field for field in fields if field.required and field not in chosen]
    drawn = {field.name: draw(values(field)) for field in [*chosen, *needed]}
    try:
        dumped = make(config, drawn).model_dump(mode="json")
    except OptionsError:
        return {}
    return {name: dumped[name] for name in drawn}


@st.composite
def runs(draw: st.DrawFn, path: str) -> RunSpec:
    """A run that can be planned, of any model, engine, prior and data that are installed."""
    known = registry.registry()
    model = known.models[draw(st.sampled_from(list(known.models)))]
    engines = [name for name, spec in known.engines.items() if spec.fits(model.capabilities)]
    engine = draw(st.sampled_from(engines))
    prior = draw(st.sampled_from(list(known.priors))) if model.default_prior else None
    data = draw(st.sampled_from([path, *(name for name in known.datasets if name != "file")]))
    data_config = known.datasets[data if data in known.datasets else planning.FILE_DATASET].config
    skip = ("path",) if data == path else ()
    data_options = draw(options(data_config, skip)) if data != path else {}
    if data == path:
        names = st.lists(st.text(min_size=1, max_size=6), max_size=3)
        data_options = {"target": draw(names), "sep": draw(st.sampled_from([";", "\t"]))}
    return RunSpec(
        model=model.name,
        data=data,
        engine=engine,
        prior=prior,
        model_options=draw(options(model.config)),
        engine_options=draw(options(known.engines[engine].config)),
        prior_options=draw(options(known.priors[prior].config)) if prior else {},
        data_options=data_options,
        seed=draw(st.integers(0, 2**63 - 1)),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file whose name has what shells and Python take for marks of their own."""
    made = tmp_path_factory.mktemp("data") / 'it\'s a "$file".csv'
    made.write_text("a,b\n1,2\n")
    return str(made)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_command_and_python_make_the_same_run_again(path: str, data: st.DataObject) -> None:
    spec = data.draw(runs(path))
    assert plain(parsed(commands.command_line(spec))) == plain(spec)
    assert plain(executed(commands.python_text(spec))) == plain(spec)


def test_command_of_a_plain_run_is_as_one_would_type_it() -> None:
    spec = RunSpec(
        model="bbb", data="diabetes", model_options={"hidden": [50, 20]}, seed=1, engine="nuts"
    )
    assert commands.command_line(spec) == (
        "tfbdl run bbb --data diabetes --engine nuts --model.hidden 50,20 --seed 1"
    )
    assert commands.python_text(spec) == (
        'import tfbdl\n\nfit = tfbdl.fit(\n    "bbb",\n    "diabetes",\n    engine="nuts",\n'
        '    model_options={"hidden": [50, 20]},\n    seed=1,\n)\n'
    )


def test_numbers_below_zero_and_names_with_commas_are_kept_whole(path: str) -> None:
    spec = RunSpec(
        model="bbb",
        data=path,
        engine="variational",
        model_options={"initial_raw_scale": -3.0},
        data_options={"target": ["price, net", "-a", "none"]},
    )
    assert plain(parsed(commands.command_line(spec))) == plain(spec)
    assert "--model.initial_raw_scale=-3.0" in commands.command_line(spec)
