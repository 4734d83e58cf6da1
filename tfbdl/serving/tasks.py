"""What the side process can compute, by name, and the form of an answer: arrays by name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from .. import registry
from ..errors import SpecError, UnknownNameError

TASKS: Mapping[str, str] = {
    "panel": "tfbdl.serving.panels:panel",
    "predictions": "tfbdl.serving.predictions:predictions",
    "prior_density": "tfbdl.serving.prior_density:prior_density",
    "prior_draws": "tfbdl.serving.prior_and_posterior:prior_draws",
    "slide": "tfbdl.serving.slide:slide",
}
"""Task -> address of ``task(runs, arguments) -> {name: array}``, imported on first use."""

KINDS = "biufU"
"""Kinds of NumPy dtypes that an answer may have: booleans, numbers and unicode texts."""


class FitsByRun(Protocol):
    """Where a task finds fits and their data."""

    def fit(self, run: str) -> Any:
        """The Fit of a run, given by its id."""

    def data(self, run: str) -> Any:
        """The Dataset of a run made by name, else None."""


Task = Callable[[FitsByRun, Mapping[str, Any]], Mapping[str, Any]]


def carry_out(
    runs: FitsByRun, task: str, run: str | None, arguments: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Compute one task.

    Args:
        runs: Where the fits are.
        task: A name of ``TASKS``.
        run: The id of a run, or None; the task finds it as ``arguments["run"]``.
        arguments: Plain values, as JSON gives them.

    Returns:
        Arrays by name, without objects.

    Raises:
        UnknownNameError: If there is no such task.
        SpecError: If the task's answer is no mapping to arrays of numbers, booleans or texts.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    function: Task = registry.resolve(TASKS[task])
    return as_arrays(function(runs, {**arguments, "run": run}), f"The task {task!r}")


def as_arrays(answer: Any, who: str) -> dict[str, np.ndarray]:
    """An answer as NumPy arrays.

    Args:
        answer: A mapping from names to what NumPy takes for an array.
        who: What an error calls the one who gave it.

    Raises:
        SpecError: If it is no such mapping, or an array holds objects.
    """
    if not isinstance(answer, Mapping) or not all(isinstance(name, str) for name in answer):
        raise SpecError(
            f"{who} must give a mapping from names to arrays. Received: {type(answer).__name__}."
        )
    arrays = {}
    for name, value in answer.items():
        try:
            array = np.asarray(value)
        except ValueError:  # nested lists of unequal lengths
            array = np.empty((), object)
        if array.dtype.kind not in KINDS:
            raise SpecError(
                f"{who} must give arrays of numbers, booleans or texts. Received for {name!r}: "
                f"{type(value).__name__} with elements of type {array.dtype}."
            )
        arrays[name] = array
    return arrays


def to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the content of an npz file, which ``np.load(allow_pickle=False)`` reads."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # np.savez takes no array named "file"
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return content.getvalue()
