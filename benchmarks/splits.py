"""Fits over the published splits of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tfbdl

Contestants = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name -> a model by name, and its options."""


def over_splits(
    data: str,
    contestants: Contestants,
    splits: Iterable[int],
    figures: Iterable[str] = ("rmse", "nll", "seconds"),
) -> dict[str, list[dict[str, float]]]:
    """The test figures of each contestant on each split, whose number is the seed too."""
    return {
        name: [_fit(model, data, split, options, figures) for split in splits]
        for name, (model, options) in contestants.items()
    }


def _fit(
    model: str, data: str, split: int, options: Mapping[str, Any], figures: Iterable[str]
) -> dict[str, float]:
    fit = tfbdl.fit(model, data, data_options={"split": split}, model_options=options, seed=split)
    return {name: float(fit.metrics[name]) for name in figures}
