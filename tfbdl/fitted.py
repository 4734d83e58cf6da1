"""Fit: a model and its posterior, with what the run recorded; stored in and read from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import evaluation, planning, runs
from .data import DataInfo, as_dataset, check_like
from .errors import CheckpointError, ModelError, RunError
from .posterior import Posterior, SurrogatePosterior
from .predictive import Predictive
from .runs import RunFolder
from .specs import RunSpec

HISTORY = "history.json"
POSTERIOR_BYTES = 64 * 2**20


class Fit:
    """What a run gives back.

    Attributes:
        model: The trained model (a copy of the object that was given).
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
    ) -> None:
        self.model, self.posterior = model, posterior
        self.history, self.metrics = dict(history), dict(metrics)
        self.spec, self.info, self.path = spec, info, path

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return f"Fit(model={self.spec.model or type(self.model).__name__}, {metrics})"

    def predict(self, x: Any, draws: int = 100, seed: int = 0, **options: Any) -> Predictive:
        """The predictive distribution at ``x``, over draws of the posterior.

        Args:
            x: Inputs, in any form that ``tfbdl.fit`` takes.
            draws: Number of draws.
            seed: Of the draws.
            **options: ``keep`` and ``batch_size`` of Predictive.

        Raises:
            ModelError: If the model predicts nothing, or could not be stored.
            DataError: If x does not look like the training data.
        """
        if self.model is None:
            raise ModelError(
                "This run was made from an object that could not be stored. Call tfbdl.fit again, "
                "or tfbdl.resume with the object."
            )
        if self.info is not None and self.info.x_shape is not None:
            x, _ = check_like(self.info, x)
        if hasattr(self.model, "likelihood") and hasattr(self.model, "outputs") and self.posterior:
            return Predictive(self.model, self.posterior, x, draws, seed, **options)
        if hasattr(self.model, "predictive"):
            return self.model.predictive(x, draws=draws, seed=seed, **options)
        raise ModelError(f"A {type(self.model).__name__} has no predictive distribution.")

    def evaluate(self, data: Any, draws: int = 100, seed: int = 0) -> dict[str, float]:
        """Score predictions on data: see ``tfbdl.evaluation.evaluate``.

        Args:
            data: ``(x, y)``, or a Dataset, whose test rows count if it has any.
            draws: Number of draws.
            seed: Of the draws.
        """
        x, y = self._rows(data)
        return evaluation.evaluate(self.predict(x, draws, seed), y)

    def _rows(self, data: Any) -> tuple[Any, Any]:
        if isinstance(data, tuple) and len(data) == 2 and self.info is not None:
            return check_like(self.info, *data)
        dataset = as_dataset(data)
        if dataset.y_test is not None:
            return dataset.x_test, dataset.y_test
        return dataset.x, dataset.y

    def extend(self, draws: int) -> Fit:
        """More draws, as one longer run would have given them.

        Raises:
            RunError: If the engine has no draws to add to, or the run has no folder.
        """
        if self.path is None:
            raise RunError(
                "Only a run with a folder can be extended: give tfbdl.fit(..., out=DIR)."
            )
        from . import api

        return api.resume(self.path, draws=draws)

    def save(self, path: str | Path) -> None:
        """Store the fit in a folder that ``tfbdl.load`` reads: arrays and plain values only."""
        folder = RunFolder(Path(path))
        if not (folder.path / runs.RUN).is_file():
            folder.create(pending=True)
            extra = {} if self.info is None else {"data_info": self.info.to_json()}
            folder.write_spec(self.spec, extra=extra)
            folder.set_state("done")
        files = [runs.RESULT, HISTORY]
        runs.write_atomically(folder.path / runs.RESULT, _json({"metrics": self.metrics}))
        runs.write_atomically(folder.path / HISTORY, _json(self.history))
        if self.spec.model is not None and isinstance(self.model, keras.Model):
            weights = {f"{i:05d}": np.asarray(v) for i, v in enumerate(self.model.variables)}
            np.savez(folder.path / runs.WEIGHTS, **weights)
            files.append(runs.WEIGHTS)
        elif isinstance(self.model, keras.Model) and self._save_keras(folder.path / runs.MODEL):
            files.append(runs.MODEL)
        if self.posterior is not None:
            thinned = _within(self.posterior, POSTERIOR_BYTES)
            thinned.to_arviz().to_netcdf(folder.path / runs.POSTERIOR, engine="h5netcdf")
            files.append(runs.POSTERIOR)
        runs.write_manifest(folder.path, files)
        self.path = folder.path

    def _save_keras(self, path: Path) -> bool:
        """Store a model that was given as an object; a net of unregistered classes cannot be."""
        try:
            self.model.save(path)
        except (TypeError, ValueError, NotImplementedError):
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
    model = _load_model_of(path, spec, info)
    return Fit(
        model=model,
        posterior=_load_posterior(path, model, record),
        history=json.loads((path / HISTORY).read_text()),
        metrics=folder.read_result(),
        spec=spec,
        info=info,
        path=path,
    )


def load_model(path: Path) -> keras.Model:
    """Read a ``.keras`` file; the classes of tfbdl and of its plugins are known.

    Raises:
        CheckpointError: If the file is missing or cut short.
    """
    from . import network  # noqa: F401 - importing it registers the class with Keras

    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    import zipfile

    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is no whole .keras file: it was cut short or altered.")
    return keras.saving.load_model(path)


def _load_model_of(path: Path, spec: RunSpec, info: DataInfo | None) -> Any:
    from . import run

    if spec.model is not None and info is not None:
        model = run.build_model(planning.plan(spec), info)
        if (path / runs.WEIGHTS).is_file():
            with np.load(path / runs.WEIGHTS, allow_pickle=False) as stored:
                set_variables(model, [stored[name] for name in sorted(stored.files)])
        return model
    return load_model(path / runs.MODEL) if (path / runs.MODEL).is_file() else None


def set_variables(model: keras.Model, values: list[np.ndarray]) -> None:
    """Assign all variables of a model.

    Raises:
        CheckpointError: If number or shapes differ.
    """
    shapes = [tuple(variable.shape) for variable in model.variables]
    if shapes != [value.shape for value in values]:
        raise CheckpointError(
            f"The stored weights are those of another model. Expected shapes: {shapes}. "
            f"Received: {[value.shape for value in values]}."
        )
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _load_posterior(path: Path, model: Any, record: Mapping[str, Any]) -> Posterior | None:
    if record.get("posterior") == "surrogate" and model is not None:
        return model.posterior
    if not (path / runs.POSTERIOR).is_file():
        return None
    import xarray as xr

    with xr.open_datatree(path / runs.POSTERIOR, engine="h5netcdf") as tree:
        draws = {str(n): v.values for n, v in tree["posterior"].data_vars.items()}
        stats = tree["sample_stats"].data_vars if "sample_stats" in tree else {}
        return Posterior(draws, {str(name): value.values for name, value in stats.items()})


def _within(posterior: Posterior, budget: int) -> Posterior:
    """The posterior's draws, or as many of them as fit into ``budget`` bytes."""
    if not isinstance(posterior, SurrogatePosterior):
        return posterior
    count = max(1, min(posterior.num_draws, budget // (4 * posterior.num_parameters)))
    return Posterior({name: value[:, :count] for name, value in posterior.draws.items()})


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=float) + "\n"
