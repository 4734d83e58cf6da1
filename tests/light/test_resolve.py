"""Resolving addresses: the one dynamic import says what is missing, and who gave the address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfbdl import registry
from tfbdl.errors import MissingDependencyError, SpecError
from tfbdl.registry import Catalog, Provider, Registry, resolve
from tfbdl.specs import PanelSpec, PriorSpec


def test_resolve_returns_an_object_as_it_is_and_imports_an_address() -> None:
    assert resolve(dict) is dict
    assert resolve("json:loads") is json.loads


def test_resolve_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    (tmp_path / "half.py").write_text("from json import no_such_name\n")
    source = Provider("mine", "my-dist", "1.0")
    with pytest.raises(SpecError, match="points to a module that does not exist: 'no_such_module'"):
        resolve("no_such_module.sub:make")
    with pytest.raises(SpecError, match=r"json has no attribute 'laods'\. Did you mean 'loads'"):
        resolve("json:laods")
    with pytest.raises(MissingDependencyError, match="needs the module 'no_such_package'"):
        resolve("needs_more:make")
    with pytest.raises(SpecError, match=r"cannot be imported: cannot import name 'no_such_name'"):
        resolve("half:make")
    with pytest.raises(SpecError, match=r"given by plugin 'mine' of my-dist 1\.0"):
        resolve("json:laods", source)


@pytest.mark.parametrize("address", ["a.b:C", "a.b:show"])
def test_resolve_names_the_provider_that_gave_the_address(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Provider("giver", "some-dist", "1.0")
    prior = PriorSpec(name="given", summary="A prior.", factory="a.b:C")
    panel = PanelSpec(name="shown", models=(), compute="a.b:compute", show="a.b:show")
    known = Registry(
        **{kind: Catalog(kind) for kind in ("models", "engines", "datasets", "plugins")},
        priors=Catalog("prior", {"given": (prior, source)}),
        panels=Catalog("panel", {"shown": (panel, source)}),
    )
    monkeypatch.setattr(registry, "_loaded", [known])
    with pytest.raises(SpecError, match=f"'{address}', given by plugin 'giver' of some-dist 1.0,"):
        resolve(address)
