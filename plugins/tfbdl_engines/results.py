"""What the engines ``em`` and ``exact`` share: the rows they take, and what they give back."""

from __future__ import annotations

import warnings
from typing import Any

from tfbdl import Posterior
from tfbdl.data import Dataset
from tfbdl.errors import DataError, TfbdlWarning
from tfbdl.protocols import EngineResult


def rows_of(model: Any, data: Dataset | None) -> Dataset:
    """All rows in memory.

    Raises:
        DataError: If there are none, or they have weights.
    """
    if data is None:
        raise DataError(f"A {type(model).__name__} is fitted to data. Received: None.")
    if data.sample_weight is not None:
        raise DataError(
            "This engine counts each row once. Expected x or (x, y). Received: a sample_weight."
        )
    return data.in_memory()


def result_of(
    model: Any,
    history: dict[str, list[float]],
    figures: dict[str, float],
    posterior: Posterior | None,
) -> EngineResult:
    """What an engine gives back once the model is fitted; its notices become warnings."""
    for notice in getattr(model, "notices", list)():
        warnings.warn(notice, TfbdlWarning, stacklevel=2)
    return EngineResult(
        posterior=posterior,
        history=history,
        metrics=figures | {n: float(v) for n, v in getattr(model, "figures", dict)().items()},
    )
