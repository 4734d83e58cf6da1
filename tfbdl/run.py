"""Carry out a plan: load the data, build the model, let the engine fit it, keep what it gives."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import evaluation, planning, registry
from .data import DataInfo, Dataset, as_dataset
from .errors import OptionsError, RunCancelled, RunError
from .fitted import Fit, load
from .planning import Plan
from .posterior import SurrogatePosterior
from .protocols import Context, EngineResult, OnStep
from .runs import MetricsWriter, RunFolder
from .specs import RunSpec


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
        on_step: Called with the metrics after each step.
    """
    if out is None:
        return _carry_out(plan, model, data, Context(seed=plan.run.seed, on_step=on_step))
    folder = RunFolder(Path(out)).create(pending=True)
    with folder.worker():
        prints = _fingerprints(model, data)
        spec = plan.run.model_copy(update={"fingerprints": prints})
        folder.write_spec(spec, _providers(plan))
        return _in_folder(folder, plan, spec, model, data, on_step)


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

    Raises:
        RunError: If objects are missing or others than before, or no draws can be added.
    """
    _check_fingerprints(spec, model, data)
    if draws is not None:
        spec = _extended(spec, draws)
    elif folder.status().state == "done":
        return load(folder.path)
    if model is None:
        plan = planning.plan(spec)
    else:
        plan = planning.plan(
            spec, offered=planning.offered(model), default_engine=planning.default_engine_for(model)
        )
    with folder.worker():
        return _in_folder(folder, plan, spec, model, data, on_step)


def load_data(plan: Plan, data: Any = None) -> Dataset | None:
    """The data of a plan: the named data set, or the given object, checked."""
    if plan.data is not None:
        return registry.resolve(plan.data.factory)(plan.data_options)
    if data is None:
        return None
    options = {} if plan.data_options is None else plan.data_options.model_dump()
    if isinstance(data, Mapping) and plan.model is None:
        return data  # the observed parts of a joint distribution, by name
    return as_dataset(data, **options)


def build_model(plan: Plan, info: DataInfo | None) -> Any:
    """The model of a plan, made for data that ``info`` describes."""
    assert plan.model is not None
    prior = None
    if plan.prior is not None:
        prior = registry.resolve(plan.prior.factory)(plan.prior_options)
        prior.name = plan.prior.name
    return registry.resolve(plan.model.factory)(plan.model_options, info, prior, plan.run.seed)


def _carry_out(plan: Plan, model: Any, data: Any, context: Context, *, on_info: Any = None) -> Fit:
    started = time.perf_counter()
    dataset = load_data(plan, data)
    info = dataset.info if isinstance(dataset, Dataset) else None
    if on_info is not None and info is not None:
        on_info(info)
    made = build_model(plan, info) if plan.model is not None else _own_copy(plan, model)
    engine = registry.resolve(plan.engine.factory)(plan.engine_options)
    result: EngineResult = engine.fit(made, dataset, context)
    fit = Fit(
        model=made,
        posterior=result.posterior,
        history=result.history,
        metrics={},
        spec=plan.run,
        info=info,
    )
    fit.metrics = {**result.metrics, **_scores(fit, dataset)}
    fit.metrics["seconds"] = time.perf_counter() - started
    return fit


def _own_copy(plan: Plan, model: Any) -> Any:
    """A copy of the given object for the run, fresh from the seed unless asked otherwise."""
    if not hasattr(model, "clone"):
        return model
    current = getattr(plan.engine_options, "initial", "fresh") == "current"
    copy = model.clone(seed=None if current else plan.run.seed)
    if current and hasattr(copy, "rng_seed"):
        copy.rng_seed.assign(plan.run.seed)
    return copy


def _scores(fit: Fit, dataset: Any) -> dict[str, float]:
    """How well the fit predicts: on test rows, else on training rows under that name."""
    if not isinstance(dataset, Dataset) or dataset.y is None or fit.posterior is None:
        return {}
    if not hasattr(fit.model, "likelihood"):
        return {}
    if dataset.y_test is not None:
        return evaluation.evaluate(fit.predict(dataset.x_test), dataset.y_test)
    scores = evaluation.evaluate(fit.predict(dataset.x), dataset.y)
    return {f"train_{name}": value for name, value in scores.items()}


def _in_folder(
    folder: RunFolder, plan: Plan, spec: RunSpec, model: Any, data: Any, on_step: OnStep | None
) -> Fit:
    with MetricsWriter(folder.metrics_path) as writer:
        watch = _Watch(folder, writer, on_step)
        context = Context(seed=plan.run.seed, on_step=watch.on_step, checkpoints=watch)

        def on_info(info: DataInfo) -> None:
            folder.write_spec(spec, _providers(plan), {"data_info": info.to_json()})

        fit = _carry_out(plan, model, data, context, on_info=on_info)
    fit.spec = spec
    surrogate = isinstance(fit.posterior, SurrogatePosterior) and fit.posterior.model is fit.model
    extra = {"posterior": "surrogate" if surrogate else "draws"}
    if fit.info is not None:
        extra["data_info"] = fit.info.to_json()
    folder.write_spec(spec, _providers(plan), extra)
    fit.save(folder.path)
    return fit


class _Watch:
    """Between engine and folder: records metrics, obeys a cancel, stores checkpoints."""

    def __init__(self, folder: RunFolder, writer: MetricsWriter, on_step: OnStep | None) -> None:
        self.folder, self.writer, self.then = folder, writer, on_step
        self.store = folder.checkpoints()
        self.step = 0

    def on_step(self, metrics: Mapping[str, float]) -> None:
        self.step = int(metrics.get("step", self.step + 1))
        figures = {n: float(v) for n, v in metrics.items() if n not in ("step", "steps")}
        self.writer.write(self.step, figures)
        self.folder.heartbeat(f"step {self.step}")
        if self.folder.cancel_requested():
            raise RunCancelled(f"Cancelled at step {self.step}.")
        if self.then is not None:
            self.then(metrics)

    def save(self, step: int, arrays: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """As CheckpointStore.save, with the step that the metrics have reached."""
        self.store.save(step, arrays, {**notes, "metrics_step": self.step})

    def restore(self) -> Any:
        """As CheckpointStore.restore; metrics beyond the checkpoint are dropped."""
        import warnings

        found = self.store.restore()
        for text in self.store.warnings:
            warnings.warn(text, stacklevel=2)
        if found is not None:
            self.step = int(found[2].get("metrics_step", 0))
            self.writer.truncate(self.step)
        return found


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


def _fingerprints(model: Any, data: Any) -> dict[str, str]:
    """What identifies the objects of a run, by the argument that they stood for."""
    prints = {}
    if model is not None:
        prints["model"] = _digest(_parts_of_model(model))
    if data is not None:
        if isinstance(data, Mapping):
            prints["data"] = _digest((name, np.asarray(data[name])) for name in sorted(data))
        else:
            prints["data"] = (
                as_dataset(data).fingerprint()
                if not _is_frame(data)
                else _digest([("frame", data.to_csv())])
            )
    return prints


def _is_frame(data: Any) -> bool:
    return hasattr(data, "to_csv")


def _parts_of_model(model: Any) -> Iterator[tuple[str, Any]]:
    yield "class", type(model).__qualname__
    if hasattr(model, "get_config"):
        with contextlib.suppress(Exception):  # what has no plain configuration has its shapes
            yield (
                "config",
                json.dumps(_without_names(model.get_config()), sort_keys=True, default=str),
            )
    for site in getattr(model, "sites", ()) or ():
        if hasattr(site, "shape"):
            yield site.name, str(site.shape)
    if isinstance(model, keras.Model):
        for variable in model.trainable_variables:
            yield "weight", np.asarray(variable)


def _without_names(config: Any) -> Any:
    """A configuration without the numbers that Keras adds to names."""
    if isinstance(config, Mapping):
        return {
            k: _without_names(v) for k, v in config.items() if k not in ("name", "shared_object_id")
        }
    return [_without_names(v) for v in config] if isinstance(config, (list, tuple)) else config


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for name, value in parts:
        digest.update(name.encode())
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode())
    return digest.hexdigest()


def _check_fingerprints(spec: RunSpec, model: Any, data: Any) -> None:
    given = _fingerprints(model, data)
    for argument, value in (("model", model), ("data", data)):
        expected = spec.fingerprints.get(argument)
        if expected is None and value is not None:
            raise RunError(f"The run's {argument} is a name; give no {argument}= to resume it.")
        if expected is not None and value is None:
            raise RunError(
                f"The run's {argument} was given as an object. Resume it with the same one: "
                f"tfbdl.resume(dir, {argument}=...)."
            )
        if expected is not None and given[argument] != expected:
            raise RunError(
                f"This {argument} is another than the one that the run was started with: its "
                f"fingerprint is {given[argument][:12]}, expected {expected[:12]}."
            )


def _extended(spec: RunSpec, draws: int) -> RunSpec:
    engine = planning.plan(spec).engine if spec.model is not None else None
    known = {} if engine is None else engine.config.model_fields
    if "draws" not in known:
        raise RunError(
            f"The engine {spec.engine or (engine.name if engine else None)!r} has no draws to add "
            "to. A variational posterior can be drawn from at will: fit.posterior.sample(n)."
        )
    if draws < 1:
        raise OptionsError(f"draws must be at least 1. Received: {draws}.")
    before = spec.engine_options.get("draws", known["draws"].default)
    return spec.model_copy(
        update={"engine_options": {**spec.engine_options, "draws": before + draws}}
    )
