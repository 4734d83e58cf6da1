"""Read what was stored: a Fit from a run's folder, a model from a ``.keras`` file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import functional, planning, registry, runs
from .closed_form import read_with_moments
from .data import DataInfo
from .errors import CheckpointError, ModelError, RunError
from .fitted import HISTORY, Fit
from .inference import fields
from .inference.normals import read_normal
from .loading import build_model
from .posterior import Posterior
from .protocols import Stateful
from .runs import RunFolder
from .specs import RunSpec
from .weighted import read_weighted


def load(path: Path) -> Fit:
    """Read a Fit from a run's folder.

    Raises:
        RunError: If the folder holds no finished run.
        CheckpointError: If a file was altered or cut short.
    """
    folder = RunFolder(path)
    record = folder.read_record()
    if not (path / runs.RESULT).is_file():
        raise RunError(
            f"The run in {path} is not finished (state: {folder.status().state}). "
            f"Go on with tfbdl.resume({str(path)!r})."
        )
    runs.verify_manifest(path)
    spec = folder.read_spec()
    info = DataInfo.from_json(record["data_info"]) if "data_info" in record else None
    named = _as_named(spec, record)
    model, why_no_model = _load_model_of(path, named or spec, info)
    if record.get("field") in fields.STORED:
        with np.load(path / runs.WEIGHTS, allow_pickle=False) as stored:
            model = fields.STORED[record["field"]].from_state(stored)
    return Fit(
        model=model,
        posterior=_load_posterior(path, model, record),
        history=json.loads((path / HISTORY).read_text()),
        metrics=folder.read_result(),
        spec=spec,
        info=info,
        path=path,
        why_no_model=why_no_model,
    )


def load_model(path: Path) -> keras.Model:
    """Read a ``.keras`` file; the classes of tfbdl and of its plugins are known.

    Raises:
        CheckpointError: If the file is missing, cut short or altered.
        ModelError: If it holds a class that is not known.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            config = "" if damaged else archive.read("config.json").decode()
    except (zipfile.BadZipFile, KeyError, ValueError):
        damaged, config = path.name, ""
    if damaged:
        raise CheckpointError(f"{path} is no whole .keras file: it was cut short or altered.")
    _register_classes(config)
    try:
        return keras.saving.load_model(path)
    except (TypeError, ValueError) as error:
        unknown = ", ".join(sorted(set(_unknown_classes(json.loads(config)))))
        why = f"unknown are {unknown}" if unknown else str(error).splitlines()[0]
        raise ModelError(
            f"The model in {path} cannot be rebuilt: {why}. Custom layers want "
            "@keras.saving.register_keras_serializable(), and their module imported before "
            "tfbdl.load."
        ) from error


def _unknown_classes(config: Any) -> Iterator[str]:
    """What a stored configuration names that is neither Keras' own nor registered."""
    if isinstance(config, Mapping):
        if "class_name" in config and not str(config.get("module") or "").startswith("keras"):
            registered = config.get("registered_name") or config["class_name"]
            shown = config["class_name"]
            if shown == "function":  # whose own name stands in its configuration
                registered = shown = config["config"]
            if keras.saving.get_registered_object(registered) is None:
                yield str(shown)
        config = tuple(config.values())
    for part in config if isinstance(config, (list, tuple)) else ():
        yield from _unknown_classes(part)


def _register_classes(config: str) -> None:
    """Import the modules whose classes a stored model names, as far as plugins provide them."""
    from . import layers, network  # noqa: F401 - importing them registers their classes

    found = registry.registry()
    for spec in (*found.models.values(), *found.priors.values()):
        if isinstance(spec.factory, str):
            package = spec.factory.partition(":")[0].partition(".")[0]
            if f'"{package}>' in config or f'"{package}.' in config:
                registry.resolve(spec.factory)


def _as_named(spec: RunSpec, record: Mapping[str, Any]) -> RunSpec | None:
    """How the registry makes the model of a run: by the run, or as what it was given was made."""
    if spec.model is not None:
        return spec
    made = record.get("rebuilt_as")
    return None if made is None else RunSpec(**made)


def _load_model_of(path: Path, spec: RunSpec, info: DataInfo | None) -> tuple[Any, str]:
    """The model of a run, or None with the reason."""
    if spec.model is not None:
        alone = spec.model_copy(update={"data": None, "data_options": {}})  # a file may be gone
        model = build_model(planning.plan(alone), info)
        if (path / runs.WEIGHTS).is_file():
            with np.load(path / runs.WEIGHTS, allow_pickle=False) as stored:
                set_state(model, {name: stored[name] for name in stored.files})
        return model, ""
    if not (path / runs.MODEL).is_file():
        return None, ""
    try:
        return load_model(path / runs.MODEL), ""
    except ModelError as error:
        return None, str(error)


def set_state(model: Any, state: Mapping[str, np.ndarray]) -> None:
    """Give a model made by name what ``fitted.model_state`` stored.

    Raises:
        CheckpointError: If the arrays are those of another model.
    """
    if isinstance(model, keras.Model):
        set_variables(model, [state[name] for name in sorted(state)])
    elif isinstance(model, Stateful):
        model.set_state(state)


def set_variables(model: keras.Model, values: list[np.ndarray]) -> None:
    """Assign all that a model holds.

    Raises:
        CheckpointError: If number or shapes differ.
    """
    variables = functional.state_variables(model)
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise CheckpointError(
            f"The stored weights are those of another model. Expected shapes: {shapes}. "
            f"Received: {[value.shape for value in values]}."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _load_posterior(path: Path, model: Any, record: Mapping[str, Any]) -> Posterior | None:
    if record.get("posterior") in ("surrogate", "closed_form") and model is not None:
        own: Posterior = model.posterior
        return own
    if not (path / runs.POSTERIOR).is_file():
        return None
    if record.get("posterior") == "draws_with_moments":
        return read_with_moments(path / runs.POSTERIOR)
    if record.get("posterior") == "weighted_draws":
        return read_weighted(path / runs.POSTERIOR)
    if record.get("posterior") == "normal":
        return read_normal(path / runs.POSTERIOR, model)
    independent = record.get("posterior") in ("independent_draws", "surrogate", "closed_form")
    return Posterior.from_netcdf(path / runs.POSTERIOR, independent=independent)
