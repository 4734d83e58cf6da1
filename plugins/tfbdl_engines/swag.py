"""SWAG: train a net, go on at a high learning rate, and fit a normal to the weights passed."""

from __future__ import annotations

import dataclasses
import functools
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import functional
from tfbdl.data import Dataset
from tfbdl.errors import RunError, TfbdlWarning
from tfbdl.inference.driver import Pace, Reporter, from_arrays, to_arrays
from tfbdl.inference.normals import NormalPosterior
from tfbdl.inference.swag import Trajectory
from tfbdl.protocols import Context, EngineResult

from .network_config import SwagOptions
from .trainer import Penalty, State, Tensors, Trainer, penalty_of
from .training import FIRST_CHUNK, take_up, train

PHASE = "snapshots"
LEAST_STEPS = 100
"""From one snapshot to the next, where a pass over the data has fewer."""


class Swag:
    """The posterior is a normal of low rank over all weights that train, at their average.

    Learned parameters of the likelihood and the prior are averaged in the unconstrained space.

    Args:
        options: See SwagOptions.

    References:
        Maddox et al. 2019, "A Simple Baseline for Bayesian Uncertainty in Deep Learning".
    """

    def __init__(self, options: SwagOptions) -> None:
        self.options = options

    def fit(self, model: tfbdl.BayesianNetwork, data: Dataset, context: Context) -> EngineResult:
        """Train, collect, and leave the model at the average of the snapshots.

        Raises:
            DataError: If there are no targets, or the data do not end.
            RunError: If a loss is no finite number any more.
        """
        options = self.options
        penalty = penalty_of(model, options.objective)
        found = None if context.checkpoints is None else context.checkpoints.restore()
        collecting = found is not None and found[2].get("phase") == PHASE
        path = _Path(model, data, options, penalty, context.seed)
        before = 0
        history: dict[str, list[float]] = {"loss": []}
        if options.steps or options.epochs:
            trainer = Trainer(model, data, options, penalty, context.seed, 1)
            before = trainer.steps
            if not collecting:
                reports = _counting_to(before + path.steps, context)
                trained = train(trainer, 1, reports, options.checkpoint_seconds)
                take_up(model, trainer, trained)
                history = trained.history
        run = _Collection(path, context, options, before, history)
        state, trajectory = run.finished(found[1] if collecting and found else None)
        return self._result(model, path, state, trajectory, run)

    def _result(
        self,
        model: tfbdl.BayesianNetwork,
        path: _Path,
        state: State,
        trajectory: Trajectory,
        run: _Collection,
    ) -> EngineResult:
        moving = {n: v[0] for n, v in state.buffers.items() if n not in path.seeds}
        for name, value in moving.items():
            path.buffers[name].assign(value)
        names = [*path.weights, *model.learned]
        posterior = NormalPosterior(model, trajectory.normal(), names, moving)
        model.adopt(posterior)
        if any(
            isinstance(p, keras.layers.BatchNormalization) for p in functional.layers_of(model.net)
        ):
            warnings.warn(
                "The moving statistics of BatchNormalization are those of the last snapshot, for "
                "all draws; Maddox et al. compute them anew for each.",
                TfbdlWarning,
                stacklevel=2,
            )
        return EngineResult(
            posterior=posterior, history=run.history, metrics={"loss": run.history["loss"][-1]}
        )


class _Path(Trainer):
    """The steps on which snapshots are taken, from the model's weights as they stand."""

    options: SwagOptions

    def __init__(
        self,
        model: tfbdl.BayesianNetwork,
        data: Dataset,
        options: SwagOptions,
        penalty: Penalty | None,
        seed: int,
    ) -> None:
        rows = data.in_memory()
        batch = min(options.batch_size, rows.num_rows or 1)
        self.every = options.every or max(-(-(rows.num_rows or 1) // batch), LEAST_STEPS)
        changes = {"initial": "current", "epochs": None, "steps": self.every * options.snapshots}
        super().__init__(model, rows, options.model_copy(update=changes), penalty, seed, 1)

    def moved(self, state: State, gradient: Tensors) -> tuple[Tensors, Tensors, Tensors]:
        """One step of gradient descent with momentum, or of Adam."""
        if self.options.optimizer == "adam":
            return super().moved(state, gradient)
        rate = self.rate(state.step)
        first = {n: self.options.momentum * m + gradient[n] for n, m in state.first.items()}
        params = {
            n: value - tf.cast(rate, value.dtype) * first[n] for n, value in state.params.items()
        }
        return params, first, state.second

    def rate(self, step: tf.Tensor) -> tf.Tensor | float:
        """Constant; or of a cycle between snapshots (Izmailov et al. 2018, section 3.2)."""
        if self.options.path == "constant":
            return self.options.snapshot_rate
        share = tf.cast(step % self.every + 1, "float32") / float(self.every)
        return (1.0 - share) * self.options.snapshot_rate + share * self.options.lowest_rate


class _Collection:
    """The loop over snapshots, its reports and its checkpoints."""

    def __init__(
        self,
        path: _Path,
        context: Context,
        options: SwagOptions,
        before: int,
        history: dict[str, list[float]],
    ) -> None:
        self.path, self.options, self.before, self.history = path, options, before, history
        self.reporter = Reporter(context, options.checkpoint_seconds)
        self.losses: list[float] = []  # since the last snapshot

    def finished(self, arrays: Mapping[str, Any] | None) -> tuple[State, Trajectory]:
        """Walk to the end of the path, from the start or from a checkpoint."""
        path, members = self.path, range(1)
        state = path.start(members)
        trajectory = Trajectory.empty(len(self._flat(state)))
        if arrays is not None:
            state, trajectory = self._restored(state, arrays)
        pace = Pace(FIRST_CHUNK)
        while int(state.step) < path.steps:
            left = path.every - int(state.step) % path.every
            count = min(pace.size, path.capacity, left)
            began = time.perf_counter()
            state, losses = path.advance(state, members, count)
            pace.took(count, time.perf_counter() - began)
            if not np.isfinite(losses).all():
                raise RunError(
                    f"The loss became {losses[~np.isfinite(losses)][0]} after "
                    f"{int(state.step)} steps of the path. Lower snapshot_rate "
                    f"({self.options.snapshot_rate:g}), or use optimizer='adam'."
                )
            self.losses += losses[:, 0].tolist()
            if count == left:
                trajectory = trajectory.with_snapshot(self._flat(state), self.options.rank)
                self.history["loss"].append(float(np.mean(self.losses)))
                self.losses = []
            self.reporter.report(
                functools.partial(self._figures, state, trajectory),
                functools.partial(self._save, state, trajectory),
            )
        self._save(state, trajectory)
        return state, trajectory

    def _restored(self, state: State, arrays: Mapping[str, Any]) -> tuple[State, Trajectory]:
        state = from_arrays("state", state, arrays, free_axes=1)
        kept = [np.asarray(arrays[f"trajectory.{name}"]) for name in Trajectory._fields]
        self.history = {"loss": np.asarray(arrays["history"]).tolist()}
        self.losses = np.asarray(arrays["losses"]).tolist()
        return state, Trajectory(*kept)

    def _flat(self, state: State) -> np.ndarray:
        """The unconstrained parameters of the one member, joined: ``[D]``."""
        names = [*self.path.weights, *self.path.model.learned]
        return np.concatenate([state.params[n].numpy().astype(np.float64).ravel() for n in names])

    def _save(self, state: State, trajectory: Trajectory) -> None:
        def arrays() -> dict[str, np.ndarray]:
            own = {f"trajectory.{n}": np.asarray(v) for n, v in trajectory._asdict().items()}
            losses = {"history": np.array(self.history["loss"]), "losses": np.array(self.losses)}
            return own | losses | to_arrays("state", state)

        self.reporter.store(self.before + int(state.step), arrays, {"phase": PHASE})

    def _figures(self, state: State, trajectory: Trajectory) -> dict[str, float]:
        return {
            "step": self.before + int(state.step),
            "steps": self.before + self.path.steps,
            "loss": self.losses[-1] if self.losses else self.history["loss"][-1],
            "snapshots": int(trajectory.snapshots),
        }


def _counting_to(steps: int, context: Context) -> Context:
    """The context of a training that is the first part of a run of so many steps."""
    on_step = context.on_step
    if on_step is None:
        return context
    return dataclasses.replace(
        context, on_step=lambda metrics: on_step({**metrics, "steps": steps})
    )
