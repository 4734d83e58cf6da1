"""A small registry, and runs that are handed over to nothing, for the tests of the command line."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import pytest

from tfbdl import registry
from tfbdl.config import Config, Field


class NetworkOptions(Config):
    hidden: tuple[int, ...] = Field((50,), description="Units of the hidden layers.")
    activation: Literal["relu", "tanh"] = Field("relu", description="Of the hidden layers.")


class EngineOptions(Config):
    epochs: int = Field(10, ge=1, description="Passes over the data.")
    verbose: bool = Field(False, description="Whether to print.")
    step_size: float | None = Field(None, gt=0, description="Of the update.")


class PriorOptions(Config):
    scale: float = Field(1.0, gt=0, description="Standard deviation.")


class DataOptions(Config):
    split: int = Field(0, ge=0, description="Which of the stored splits.")


class FileOptions(Config):
    path: str = Field(..., description="The file.")
    target: tuple[str, ...] = Field((), description="Columns to predict.")


PROVIDER = registry.Provider("fake", "fake-dist", "1.2")


def catalog(kind: str, *specs: Any) -> registry.Catalog[Any]:
    return registry.Catalog(kind, {spec.name: (spec, PROVIDER) for spec in specs})


class Fit(NamedTuple):
    metrics: Mapping[str, float]
    verdicts: list[str] | None = None

    def diagnostics(self) -> list[str] | None:
        return self.verdicts


def spec(kind: type, name: str, config: type[Config], **more: Any) -> Any:
    return kind(name=name, summary=f"The {name}.", factory="pkg.mod:f", config=config, **more)


def replace_api(monkeypatch: pytest.MonkeyPatch, **functions: Callable[..., Any]) -> None:
    api = types.ModuleType("tfbdl.api")
    vars(api).update(functions)
    monkeypatch.setitem(sys.modules, "tfbdl.api", api)
    monkeypatch.setattr(sys.modules["tfbdl"], "api", api, raising=False)
