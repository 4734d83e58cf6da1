"""What this project registers, for tests that go through all of it: what is quick, what slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tfbdl.registry import OWN, registry
from tfbdl.specs import Capability

LIKE_OTHERS = {
    *("elliptical_slice", "hmc", "mala", "random_walk", "slice"),  # compiled as a whole, as nuts
    *("psgld", "sghmc"),  # as sgld
    *("adaptive_rejection", "rejection"),  # as importance
    "smc",  # two runs of many stages, hence long
    "swag",  # as ensemble
    "bayesian_rnn",  # as bbb
}


def built_in(kind: str) -> list[Any]:
    catalog = registry().catalog(kind)
    return [catalog[n] for n in catalog if catalog.provider(n).distribution == OWN]


def names(kind: str, capability: Capability | None = None) -> list[str]:
    return [s.name for s in built_in(kind) if capability is None or capability in s.capabilities]


def engines() -> Iterator[Any]:
    """Of engines that are made alike, one is quick; all are tested with the slow."""
    for name in names("engine"):
        yield pytest.param(name, marks=[pytest.mark.slow] if name in LIKE_OTHERS else [])


def models() -> Iterator[Any]:
    """Of the models of a plugin the first is quick; all are tested with the slow."""
    catalog, seen = registry().catalog("model"), set()
    for name in names("model"):
        provider = catalog.provider(name).plugin
        quick = provider not in seen and name not in LIKE_OTHERS
        yield pytest.param(name, marks=[] if quick else [pytest.mark.slow])
        if quick:
            seen.add(provider)
