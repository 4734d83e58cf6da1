"""Variational EM: the bound of a ``keras.Model`` raised in two sets of weights, by turns."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import evaluation, functional
from tfbdl.data import Dataset, steps_per_execution
from tfbdl.errors import CapabilityError, ModelError, OptionsError, RunError
from tfbdl.inference.driver import Reporter
from tfbdl.protocols import Alternating, Context, EngineResult

from .callbacks import assign
from .em_config import EmOptions
from .results import result_of, rows_of

STEPS = 50  # E- and M-steps, where no number is given
BATCH_SIZE = 128
SMALL = 50_000  # parameters below which a step takes less time than a look at it
EXECUTION = 32  # training steps between two looks, at most
OF_SUMS = ("restarts", "e_step", "samples", "forgetting")


@dataclasses.dataclass
class Phase:
    """One of the two steps.

    Attributes:
        name: ``e`` or ``m``.
        variables: What trains in it.
        epochs: Its passes over the data.
        optimizer: Of these variables alone.
        train_function: Keras' compiled step, traced while these variables alone trained.
    """

    name: str
    variables: list[keras.Variable]
    epochs: int
    optimizer: Any
    train_function: Any = None


class VariationalEm:
    """The engine ``em`` for ``keras.Model``s that offer ``tfbdl.protocols.Alternating``.

    The E-step raises the bound ``L(q, theta)`` in the weights of q, the M-step in theta (Neal &
    Hinton 1998, section 2), each by passes over the data with Adam. Moving statistics of
    normalisation layers follow in both. The figures after a step are of at most 20,000 training
    rows, evenly spaced.

    Args:
        options: See EmOptions.
    """

    def __init__(self, options: EmOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Train ``model`` on ``data``; its history has the figures after each M-step.

        Raises:
            CapabilityError: If the model does not part its weights into two phases.
            ModelError: If its phases are not two, share a weight or leave one out.
            DataError: If there are no data, or they do not suit the model.
            OptionsError: If an option does not go with such a model.
            RunError: If the loss becomes NaN or infinite.
        """
        _check_options(self.options, model)
        rows = rows_of(model, data)
        if not model.built:
            model(tf.convert_to_tensor(rows.x[:1]))
        _check_phases(model)
        climb = _Climb(model, rows, self.options, context)
        climb.run()
        figures = {"steps": float(climb.step), "converged": float(climb.converged)}
        figures |= {n: v[-1] for n, v in climb.history.items() if n == "elbo"}
        return result_of(model, climb.history, figures, None)


class _Climb:
    """A run of steps, its state and its history."""

    def __init__(self, model: Any, rows: Dataset, options: EmOptions, context: Context) -> None:
        self.model, self.rows, self.options, self.context = model, rows, options, context
        self.steps = STEPS if options.steps is None else options.steps
        self.tolerance = options.tolerance or None
        self.batch_size = options.batch_size or BATCH_SIZE
        self.reporter = Reporter(context, options.checkpoint_seconds)
        self.step, self.converged = 0, False
        self.history: dict[str, list[float]] = {}
        self.phase: Phase | None = None
        self.holding: contextlib.ExitStack | None = None
        self.phases = self._phases()

    @property
    def passes(self) -> int:
        """Passes over the data of an E- and an M-step together."""
        return sum(phase.epochs for phase in self.phases)

    def run(self) -> None:
        """All steps that are left, as epochs of one ``fit``."""
        if self.context.checkpoints is not None and not self._restore():
            self._save()
        if self.step < self.steps and not self.converged:
            ends = range(self.passes, self.steps * self.passes + 1, self.passes)
            try:
                self.model.fit(
                    **self._inputs(self.step * self.passes),
                    epochs=self.steps * self.passes,
                    initial_epoch=self.step * self.passes,
                    validation_freq=list(ends),  # with the same noise each time
                    verbose=0,
                    callbacks=[_Turns(self)],
                )
            finally:
                self.enter(None)
        self._compile()  # an optimizer of all weights, for who trains on
        self._build_optimizer()

    def enter(self, phase: Phase | None) -> None:
        """Let the weights of a phase train, and no others; of None: all."""
        if self.phase is not None:
            self.phase.train_function = self.model.train_function
        if self.holding is not None:
            self.holding.close()
        self.phase, self.holding = phase, None
        if phase is not None:
            self.holding = contextlib.ExitStack()
            self.holding.enter_context(functional.training_only(self.model, phase.variables))
            self.model.optimizer = phase.optimizer
            self.model.train_function = phase.train_function
            self.model.make_train_function()

    def phase_of(self, epoch: int) -> Phase:
        """To which phase a pass belongs, counted from 0."""
        e, m = self.phases
        return e if epoch % self.passes < e.epochs else m

    def _phases(self) -> list[Phase]:
        """The two phases, each with an optimizer that is built for its variables."""
        phases = []
        variables = self.model.phases()
        for name, epochs in (("e", self.options.e_epochs), ("m", self.options.m_epochs)):
            self._compile()
            with functional.training_only(self.model, variables[name]):
                self._build_optimizer()
                own = list(self.model.trainable_variables)
            phases.append(Phase(name, own, epochs, self.model.optimizer))
        return phases

    def _compile(self) -> None:
        steps = self.rows.steps_per_epoch(self.batch_size)
        most = EXECUTION if self.model.count_params() < SMALL else 1
        loss = getattr(self.model, "loss", None)
        self.model.compile(
            optimizer=keras.optimizers.Adam(self.options.learning_rate),
            steps_per_execution=steps_per_execution(steps, most),
            **({} if loss is None else {"loss": loss}),
        )

    def _build_optimizer(self) -> None:
        self.model.optimizer.build(self.model.trainable_variables)

    def _inputs(self, epoch: int) -> dict[str, Any]:
        """What ``model.fit`` takes: our own models a Dataset, others its batches."""
        rows, size = self.rows, self.batch_size
        if getattr(self.model, "takes_datasets", False):
            return {"x": rows, "batch_size": size, "validation_data": _some(rows)}
        return {
            "x": rows.batches(size, seed=self.context.seed, start_epoch=epoch),
            "steps_per_epoch": rows.steps_per_epoch(size),
            "shuffle": False,  # the batches come in the order they shall have
            "validation_data": _some(rows).batches(size, seed=0, shuffle=False, repeat=False),
        }

    def take_up(self, figures: dict[str, float]) -> None:
        """Put the figures of a step into the history, report, and see whether it was the last."""
        before = self.history.get("loss", [])[-1:]
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)
        self.step += 1
        if self.tolerance is not None and before:
            self.converged = before[0] - figures["loss"] < self.tolerance
        told = {"step": self.step * self.passes, "steps": self.steps * self.passes, **figures}
        self.reporter.report(lambda: told, self._save)
        if self.step == self.steps or self.converged:
            self._save()

    # -- files -----------------------------------------------------------------------------------

    def _state(self) -> list[Any]:
        optimizers = [v for phase in self.phases for v in phase.optimizer.variables]
        return [*functional.state_variables(self.model), *optimizers]

    def _save(self) -> None:
        notes = {"history": self.history, "converged": self.converged}
        arrays = {f"variable{i:05d}": v for i, v in enumerate(self._state())}
        self.reporter.store(
            self.step, lambda: {name: np.asarray(v) for name, v in arrays.items()}, notes
        )

    def _restore(self) -> bool:
        """Go back to the last checkpoint; whether there is one."""
        assert self.context.checkpoints is not None
        found = self.context.checkpoints.restore()
        if found is None:
            return False
        self.step, arrays, notes = found
        assign(self._state(), [arrays[name] for name in sorted(arrays)])
        self.history = {name: list(values) for name, values in notes["history"].items()}
        self.converged = bool(notes["converged"])
        return True


class _Turns(keras.callbacks.Callback):
    """Switches between the phases, and tells the run of each pass over the data.

    Args:
        climb: The run.
    """

    def __init__(self, climb: _Climb) -> None:
        super().__init__()
        self.climb = climb

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Enter the pass's phase, if it is another than before."""
        phase = self.climb.phase_of(epoch)
        if phase is not self.climb.phase:
            self.climb.enter(phase)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Take up the figures of a step that is done; else report the number of passes.

        Raises:
            RunError: If the loss is no finite number any more.
            RunCancelled: If the run was asked to stop.
        """
        climb, figures = self.climb, {n: float(value) for n, value in (logs or {}).items()}
        if not math.isfinite(figures["loss"]):
            raise RunError(
                f"The loss became {figures['loss']} in pass {epoch + 1} over the data. Lower the "
                "learning_rate, or give data of a size near one."
            )
        if (epoch + 1) % climb.passes == 0:
            held = {n: value for n, value in figures.items() if n.startswith("val_")}
            climb.take_up({n.removeprefix("val_"): value for n, value in held.items()})
            self.model.stop_training = climb.converged
        elif climb.context.on_step is not None:
            climb.context.on_step({"step": epoch + 1, "steps": climb.steps * climb.passes})


def _some(rows: Dataset) -> Dataset:
    """Evenly spaced rows of many."""
    y = None if rows.y is None else evaluation.spaced(rows.y)
    x = evaluation.spaced(rows.x)
    info = dataclasses.replace(rows.info, num_rows=len(keras.tree.flatten(x)[0]))
    return dataclasses.replace(rows, x=x, y=y, info=info)


def _check_phases(model: Any) -> None:
    if not isinstance(model, Alternating):
        raise CapabilityError(
            f"Engine 'em' cannot fit a {type(model).__name__}: a keras.Model must have phases(), "
            "its weights of the E-step and of the M-step. See tfbdl.protocols.Alternating, or "
            "take engine='variational'."
        )
    keras_model: keras.Model = model
    phases = model.phases()
    parts = [{id(v) for v in phases.get(name, ())} for name in ("e", "m")]
    every = {id(v) for v in keras_model.trainable_variables}
    if set(phases) == {"e", "m"} and every and parts[0] | parts[1] == every and not all(parts):
        step, weights = ("E", "q(z | x)") if not parts[0] else ("M", "p(x | z) and p(z)")
        raise ModelError(
            f"No weight of the {step}-step, of {weights}, trains: they are frozen, or there is "
            "none. Expected: weights that train in both steps. For one set of weights alone take "
            f"engine='variational'. Received: {len(parts[0])} of e, {len(parts[1])} of m."
        )
    if set(phases) != {"e", "m"} or not all(parts):
        counts = {name: len(part) for name, part in phases.items()}
        raise ModelError(
            "phases() must give the weights of 'e' and of 'm', at least one of each. "
            f"Received: {counts} weights."
        )
    if parts[0] & parts[1] or parts[0] | parts[1] != every:
        raise ModelError(
            f"The phases must part all {len(every)} trainable weights. Received: "
            f"{len(parts[0])} of e, {len(parts[1])} of m, {len(parts[0] & parts[1])} of both."
        )


def _check_options(options: EmOptions, model: Any) -> None:
    fields = type(options).model_fields
    for name in OF_SUMS:
        if getattr(options, name) != fields[name].default:
            raise OptionsError(
                f"The engine option {name!r} is for models whose E-step is a formula; a "
                f"{type(model).__name__} is trained by gradients. "
                f"Received: {getattr(options, name)!r}."
            )
    if options.initial not in ("auto", "current"):
        raise OptionsError(
            f"A {type(model).__name__} begins with the weights that its seed gives. Expected "
            f"initial='auto' or 'current'. Received: {options.initial!r}."
        )
