"""Carry out a plan: load the data, build the model, let the engine fit it, keep what it gives."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from . import evaluation, fingerprints, functional, log_density, planning, registry
from .data import Dataset
from .errors import (
    DataError,
    OptionsError,
    RunCancelled,
    RunError,
    TfbdlError,
    TfbdlWarning,
)
from .fitted import Fit
from .loading import build_model, load_data
from .planning import Plan
from .protocols import Context, EngineResult, HeldOut, OnStep
from .runs import MetricsWriter, RunFolder
from .specs import RunSpec
from .stored import load

__all__ = ["build_model", "dataset", "execute", "extend", "load_data", "resume"]


def execute(
    plan: Plan,
    *,
    model: Any = None,
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> Fit:
    """Carry out a plan, in a folder if ``out`` is given.

    Args:
        plan: The checked run.
        model: The object that stands in place of a model's name.
        data: The object that stands in place of a data set's name.
        out: The run's folder.
        on_step: Called with the metrics whenever the engine reports them.
    """
    given = _prepare(plan, model, data)
    spec = plan.run.model_copy(update={"fingerprints": given.prints})
    if out is None:
        fit = _in_memory(plan, spec, given, on_step, MemoryCheckpoints())
    else:
        folder = RunFolder(Path(out)).create(pending=True)
        with folder.worker():
            folder.write_spec(spec, _providers(plan))
            fit = _in_folder(folder, plan, spec, given, on_step)
    fit.given = (model, data)
    return fit


def resume(
    folder: RunFolder,
    spec: RunSpec,
    *,
    model: Any = None,
    data: Any = None,
    draws: int | None = None,
    on_step: OnStep | None = None,
) -> Fit:
    """Go on with a run; one that is done is read, unless more draws are asked for.

    What the folder says of the run stays as it is until there is a new result: only the goal of
    an extension is noted in it, so that one that was stopped can be gone on with.

    Raises:
        RunError: If objects are missing or others than before, or no draws can be added.
    """
    fingerprints.check_present(spec, model=model, data=data)
    if draws is not None:
        spec = _extended(_plan(spec, model), draws)
    spec = _goal(folder, spec)
    plan = _plan(spec, model)
    given = _prepare(plan, model, data)
    fingerprints.check(spec, given.prints)
    if draws is None and folder.status().state == "done":
        fit = load(folder.path)
    else:
        with folder.worker():
            if draws is not None:
                folder.note(goal=spec.model_dump(mode="json"))
            fit = _in_folder(folder, plan, spec, given, on_step)
    fit.given = (model, data)
    return fit


def extend(fit: Fit, draws: int) -> Fit:
    """More draws for a fit that has checkpoints in memory; model and data are those of the run.

    Raises:
        RunError: If an object was changed since.
        OptionsError: If ``draws`` is no positive integer.
    """
    model, data = fit.given
    spec = _extended(_plan(fit.spec, model), draws)
    plan = _plan(spec, model)
    given = _prepare(plan, model, data)
    fingerprints.check(spec, given.prints)
    more = _in_memory(plan, spec, given, None, fit.checkpoints.copy())
    more.given = (model, data)
    return more


def dataset(fit: Fit) -> Dataset | None:
    """The data of a fit, read again; None where they, or the model that takes them, are not known.

    Raises:
        DataError: If they are no longer there.
    """
    own, data = fit.given
    model = None if fit.spec.model is not None else (own or fit.model)
    known = fit.spec.data is not None or data is not None
    takes_data = not (
        log_density.is_joint_distribution(model) or getattr(model, "takes_no_data", False)
    )
    if not known or not takes_data or (fit.spec.model is None and model is None):
        return None
    return load_data(_plan(fit.spec, model), data, model)


class MemoryCheckpoints:
    """The last state of a run without a folder, so that it can be extended."""

    def __init__(self, last: tuple[int, Any, Any] | None = None) -> None:
        self.last = last

    def save(self, step: int, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Keep the arrays in place of those before."""
        self.last = (step, arrays, notes)

    def restore(self) -> tuple[int, Mapping[str, Any], Mapping[str, Any]] | None:
        """What was kept last."""
        return self.last

    def copy(self) -> MemoryCheckpoints:
        """Another one that begins with the same state."""
        return MemoryCheckpoints(self.last)


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The objects given in place of names, ready for the run.

    Attributes:
        model: The run's own copy; None where the model has a name.
        data: None where both model and data have names, or there is none.
        prints: Argument -> fingerprint of the object given for it.
    """

    model: Any = None
    data: Dataset | None = None
    prints: Mapping[str, str] = field(default_factory=dict)


def _prepare(plan: Plan, model: Any, data: Any) -> _Given:
    prints: dict[str, str] = {}
    dataset = None
    if log_density.is_joint_distribution(model):
        made: Any = log_density.condition(model, _observed(plan, data))
        if data is not None:
            prints["data"] = fingerprints.of_data(data)
    else:
        if getattr(model, "takes_no_data", False) and not (data is None and plan.data is None):
            raise DataError(
                f"A {type(model).__name__} holds its data itself. Expected data=None. "
                f"Received: {plan.run.data or type(data).__name__}."
            )
        made = None if model is None else _own_copy(plan, model)
        if data is not None or (made is not None and plan.data is not None):
            dataset = load_data(plan, data, made)
        if data is not None:
            prints["data"] = fingerprints.of_data(dataset)
    if made is not None:
        prints["model"] = fingerprints.of_model(made, dataset)
    return _Given(model=made, data=dataset, prints=prints)


def _observed(plan: Plan, data: Any) -> Any:
    if plan.data is not None:
        raise DataError(
            "A joint distribution takes its observed parts by name, as a mapping. "
            f"Received: the data set {plan.run.data!r}."
        )
    return data


def _own_copy(plan: Plan, model: Any) -> Any:
    """A copy of the given object for the run, fresh from the seed unless asked otherwise."""
    current = getattr(plan.engine_options, "initial", "fresh") == "current"
    seed = None if current else plan.run.seed
    if hasattr(model, "clone"):
        copy = model.clone(seed=seed)
        if hasattr(copy, "rng_seed"):
            copy.rng_seed.assign(plan.run.seed)
        if hasattr(copy, "rng_step"):
            copy.rng_step.assign(0)  # of this run: schedules of the step begin with it
        return copy
    if isinstance(model, keras.Model):
        copy = functional.clone(model, seed)
        if model.compiled and not copy.compiled:
            copy.compile_from_config(model.get_compile_config())
        return copy
    return model


def _carry_out(plan: Plan, given: _Given, context: Context) -> Fit:
    started = time.perf_counter()
    named = plan.data is not None and plan.model is not None
    dataset = load_data(plan) if named else given.data
    info = None if dataset is None else dataset.info
    model = given.model if plan.model is None else build_model(plan, info)
    engine = registry.resolve(plan.engine.factory)(plan.engine_options)
    result: EngineResult = engine.fit(model, dataset, context)
    fit = Fit(
        model=model,
        posterior=result.posterior,
        history=result.history,
        metrics=result.metrics,
        spec=plan.run,
        info=info,
    )
    fit.metrics |= _scores(fit, dataset)
    fit.metrics["seconds"] = time.perf_counter() - started
    return fit


def _scores(fit: Fit, dataset: Dataset | None) -> dict[str, float]:
    """How well the fit predicts: on test rows, else on training rows under that name.

    Of more than 20,000 training rows as many, evenly spaced, are scored. A model of rows without
    targets is asked for its own figures of test rows.
    """
    if dataset is None:
        return {}
    if dataset.y is None or fit.posterior is None or not hasattr(fit.model, "likelihood"):
        return _held_out(fit.model, dataset)
    if dataset.y_test is not None:
        return evaluation.evaluate(fit.predict(dataset.x_test), dataset.y_test)
    x, y = evaluation.spaced(dataset.x), evaluation.spaced(dataset.y)
    scores = evaluation.evaluate(fit.predict(x), y)
    return {f"train_{name}": value for name, value in scores.items()}


def _held_out(model: Any, dataset: Dataset) -> dict[str, float]:
    """A model's own figures of test rows, at most 20,000; none must cost a finished fit."""
    if dataset.x_test is None or not isinstance(model, HeldOut):
        return {}
    try:
        figures = model.held_out(evaluation.spaced(dataset.x_test))
    except TfbdlError as error:
        warnings.warn(f"The test rows were not scored. {error}", TfbdlWarning, stacklevel=2)
        return {}
    return {f"test_{name}": value for name, value in figures.items()}


def _in_memory(
    plan: Plan,
    spec: RunSpec,
    given: _Given,
    on_step: OnStep | None,
    checkpoints: MemoryCheckpoints,
) -> Fit:
    kept = checkpoints if "draws" in plan.engine.config.model_fields else None
    context = Context(seed=spec.seed, on_step=on_step, checkpoints=kept)
    fit = _carry_out(plan, given, context)
    fit.spec, fit.checkpoints = spec, kept
    return fit


def _in_folder(
    folder: RunFolder, plan: Plan, spec: RunSpec, given: _Given, on_step: OnStep | None
) -> Fit:
    with MetricsWriter(folder.metrics_path) as writer:
        watch = _Watch(folder, writer, on_step)
        context = Context(seed=spec.seed, on_step=watch.on_step, checkpoints=watch)
        fit = _carry_out(plan, given, context)
    fit.spec = spec
    folder.write_spec(spec, _providers(plan), fit.record())
    fit.write(folder)
    return fit


class _Watch:
    """Between engine and folder: records metrics, obeys a cancel, stores checkpoints."""

    def __init__(self, folder: RunFolder, writer: MetricsWriter, on_step: OnStep | None) -> None:
        self.folder, self.writer, self.then = folder, writer, on_step
        self.store = folder.checkpoints()
        self.step = 0

    def on_step(self, metrics: Mapping[str, float]) -> None:
        """Record the metrics, and raise RunCancelled if the run was asked to stop."""
        self.step = int(metrics.get("step", self.step + 1))
        figures = {n: float(v) for n, v in metrics.items() if n not in ("step", "steps")}
        self.writer.write(self.step, figures)
        self.folder.heartbeat(f"step {self.step}", step=self.step, steps=metrics.get("steps"))
        if self.folder.cancel_requested():
            raise RunCancelled(f"Cancelled at step {self.step}.")
        if self.then is not None:
            self.then(metrics)

    def save(self, step: int, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """As CheckpointStore.save, with the step that the metrics have reached."""
        self.writer.flush()  # a checkpoint vouches for the metrics before it
        self.store.save(step, arrays, {**notes, "metrics_step": self.step})

    def restore(self) -> tuple[int, Mapping[str, Any], Mapping[str, Any]] | None:
        """As CheckpointStore.restore; metrics beyond the checkpoint are dropped."""
        found = self.store.restore()
        for text in self.store.warnings:
            warnings.warn(text, stacklevel=2)
        self.step = 0 if found is None else int(found[2].get("metrics_step", 0))
        self.writer.truncate(self.step)
        return found


def _plan(spec: RunSpec, model: Any) -> Plan:
    if model is None:
        return planning.plan(spec)
    return planning.plan(
        spec,
        offered=planning.offered(model),
        default_engine=planning.default_engine_for(model),
        has_prior=hasattr(model, "prior"),
    )


def _providers(plan: Plan) -> dict[str, Any]:
    known = registry.registry()
    parts = {
        "model": (known.models, plan.model),
        "engine": (known.engines, plan.engine),
        "prior": (known.priors, plan.prior),
        "dataset": (known.datasets, plan.data),
    }
    providers = {}
    for kind, (catalog, spec) in parts.items():
        with contextlib.suppress(KeyError):
            if spec is not None:
                providers[kind] = catalog.provider(spec.name)
    return providers


def _goal(folder: RunFolder, spec: RunSpec) -> RunSpec:
    """What a run goes on to: an extension that was stopped, unless ``spec`` goes further."""
    noted = folder.read_record().get("goal")
    if noted is None:
        return spec
    goal = RunSpec.model_validate(noted)
    further = spec.engine_options.get("draws", 0) > goal.engine_options["draws"]
    return spec if further else goal


def _instead(plan: Plan) -> str:
    """What to do where the draws of a run cannot be made more."""
    fields = plan.engine.config.model_fields
    if "members" in fields:
        return " Its draws are its members: run it anew with more of them (members=N)."
    if "posterior" in fields:  # of a family that is drawn from in closed form
        return " Its posterior can be drawn from at will: fit.posterior.sample(n)."
    return ""


def _extended(plan: Plan, draws: int) -> RunSpec:
    fields = plan.engine.config.model_fields
    if "draws" not in fields:
        raise RunError(f"The engine {plan.engine.name!r} has no draws to add to.{_instead(plan)}")
    if not isinstance(draws, int) or draws < 1:
        raise OptionsError(f"draws must be an integer of at least 1. Received: {draws!r}.")
    before = plan.run.engine_options.get("draws", fields["draws"].default)
    options = {**plan.run.engine_options, "draws": before + draws}
    return plan.run.model_copy(update={"engine_options": options})
