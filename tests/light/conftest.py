"""Fixtures of the tests of the command line."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_registry import (
    PROVIDER,
    DataOptions,
    EngineOptions,
    FileOptions,
    Fit,
    NetworkOptions,
    PriorOptions,
    catalog,
    replace_api,
    spec,
)

from tfbdl import registry
from tfbdl.specs import DatasetSpec, EngineSpec, ModelSpec, PriorSpec, RunSpec


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """A small registry, in an empty folder; the name ``laplace`` is a prior and an engine."""
    monkeypatch.chdir(tmp_path)
    model = spec(
        ModelSpec,
        "network",
        NetworkOptions,
        task="regression",
        capabilities=frozenset({"trainable", "log_joint"}),
        default_engine="variational",
        default_prior="normal",
        references=("Blundell et al. 2015, eq. 2",),
    )
    engines = (
        spec(EngineSpec, "variational", EngineOptions, needs=({"trainable"},)),
        spec(EngineSpec, "laplace", EngineOptions, needs=({"log_joint"},)),
        spec(EngineSpec, "gibbs", EngineOptions, needs=({"conditionals"},)),
    )
    priors = (spec(PriorSpec, name, PriorOptions) for name in ("normal", "laplace"))
    found = types.SimpleNamespace(
        models=catalog("model", model),
        engines=catalog("engine", *engines),
        priors=catalog("prior", *priors),
        datasets=catalog(
            "dataset",
            spec(DatasetSpec, "boston", DataOptions),
            spec(DatasetSpec, "file", FileOptions),
        ),
        panels=catalog("panel"),
        providers=[PROVIDER],
        problems=[],
    )
    monkeypatch.setattr(registry, "registry", lambda: found)
    return found


@pytest.fixture
def executed(found: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunSpec, Path]]:
    """The runs that were handed over; each takes two steps."""
    calls: list[tuple[RunSpec, Path]] = []

    def execute(spec: RunSpec, *, out: Path, on_step: Callable[..., None]) -> Fit:
        calls.append((spec, out))
        on_step({"step": 1, "steps": 2, "loss": 0.5})
        on_step({"step": 2, "steps": 2, "loss": 0.25})
        return Fit({"rmse": 2.5, "coverage_90": 0.875})

    replace_api(monkeypatch, execute=execute)
    return calls


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder
