"""What all loops in chunks share: a size cut by the clock, reports, checkpoints, states in and out.

What a loop computes does not depend on where it is cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import CheckpointError, RunCancelled
from ..protocols import Context

CHUNK_SECONDS = 0.5


class Pace:
    """How many steps the next chunk makes, so that it takes about ``CHUNK_SECONDS``.

    Args:
        first: Steps of the first chunk.

    Attributes:
        size: Steps of the next one, at least one.
    """

    def __init__(self, first: int) -> None:
        self.size = first

    def took(self, steps: int, seconds: float) -> None:
        """Learn from a chunk that made ``steps``; the next has at most four times as many."""
        ideal = steps * CHUNK_SECONDS / max(seconds, 1e-3)
        self.size = int(np.clip(ideal, steps / 4, steps * 4)) + 1


class Seldom:
    """When to compute a figure that costs time: at most a share of the time goes to it.

    What the first one costs is not counted: much of it is tracing and imports.

    Args:
        share: Of the time, above 0 and at most 1.
        seconds: The least time from one to the next, and to the first.
    """

    def __init__(self, share: float = 0.02, seconds: float = 1.0) -> None:
        self.share, self.seconds = share, seconds
        self.next = time.monotonic() + seconds
        self.first = True

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Learn what it costs from what is done inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            cost = 0.0 if self.first else now - began
            self.next, self.first = now + max(self.seconds, cost / self.share), False


class Reporter:
    """Reports to the run between two chunks, and stores its state now and then.

    Args:
        context: Reports and checkpoints of the run.
        checkpoint_seconds: Minimum time between two checkpoints.
    """

    def __init__(self, context: Context, checkpoint_seconds: float) -> None:
        self.context, self.checkpoint_seconds = context, checkpoint_seconds
        self.saved = time.monotonic()

    def report(self, figures: Callable[[], Mapping[str, float]], save: Callable[[], None]) -> None:
        """Report, and store if it is time; a request to stop stores first.

        Args:
            figures: Gives what is reported; called only if anyone listens.
            save: Stores the state, by ``store``.

        Raises:
            RunCancelled: If the run was asked to stop.
        """
        try:
            if self.context.on_step is not None:
                self.context.on_step(figures())
        except RunCancelled:
            save()
            raise
        if time.monotonic() - self.saved >= self.checkpoint_seconds:
            save()

    def store(
        self,
        step: int,
        arrays: Callable[[], Mapping[str, np.ndarray]],
        notes: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint, if the run keeps any.

        Args:
            step: Steps made.
            arrays: Gives the whole state; called only if there is a place for it.
            notes: Plain values beside it.
        """
        if self.context.checkpoints is None:
            return
        self.context.checkpoints.save(step, arrays(), notes)
        self.saved = time.monotonic()


def to_arrays(prefix: str, nest: Any) -> dict[str, np.ndarray]:
    """The leaves of a nest of tensors by names that begin with ``prefix``, in order."""
    leaves = tf.nest.flatten(nest)
    return {f"{prefix}{i:05d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}


def from_arrays(
    prefix: str, template: Any, arrays: Mapping[str, np.ndarray], *, free_axes: int = 0
) -> Any:
    """The inverse of ``to_arrays``: a nest of the structure of ``template``.

    Args:
        prefix: As there.
        template: A nest of tensors with the shapes and dtypes to expect.
        arrays: The stored arrays, others among them.
        free_axes: So many first axes may have other lengths.

    Raises:
        CheckpointError: If the number, a shape or a dtype differs.
    """
    leaves = [tf.constant(arrays[name]) for name in sorted(arrays) if name.startswith(prefix)]
    found, expected = (
        [(tuple(leaf.shape[free_axes:]), leaf.dtype.name) for leaf in part]
        for part in (leaves, tf.nest.flatten(template))
    )
    if found != expected:
        raise CheckpointError(
            "The checkpoint is of another sampler or model, or of another run: its arrays have "
            f"other shapes or precisions. Expected: {_listed(expected, found)}. "
            f"Received: {_listed(found, expected)}."
        )
    return tf.nest.pack_sequence_as(template, leaves)


def _listed(kinds: list[Any], others: list[Any]) -> str:
    """How many arrays there are, and the first that the others lack."""
    for i, kind in enumerate(kinds):
        if i >= len(others) or others[i] != kind:
            return f"{len(kinds)} arrays, the one at {i} {kind[1]} {list(kind[0])}"
    return f"{len(kinds)} arrays"
