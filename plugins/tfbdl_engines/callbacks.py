"""What goes on beside training: reports, early stopping and checkpoints, all of which resume."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfbdl import functional
from tfbdl.errors import CheckpointError, RunError
from tfbdl.inference.driver import Seldom
from tfbdl.protocols import Checkpoints, OnStep


class Report(keras.callbacks.Callback):
    """Keeps the history of all epochs, and tells ``on_step`` how far training has come."""

    def __init__(self, on_step: OnStep | None, steps: int, epochs: int) -> None:
        super().__init__()
        self.on_step, self.steps, self.epochs = on_step, steps, epochs
        self.history: dict[str, list[float]] = {}
        self.epoch = 0
        if on_step is not None:
            # a method on the instance: without it Keras spares itself the reading of each batch
            self.on_train_batch_end = self._on_train_batch_end

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def _on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._tell(self.epoch * self.steps + batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Add to the history; validation figures are told here.

        Raises:
            RunError: If the loss is no finite number any more.
        """
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise RunError(
                f"The loss became {loss} in epoch {epoch + 1}. Lower the learning_rate, or give "
                "inputs and targets of a size near one."
            )
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if self.on_step is not None:
            self._tell((epoch + 1) * self.steps, logs)

    def _tell(self, step: int, logs: Mapping[str, float] | None) -> None:
        assert self.on_step is not None
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.on_step({"step": step, "steps": self.epochs * self.steps, **figures})


class LayerFigures(keras.callbacks.Callback):
    """Tells ``on_step`` the KL of each layer at ends of epochs, as ``kl.<layer>``.

    Only for models that know it (``kl_figures``), and only as often as it takes no more than a
    fiftieth of the time; but always at the end, of the weights that are kept. It therefore comes
    after what puts back weights. Nothing that trains is touched.

    Args:
        report: Of the run, whose ``on_step`` is told.
    """

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report
        self.seldom = Seldom()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compute and tell, if it is time and training goes on."""
        ends = epoch + 1 == self.report.epochs or self.model.stop_training
        if not ends and self.seldom.due():
            self._tell()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Compute and tell."""
        self._tell()

    def _tell(self) -> None:
        figures = getattr(self.model, "kl_figures", None)
        if figures is None or self.report.on_step is None:
            return
        with self.seldom.timed():
            found = figures()
        if found:
            each = self.report.steps
            step, steps = (self.report.epoch + 1) * each, self.report.epochs * each
            named = {f"kl.{layer}": value for layer, value in found.items()}
            self.report.on_step({"step": step, "steps": steps, **named})


class EarlyStopping(keras.callbacks.Callback):
    """Stops when ``monitor`` has not fallen for ``patience`` epochs; puts back the best weights.

    Unlike Keras' own it hands out its state, so that a resumed run stops where it would have.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__()
        self.monitor, self.patience = monitor, patience
        self.best, self.wait = math.inf, 0
        self.best_weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compare with the best epoch."""
        value = float((logs or {})[self.monitor])
        self.wait += 1
        if value < self.best:
            self.best, self.wait = value, 0
            self.best_weights = self.model.get_weights()
        elif self.wait >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Put back the weights of the best epoch."""
        if self.best_weights:
            self.model.set_weights(self.best_weights)

    def get_state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Plain values and arrays from which ``set_state`` goes on."""
        return {"best": self.best, "wait": self.wait}, self.best_weights

    def set_state(self, notes: Mapping[str, Any], arrays: list[np.ndarray]) -> None:
        """Go on from a state."""
        self.best, self.wait = float(notes["best"]), int(notes["wait"])
        self.best_weights = list(arrays)


class Checkpoint(keras.callbacks.Callback):
    """Stores the whole state of training at ends of epochs.

    A checkpoint holds every variable of the model (seeds of dropout and the step of the weights'
    noise among them), the optimizer's, the state of each callback that has one, and the history.

    Args:
        store: Where checkpoints go.
        callbacks: Those of the run; the first is its Report.
        seconds: Minimum time between two checkpoints. The first state and the last are always kept.
    """

    def __init__(self, store: Checkpoints, callbacks: list[Any], seconds: float) -> None:
        super().__init__()
        self.store, self.seconds = store, seconds
        self.report: Report = callbacks[0]
        self.stateful = [c for c in callbacks if hasattr(c, "get_state")]
        self.last = -math.inf
        self.saved = -1

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Keep the state before the first epoch, so that there is always one to go back to."""
        if self.saved < 0:
            self._save(0)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keep the state if it is time, or training ends here."""
        final = epoch + 1 == self.report.epochs or self.model.stop_training
        if final or time.monotonic() - self.last >= self.seconds:
            self._save(epoch + 1)

    def restore(self, model: keras.Model) -> tuple[int, bool]:
        """Put model, optimizer and callbacks into the latest whole state.

        Returns:
            The epoch to go on with, and whether training had ended there.
        """
        if model.built:
            model.optimizer.build(model.trainable_variables)
        found = self.store.restore()
        if found is None:
            return 0, False
        epoch, arrays, notes = found
        assign(_variables(model), [arrays[n] for n in sorted(arrays) if n.startswith("variable")])
        self.report.history = {name: list(v) for name, v in notes["history"].items()}
        self.saved, self.last = epoch, time.monotonic()
        ended = bool(notes["stopped"]) or epoch >= self.report.epochs
        for i, callback in enumerate(self.stateful):
            own = [arrays[n] for n in sorted(arrays) if n.startswith(f"callback{i:02d}.")]
            callback.set_state(notes["callbacks"][i], own)
            callback.set_model(model)
            if ended:
                callback.on_train_end()
        return epoch, ended

    def _save(self, epoch: int) -> None:
        arrays = {f"variable{i:05d}": np.asarray(v) for i, v in enumerate(_variables(self.model))}
        notes = []
        for i, callback in enumerate(self.stateful):
            note, own = callback.get_state()
            notes.append(note)
            arrays |= {f"callback{i:02d}.{j:05d}": np.asarray(a) for j, a in enumerate(own)}
        self.store.save(
            epoch,
            arrays,
            {
                "history": self.report.history,
                "callbacks": notes,
                "stopped": bool(self.model.stop_training),
            },
        )
        self.saved, self.last = epoch, time.monotonic()


def _variables(model: keras.Model) -> list[Any]:
    return [*functional.state_variables(model), *model.optimizer.variables]


def assign(variables: list[Any], values: list[np.ndarray]) -> None:
    """Put stored values into variables.

    Raises:
        CheckpointError: If their number or a shape differs.
    """
    if [tuple(v.shape) for v in variables] != [value.shape for value in values]:
        raise CheckpointError(
            "The checkpoint is of another model: expected "
            f"{len(variables)} variables of given shapes, received {len(values)} or other shapes."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
