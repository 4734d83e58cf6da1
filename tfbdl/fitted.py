"""Fit: a model and its posterior, with what the run recorded; it can be stored in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import evaluation, functional, runs
from .closed_form import ClosedFormPosterior
from .data import DataInfo, Dataset, as_dataset, check_like
from .data.columns import is_frame
from .data.retarget import labels_as_given
from .data.streams import is_stream
from .errors import DataError, ModelError, RunError
from .inference.fields import Field
from .manifests import write_atomically
from .parametric import ParametricModel
from .posterior import Posterior, SurrogatePosterior
from .predictive import Predictive, predictive_of
from .protocols import HeldOut, Stateful
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
        metrics: Figures of the run; on test rows where the data has any, else named ``train_...``
            and of at most 20,000 training rows, evenly spaced. What a model of rows without targets
            says of test rows (``nll``, ``elbo``) is named ``test_...``.
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
        self._dataset: tuple[Dataset | None] | None = None  # once it was asked for

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
            rows = _gathered(x).x if _is_batched(x) else x
            x, _ = check_like(self.info, rows, allow_nan=self._takes_nan)
        in_closed_form = getattr(self.posterior, "predictive", None)
        if in_closed_form is not None:
            return in_closed_form(x)
        if hasattr(self.model, "likelihood") and hasattr(self.model, "outputs") and self.posterior:
            return predictive_of(self.model, self.posterior, x, draws, seed, **options)
        if hasattr(self.model, "predictive"):
            predictive: Predictive = self.model.predictive(x, draws=draws, seed=seed, **options)
            return predictive
        known = ("log_prob", "log_marginal", "reconstruct", "sample")
        own = [f"fit.model.{name}" for name in known if hasattr(self.model, name)]
        hint = f" Of new rows: {' and '.join(own)}." if own else ""
        raise ModelError(
            f"A {type(self.model).__name__} has no predictive distribution of targets.{hint}"
        )

    def evaluate(self, data: Any, draws: int = 100, seed: int = 0) -> dict[str, float]:
        """Score predictions on data: see ``tfbdl.evaluation.evaluate``.

        Where the run had no targets the model says of rows what it says of test rows (``nll``,
        ``elbo``), of at most 20,000, evenly spaced, with draws of its own.

        Args:
            data: ``(x, y)``, batches of such that end, a frame with the columns of training, or a
                Dataset, whose test rows count if it has any; x alone where the run had no targets.
            draws: Number of draws.
            seed: Of the draws.

        Raises:
            ModelError: As ``predict``.
            DataError: If there are no targets, each row has a weight, or the data do not look
                like those of training.
        """
        without = self.info is None or self.info.y_shape is None
        if without and isinstance(self.model, HeldOut) and not isinstance(data, tuple):
            return dict(self.model.held_out(evaluation.spaced(self._inputs(data))))
        x, y = self._rows(data)
        return evaluation.evaluate(self.predict(x, draws, seed), y)

    def _inputs(self, data: Any) -> Any:
        """The inputs to score, of a run without targets."""
        if _is_batched(data):
            rows = _gathered(data)
            if rows.sample_weight is not None:
                raise DataError("evaluate counts each row once. Received: a sample_weight.")
            data = rows.x if rows.x_test is None else rows.x_test
        if self.info is None:
            return data
        return check_like(self.info, data, allow_nan=self._takes_nan)[0]

    @property
    def _takes_nan(self) -> bool:
        """Whether NaN stands for a value that the model can do without."""
        return bool(getattr(self.model, "missing_values", False))

    def _rows(self, data: Any) -> tuple[Any, Any]:
        """The inputs and targets to score, with the labels of training."""
        if self.info is None or self.info.y_shape is None:
            known = [name for name in ("log_prob", "elbo") if hasattr(self.model, name)]
            hint = f" fit.model.{known[0]} scores rows." if known else ""
            if isinstance(self.model, HeldOut):
                hint = f" Expected: x alone.{hint} Received: a tuple."
            raise DataError(
                f"The run had no targets, so there is nothing to score predictions on.{hint}"
            )
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

    def dataset(self) -> Dataset | None:
        """The data of the run, read again the first time that they are asked for.

        Returns:
            None where the data were objects that this process was not given, or there were none.

        Raises:
            DataError: If a file is no longer there, or cannot be read.
        """
        if self._dataset is None:
            from . import run

            self._dataset = (run.dataset(self),)
        return self._dataset[0]

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
        record: dict[str, Any] = {"posterior": self._kind_of_posterior()}
        if self.spec.model is None and isinstance(self.model, ParametricModel):
            record["rebuilt_as"] = self.model.as_named()
        if isinstance(self.model, Field):
            record["field"] = type(self.model).__name__
        if self.info is not None:
            record["data_info"] = self.info.to_json()
        return record

    def _kind_of_posterior(self) -> str:
        """How the posterior is read again: as the model's own, or as draws."""
        posterior = self.posterior
        if isinstance(posterior, SurrogatePosterior) and posterior.model is self.model:
            return "surrogate"
        if posterior is None or not posterior.independent:
            return "draws"
        if posterior.stored_as is not None:
            return posterior.stored_as
        if not isinstance(posterior, ClosedFormPosterior):
            return "independent_draws"
        weights = isinstance(self.model, keras.Model) and isinstance(
            getattr(self.model, "posterior", None), ClosedFormPosterior
        )
        return "closed_form" if weights or isinstance(self.model, Stateful) else "independent_draws"

    def write(self, folder: RunFolder) -> None:
        """Write what the run left into its folder, and the manifest that vouches for it."""
        files = [runs.RESULT, HISTORY]
        write_atomically(folder.path / runs.RESULT, _json(self._result()))
        write_atomically(folder.path / HISTORY, _json(self.history))
        if self.spec.model is not None or isinstance(self.model, ParametricModel | Field):
            state = model_state(self.model)
            if state:
                np.savez(folder.path / runs.WEIGHTS, **state)
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


def model_state(model: Any) -> dict[str, Any]:
    """What a model made by name holds, as arrays by name; empty if there is nothing to store."""
    if isinstance(model, keras.Model):
        variables = functional.state_variables(model)
        return {f"{i:05d}": np.asarray(v) for i, v in enumerate(variables)}
    if isinstance(model, Stateful | Field):
        return {name: np.asarray(value) for name, value in model.get_state().items()}
    return {}


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
