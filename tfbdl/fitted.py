"""Fit: a model and its posterior, with what the run recorded; stored in and read from a folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import evaluation, functional, planning, registry, runs
from .data import DataInfo, Dataset, as_dataset, check_like
from .data.columns import is_frame
from .data.retarget import labels_as_given
from .data.streams import is_stream
from .errors import CheckpointError, DataError, ModelError, RunError
from .manifests import write_atomically
from .posterior import Posterior, SurrogatePosterior
from .predictive import Predictive
from .runs import RunFolder
from .specs import RunSpec

HISTORY = "history.json"
POSTERIOR_BYTES = 64 * 2**20


class Fit:
    """What a run gives back.

    Attributes:
        model: The fitted model (a copy of the object that was given). A BayesianNetwork after an
            engine that gives draws (``nuts``, ``sgld``, ``ensemble``) averages over these in
            ``predict`` and ``predictive``; its weights, and a ``.keras`` file of it, are one of
            the draws, and its own ``posterior`` was not trained.
        posterior: Its posterior, or None if the model has none.
        history: Metric name -> values after each epoch or step.
        metrics: Figures of the run; on test rows where the data has any, else named ``train_...``.
        spec: The run in plain values.
        info: The description of the training data, or None if there was none.
        path: The run's folder, or None.
    """

    def __init__(
        self,
        *,
        model: Any,
        posterior: Posterior | None,
        history: Mapping[str, list[float]],
        metrics: Mapping[str, float],
        spec: RunSpec,
        info: DataInfo | None = None,
        path: Path | None = None,
        why_no_model: str = "",
    ) -> None:
        self.model, self.posterior = model, posterior
        self.history, self.metrics = dict(history), dict(metrics)
        self.spec, self.info, self.path = spec, info, path
        if hasattr(model, "adopt") and not isinstance(posterior, SurrogatePosterior | None):
            model.adopt(posterior)
        self.given: tuple[Any, Any] = (None, None)  # the objects of the run, to extend it with
        self.checkpoints: Any = None  # of a run without a folder
        self._why_no_model = why_no_model
        self._diagnosed: tuple[Posterior, list[str]] | None = None

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return f"Fit(model={self.spec.model or type(self.model).__name__}, {metrics})"

    def predict(self, x: Any, draws: int = 100, seed: int = 0, **options: Any) -> Predictive:
        """The predictive distribution at ``x``, over draws of the posterior.

        Args:
            x: Inputs: an array, a mapping, a frame with the columns of training, or batches that
                end (a Dataset, a tf.data.Dataset, a PyDataset), of which the inputs are taken.
            draws: Number of draws.
            seed: Of the draws.
            **options: ``keep`` and ``batch_size`` of Predictive.

        Raises:
            ModelError: If the model predicts nothing, or could not be stored.
            DataError: If x does not look like the training data.
        """
        if self.model is None:
            raise ModelError(
                "The model of this run is not stored, so it cannot predict. "
                f"{self._why_no_model or 'It was given as an object that has no file format.'} "
                "The posterior, metrics and history are here; to predict, call "
                "tfbdl.resume(dir, model=..., data=...) or tfbdl.fit with the object again."
            )
        if self.info is not None and self.info.x_shape is not None:
            x, _ = check_like(self.info, _gathered(x).x if _is_batched(x) else x)
        if hasattr(self.model, "likelihood") and hasattr(self.model, "outputs") and self.posterior:
            return Predictive(self.model, self.posterior, x, draws, seed, **options)
        if hasattr(self.model, "predictive"):
            predictive: Predictive = self.model.predictive(x, draws=draws, seed=seed, **options)
            return predictive
        raise ModelError(f"A {type(self.model).__name__} has no predictive distribution.")

    def evaluate(self, data: Any, draws: int = 100, seed: int = 0) -> dict[str, float]:
        """Score predictions on data: see ``tfbdl.evaluation.evaluate``.

        Args:
            data: ``(x, y)``, batches of such that end, a frame with the columns of training, or a
                Dataset, whose test rows count if it has any.
            draws: Number of draws.
            seed: Of the draws.

        Raises:
            ModelError: As ``predict``.
            DataError: If there are no targets, each row has a weight, or the data do not look
                like those of training.
        """
        x, y = self._rows(data)
        return evaluation.evaluate(self.predict(x, draws, seed), y)

    def _rows(self, data: Any) -> tuple[Any, Any]:
        """The inputs and targets to score, with the labels of training."""
        if self.info is None or self.info.y_shape is None:
            raise DataError("The run had no targets, so there is nothing to score predictions on.")
        if isinstance(data, tuple):
            x, y, weight = (*data, None, None)[:3]
        else:
            columns = {"target": self.info.target_names, "features": self.info.feature_names}
            rows = _gathered(data, **(columns if is_frame(data) else {}))
            if rows.y_test is not None:
                rows = Dataset(x=rows.x_test, y=rows.y_test, info=rows.info)
            x, y, weight = rows.x, labels_as_given(rows), rows.sample_weight
        if y is None:
            raise DataError(
                "Predictions are scored on targets. Expected (x, y), or data with targets. "
                f"Received: {type(data).__name__} without targets."
            )
        if weight is not None:
            raise DataError("evaluate counts each row once. Received: a sample_weight.")
        return check_like(self.info, x, y)

    def extend(self, draws: int) -> Fit:
        """More draws, as one longer run would have given them.

        Args:
            draws: How many more, for each chain.

        Raises:
            RunError: If the engine has no draws to add to, or the run is neither of this process
                nor in a folder.
        """
        if self.path is None:
            if self.checkpoints is None:
                raise RunError(
                    "Only a run with a folder, or one of this process by an engine that makes "
                    "draws, can be extended: give tfbdl.fit(..., out=DIR)."
                )
            from . import run

            return run.extend(self, draws)
        from . import api

        model, data = self.given
        return api.resume(self.path, model=model, data=data, draws=draws)

    def diagnostics(self) -> list[str] | None:
        """What is wrong with the draws of a Markov chain, in plain words; empty if nothing is.

        None where the posterior is none of a Markov chain.
        """
        if self.posterior is None or self.posterior.independent:
            return None
        if self._diagnosed is None or self._diagnosed[0] is not self.posterior:
            self._diagnosed = (self.posterior, self.posterior.diagnostics())
        return self._diagnosed[1]

    def save(self, dir: str | Path) -> None:  # noqa: A002 - a word that users type
        """Store the fit in a folder that ``tfbdl.load`` reads: arrays and plain values only.

        Args:
            dir: The folder.

        Raises:
            RunError: If the folder holds another run, or anything else.
        """
        folder = RunFolder(Path(dir))
        if self.path is None or folder.path.resolve() != self.path.resolve():
            folder.create()
            folder.write_spec(self.spec, extra=self.record())
            self.write(folder)
            folder.set_state("done")
        else:
            self.write(folder)

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of a finished run beside its spec, in plain values."""
        own = isinstance(self.posterior, SurrogatePosterior) and self.posterior.model is self.model
        independent = self.posterior is not None and self.posterior.independent
        kind = "surrogate" if own else "independent_draws" if independent else "draws"
        record: dict[str, Any] = {"posterior": kind}
        if self.info is not None:
            record["data_info"] = self.info.to_json()
        return record

    def write(self, folder: RunFolder) -> None:
        """Write what the run left into its folder, and the manifest that vouches for it."""
        files = [runs.RESULT, HISTORY]
        write_atomically(folder.path / runs.RESULT, _json(self._result()))
        write_atomically(folder.path / HISTORY, _json(self.history))
        if self.spec.model is not None and isinstance(self.model, keras.Model):
            variables = functional.state_variables(self.model)
            weights: Any = {f"{i:05d}": np.asarray(v) for i, v in enumerate(variables)}
            np.savez(folder.path / runs.WEIGHTS, **weights)
            files.append(runs.WEIGHTS)
        elif isinstance(self.model, keras.Model) and self._save_keras(folder.path / runs.MODEL):
            files.append(runs.MODEL)
        if self.posterior is not None:
            thinned = _within(self.posterior, POSTERIOR_BYTES)
            thinned.to_netcdf(folder.path / runs.POSTERIOR)
            files.append(runs.POSTERIOR)
        runs.write_manifest(folder.path, files)
        self.path = folder.path

    def _result(self) -> dict[str, Any]:
        """The metrics, and the verdicts on a Markov chain."""
        verdicts = self.diagnostics()
        own = {} if verdicts is None else {"diagnostics": verdicts}
        return {"metrics": self.metrics, **own}

    def _save_keras(self, path: Path) -> bool:
        """Store a model that was given as an object; a net without a configuration cannot be."""
        try:
            self.model.save(path)
        except (ModelError, TypeError, ValueError, NotImplementedError):
            path.unlink(missing_ok=True)
            return False
        return True


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
    model, why_no_model = _load_model_of(path, spec, info)
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
    """The classes in a stored configuration that are neither Keras' own nor registered."""
    if isinstance(config, Mapping):
        if "class_name" in config and not str(config.get("module") or "").startswith("keras"):
            registered = config.get("registered_name") or config["class_name"]
            if keras.saving.get_registered_object(registered) is None:
                yield str(config["class_name"])
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


def _load_model_of(path: Path, spec: RunSpec, info: DataInfo | None) -> tuple[Any, str]:
    """The model of a run, or None with the reason."""
    from . import run

    if spec.model is not None:
        alone = spec.model_copy(update={"data": None, "data_options": {}})  # a file may be gone
        model = run.build_model(planning.plan(alone), info)
        if (path / runs.WEIGHTS).is_file():
            with np.load(path / runs.WEIGHTS, allow_pickle=False) as stored:
                set_variables(model, [stored[name] for name in sorted(stored.files)])
        return model, ""
    if not (path / runs.MODEL).is_file():
        return None, ""
    try:
        return load_model(path / runs.MODEL), ""
    except ModelError as error:
        return None, str(error)


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
    if record.get("posterior") == "surrogate" and model is not None:
        own: Posterior = model.posterior
        return own
    if not (path / runs.POSTERIOR).is_file():
        return None
    independent = record.get("posterior") in ("independent_draws", "surrogate")
    return Posterior.from_netcdf(path / runs.POSTERIOR, independent=independent)


def _within(posterior: Posterior, budget: int) -> Posterior:
    """The posterior's draws, or as many of them as fit into ``budget`` bytes."""
    if not isinstance(posterior, SurrogatePosterior):
        return posterior
    count = max(1, min(posterior.num_draws, budget // (4 * posterior.num_parameters)))
    return Posterior({name: value[:, :count] for name, value in posterior.draws.items()})


def _is_batched(data: Any) -> bool:
    return isinstance(data, Dataset) or is_stream(data)


def _gathered(data: Any, **options: Any) -> Dataset:
    """Any data with all rows in memory."""
    return as_dataset(data, **options).in_memory()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=float) + "\n"
