"""Drive the training of members in chunks: report, store, stop and go on between them.

The chunks are cut by the clock, and what is trained does not depend on them.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfbdl.errors import CheckpointError, RunError
from tfbdl.inference.driver import Pace, Reporter, from_arrays, to_arrays
from tfbdl.protocols import Context

from .trainer import State, Tensors, Trainer

FIRST_CHUNK = 16


class Trained(NamedTuple):
    """What training leaves.

    Attributes:
        params: Name -> constrained ``[member, ...]``.
        buffers: Name -> ``[member, ...]``, the weights among them by their names.
        history: ``loss`` of each pass over the data, a mean over its steps and the members.
    """

    params: Tensors
    buffers: Tensors
    history: dict[str, list[float]]


def train(
    trainer: Trainer, members: int, context: Context, checkpoint_seconds: float = 30.0
) -> Trained:
    """Train all members, from the run's last checkpoint if there is one.

    Args:
        trainer: The compiled training of a group.
        members: How many, in groups of ``trainer.group``.
        context: Reports and checkpoints of the run; the seed is the trainer's.
        checkpoint_seconds: Minimum time between two checkpoints.

    Raises:
        RunError: If a loss is no finite number any more.
        CheckpointError: If a checkpoint is of another run.
    """
    groups = [range(i, min(i + trainer.group, members)) for i in range(0, members, trainer.group)]
    run = _Run(trainer, groups, context, checkpoint_seconds)
    state = run.restored()
    while run.index < len(groups):
        group = groups[run.index]
        if state is None:
            state = trainer.start(group)
            run.save(state)
        while int(state.step) < trainer.steps:
            state = run.chunk(state, group)
        run.finish(state)
        state = None
    run.save(None)
    return run.result()


def take_up(model: Any, trainer: Trainer, trained: Trained) -> None:
    """Give a model the weights, moving statistics and learned parameters of its one member."""
    values = trained.params | trained.buffers
    for name, variable in (trainer.weights | trainer.buffers).items():
        variable.assign(values[name][0])
    for name, item in model.learned.items():
        value = trained.params[name][0]
        raw = value if item.bijector is None else item.bijector.inverse(value)
        model.learned_raw[name].assign(raw)


class _Run:
    """What happens between two chunks, and the members trained so far."""

    def __init__(
        self, trainer: Trainer, groups: list[range], context: Context, checkpoint_seconds: float
    ) -> None:
        self.trainer, self.groups, self.context = trainer, groups, context
        self.reporter = Reporter(context, checkpoint_seconds)
        self.index = 0
        self.done: list[tuple[Any, Any]] = []  # (params, buffers) of each finished group
        self.losses: list[np.ndarray] = [np.zeros((0, len(groups[0])), "float32")]  # of this group
        self.sums = np.zeros(trainer.steps, "float64")  # over finished members
        self.pace = Pace(FIRST_CHUNK)

    def chunk(self, state: State, group: range) -> State:
        """Make some steps, take up their losses, report."""
        trainer = self.trainer
        count = min(self.pace.size, trainer.capacity, trainer.steps - int(state.step))
        began = time.perf_counter()
        state, losses = trainer.advance(state, group, count)
        self.pace.took(count, time.perf_counter() - began)
        if not np.isfinite(losses).all():
            raise RunError(
                f"The loss became {losses[~np.isfinite(losses)][0]} after {int(state.step)} steps. "
                "Lower the learning_rate, or give inputs and targets of a size near one."
            )
        self.losses.append(losses)
        self.reporter.report(lambda: self._figures(state, losses), lambda: self.save(state))
        return state

    def finish(self, state: State) -> None:
        """Take up a group whose training has ended."""
        self.done.append((state.params, state.buffers))
        self.sums += np.concatenate(self.losses).sum(axis=1, dtype="float64")
        self.index += 1
        width = len(self.groups[min(self.index, len(self.groups) - 1)])
        self.losses = [np.zeros((0, width), "float32")]

    def save(self, state: State | None) -> None:
        """Store finished members, the whole state of the group at work, and the losses."""
        step = self.index * self.trainer.steps + (0 if state is None else int(state.step))
        notes = {"index": self.index, "steps": self.trainer.steps, "at_work": state is not None}
        self.reporter.store(step, lambda: self._arrays(state), notes)

    def restored(self) -> State | None:
        """The state of the group at work in the last checkpoint; None: begin the next group."""
        found = None if self.context.checkpoints is None else self.context.checkpoints.restore()
        if found is None:
            return None
        _, arrays, notes = found
        template = self.trainer.start(self.groups[0])
        if int(notes.get("steps", -1)) != self.trainer.steps:
            raise CheckpointError(
                "The checkpoint is of another run. Expected: one of "
                f"{self.trainer.steps} steps. Received: {notes.get('steps')}."
            )
        self.index, self.sums = int(notes["index"]), arrays["sums"]
        self.losses = [arrays["losses"]]
        groups = [(template.params, template.buffers)] * self.index
        self.done = from_arrays("done", groups, arrays, free_axes=1)  # members may be fewer
        if not notes["at_work"]:
            return None
        state: State = from_arrays("state", template, arrays, free_axes=1)
        return state

    def result(self) -> Trained:
        """All members, stacked, and the history."""
        params, buffers = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *self.done)
        return Trained(self.trainer.constrained(params), buffers, {"loss": self._history()})

    def _history(self) -> list[float]:
        trainer = self.trainer
        mean = self.sums / sum(len(group) for group in self.groups)
        epochs = (np.arange(trainer.steps) * trainer.batch_size) // trainer.num_rows
        return [float(mean[epochs == epoch].mean()) for epoch in np.unique(epochs)]

    def _arrays(self, state: State | None) -> dict[str, np.ndarray]:
        own = {"losses": np.concatenate(self.losses), "sums": self.sums}
        at_work = {} if state is None else to_arrays("state", state)
        return own | to_arrays("done", self.done) | at_work

    def _figures(self, state: State, losses: np.ndarray) -> dict[str, float]:
        return {
            "step": self.index * self.trainer.steps + int(state.step),
            "steps": len(self.groups) * self.trainer.steps,
            "loss": float(losses[-1].mean()),
        }
