"""Discovery: each plugin is loaded, checked and asked alone, and a bad one harms no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from installed_plugins import PRIOR, giving, install, load_from

from tfbdl import registry
from tfbdl.errors import UnknownNameError
from tfbdl.registry import Catalog, Problem, Provider, Registry, discover, load, resolve

DATA = Path(__file__).parent / "data"

# What each bad plugin does, the stage at which it is caught, and words of the message.
BAD = {
    "raises": ("1 / 0", "import", "raises ZeroDivisionError: division by zero"),
    "broken": ("def", "import", "raises SyntaxError"),
    "exits": ("import sys; sys.exit(3)", "import", "calls sys.exit(3)"),
    "ends": ("import os; os._exit(0)", "import", "ends the process (exit code 0)"),
    "lacking": ("import no_such_package", "import", "No module named 'no_such_package'"),
    "heavy": ("import tensorflow as tf", "import", "It imports tensorflow at once in "),
    "sly": (
        "try:\n    import keras\nexcept ImportError:\n    keras = None\n"
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors(): return []",
        "import",
        "It imports keras at once in ",
    ),
    "late": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors():\n    import streamlit\n    return []",
        "specs",
        "It imports streamlit at once in ",
    ),
    "misspelt": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_prior(): return []",
        "hooks",
        "No hook is named 'tfbdl_prior'. Did you mean 'tfbdl_priors'?",
    ),
    "marked": (
        "import tfbdl\n@tfbdl.hookimpl\ndef priors(): return []",
        "hooks",
        "No hook is named 'priors'. Did you mean 'tfbdl_priors'?",
    ),
    "unmarked": ("def tfbdl_priors(): return []", "hooks", "tfbdl_priors is not marked as a hook."),
    "wrapper": (
        "import tfbdl\n@tfbdl.hookimpl(wrapper=True)\ndef tfbdl_priors():\n    yield",
        "hooks",
        "tfbdl_priors is a hook wrapper.",
    ),
    "arguments": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors(registry): return []",
        "hooks",
        "raises PluginValidationError",
    ),
    "hookless": ("x = 1", "hooks", "implements none of the hooks tfbdl_models"),
    "none": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors(): pass",
        "specs",
        "tfbdl_priors must return an iterable of PriorSpec. Received: None.",
    ),
    "text": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors(): return 'normal'",
        "specs",
        "tfbdl_priors must return PriorSpecs only. Received: 'n'.",
    ),
    "wrong_kind": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_engines(): return ["
        + PRIOR.format(name="p")
        + "]",
        "specs",
        "tfbdl_engines must return EngineSpecs only. Received: PriorSpec(",
    ),
    "malformed": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors(): return ["
        + PRIOR.format(name="Bad Name")
        + "]",
        "specs",
        "'Bad Name' is not a name.",
    ),
    "endless": (
        "import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors():\n    while True: yield None",
        "specs",
        "tfbdl_priors returns more than 1000 specs.",
    ),
    "reader": ("import tfbdl; tfbdl.models", "import", "must not read tfbdl's registry"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with all the bad plugins."""
    folder = tmp_path_factory.mktemp("site")
    for name, (source, _, _) in BAD.items():
        install(folder, name, source)
    return folder


@pytest.fixture(scope="module")
def found(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """What is read with all the bad plugins beside the good one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.syspath_prepend(str(DATA))
        return load_from(DATA, site, seconds=60.0, cache=tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", BAD)
def test_bad_plugin_is_left_out_with_what_is_wrong_and_what_to_do(
    name: str, found: Registry
) -> None:
    problem = next(p for p in found.problems if p.provider.plugin == name)
    _, stage, message = BAD[name]
    assert problem.provider == Provider(name, f"dist-{name}", "1.0")
    assert (problem.stage, message in problem.message) == (stage, True), str(problem)
    assert problem.advice.endswith(
        f"To do without it: pip uninstall dist-{name}, or set TFBDL_DISABLE_PLUGINS={name}."
    )
    assert name not in found.plugins


def test_bad_plugins_have_one_problem_each(found: Registry) -> None:
    assert sorted(problem.provider.plugin for problem in found.problems) == sorted(BAD)


def test_importer_of_tensorflow_is_named_with_file_and_line(found: Registry, site: Path) -> None:
    problem = next(p for p in found.problems if p.provider.plugin == "heavy")
    assert f"in {site / 'plugin_dist_heavy_heavy.py'}, line 1" in problem.message


def test_bad_plugin_is_never_imported_here(found: Registry) -> None:
    assert found.problems
    assert not {f"plugin_dist_{name}_{name}" for name in BAD} & set(sys.modules)
    assert "good_plugin" in sys.modules


def test_good_plugin_beside_bad_ones_works_whole(found: Registry) -> None:
    source = Provider("good", "good-plugin", "1.2.0")
    assert found.providers == [source]
    assert found.plugins["good"] == source
    for kind in ("model", "engine", "prior", "dataset"):
        name = "good_data" if kind == "dataset" else f"good_{kind}"
        assert list(found.catalog(kind)) == [name]
        assert found.catalog(kind).provider(name) == source
    assert found.panels["good_panel"].models == ("good_model",)
    spec = found.priors["good_prior"]
    assert resolve(spec.factory)(spec.config(scale=2.0)) == ("made", 2.0)


def test_own_plugins_come_first_and_are_not_probed(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_probe(*_: object, **__: object) -> None:
        raise AssertionError("a probe process was started")

    install(on_path, "zeta", giving("zeta"), distribution="tfbdl")
    install(on_path, "alpha", giving("alpha"), distribution="tfbdl")
    monkeypatch.setattr(subprocess, "run", no_probe)
    found = load_from(on_path, cache=tmp_path / "cache")
    assert [provider.plugin for provider in found.providers] == ["alpha", "zeta"]


def test_name_already_given_is_left_out_and_both_sources_are_named(
    on_path: Path, tmp_path: Path
) -> None:
    install(on_path, "ours", giving("normal"), distribution="tfbdl")
    both = (PRIOR.format(name="normal"), PRIOR.format(name="new_prior"))
    source = f"import tfbdl\n@tfbdl.hookimpl\ndef tfbdl_priors():\n    return [{', '.join(both)}]"
    install(on_path, "theirs", source, distribution="aardvark")
    found = load_from(on_path, seconds=60.0, cache=tmp_path / "cache")
    (problem,) = found.problems
    assert problem.stage == "names"
    assert problem.message == (
        "The prior 'normal' is already given by plugin 'ours' of tfbdl 1.0; "
        "that of plugin 'theirs' of aardvark 1.0 is left out."
    )
    assert "Rename one of them." in problem.advice
    assert found.priors.provider("normal").plugin == "ours"
    assert list(found.priors) == ["new_prior", "normal"]


def test_duplicate_entry_points_count_once(on_path: Path, tmp_path: Path) -> None:
    install(on_path, "twice", giving("twice"), distribution="tfbdl")
    points = [point for _ in range(2) for point in discover([str(on_path)])[0]]
    assert len(points) == 2
    found = load(points, cache=tmp_path)
    assert len(found.providers) == 1
    assert not found.problems


def test_distribution_found_twice_on_the_path_counts_once(on_path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    install(on_path, "twice", giving("twice"), distribution="a-b", version="2.0")
    install(other, "twice", giving("twice"), distribution="a-b", version="1.0")
    points = discover([str(on_path), str(other)])[0]
    assert [point.dist.version for point in points] == ["2.0"]


@pytest.mark.parametrize("blocked", ["one", "Dist_One", "dist-one"])
def test_blocked_plugin_is_neither_loaded_nor_a_problem(
    blocked: str, on_path: Path, tmp_path: Path
) -> None:
    install(on_path, "one", "1 / 0", distribution="dist-one")
    found = load_from(on_path, blocked=frozenset({blocked}), cache=tmp_path)
    assert (found.providers, found.problems) == ([], [])


def test_unreadable_metadata_is_a_problem_and_nothing_more(on_path: Path) -> None:
    install(on_path, "fine", giving("fine"))
    broken = on_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[tfbdl]\nthis is no entry point\n")
    points, problems = discover([str(on_path)])
    assert [point.name for point in points] == ["fine"]
    (problem,) = problems
    assert (problem.stage, problem.provider.distribution) == ("discovery", broken.name)


def test_same_entry_point_name_in_two_distributions_keeps_both(
    on_path: Path, tmp_path: Path
) -> None:
    install(on_path, "same", giving("first"), distribution="tfbdl")
    install(on_path, "same", giving("second"), distribution="other")
    found = load_from(on_path, seconds=60.0, cache=tmp_path / "cache")
    assert list(found.plugins) == ["other:same", "same"]
    assert list(found.priors) == ["first", "second"]


def test_catalog_names_the_nearest_of_an_unknown_name() -> None:
    source = Provider("p", "d", "1")
    catalog = Catalog("engine", {"nuts": (1, source), "hmc": (2, source)})
    assert list(catalog) == ["hmc", "nuts"]
    assert ("nuts" in catalog, "nust" in catalog, catalog.get("nust")) == (True, False, None)
    for ask in (catalog.__getitem__, catalog.provider):
        with pytest.raises(
            UnknownNameError, match=r"No engine is named 'nust'\. Did you mean 'nuts'"
        ):
            ask("nust")


def test_registry_is_read_once_and_honours_the_variable(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(on_path, "shown", giving("shown_here"), distribution="tfbdl")
    install(on_path, "hidden", giving("hidden_here"), distribution="tfbdl")
    monkeypatch.setattr(registry, "_loaded", [])
    monkeypatch.setattr(registry, "discover", lambda: discover([str(on_path)]))
    monkeypatch.setenv("TFBDL_DISABLE_PLUGINS", "other, hidden")
    found = registry.registry()
    assert list(found.priors) == ["shown_here"]
    assert registry.registry() is found


def test_problem_reads_as_one_line() -> None:
    problem = Problem(Provider("p", "d", "1"), "import", "It fails.", "Mend it.")
    assert str(problem) == "plugin 'p' of d 1: import: It fails. Mend it."
