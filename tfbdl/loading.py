"""From a plan to its parts: the data, checked, and the model that is made for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import likelihoods, registry
from .data import DataInfo, Dataset, Reading, as_dataset, reading
from .errors import DataError
from .network import BayesianNetwork, fitting
from .parametric import ParametricModel
from .planning import Plan

TASKS = ("regression", "classification")


def load_data(plan: Plan, data: Any = None, model: Any = None) -> Dataset | None:
    """The data of a plan: the named data set, or the given object, checked.

    The targets are taken as the model says (by its task, its likelihood, or the rows that it was
    fitted to before), unless the data options say otherwise.

    Args:
        plan: The checked run.
        data: The object that stands in place of a data set's name.
        model: The object that stands in place of a model's name; it may know the number of rows
            of a stream, and what the targets are.
    """
    with reading(_reading(plan, model)):
        return _read(plan, data, model)


def _reading(plan: Plan, model: Any) -> Reading:
    """The precision that a model asks for, and whether it can do without a value, or targets."""
    if isinstance(model, ParametricModel):
        targets = model.info is None or model.info.y_shape is not None
        return Reading(dtype=model.dtype, allow_nan=model.missing_values, targets=targets)
    if plan.model is None:
        return Reading()
    dtype = getattr(plan.model_options, "dtype", None)
    return Reading(
        dtype=dtype,
        allow_nan=plan.model.missing_values,
        targets=plan.model.task != "unsupervised",
    )


def _read(plan: Plan, data: Any, model: Any) -> Dataset | None:
    wanted = _wanted(plan, model)
    if plan.data is not None:
        if getattr(plan.data_options, "task", None) is not None:
            wanted.pop("task", None)
        made: Dataset = registry.resolve(plan.data.factory)(plan.data_options)
        return as_dataset(made, **wanted)
    if data is None:
        return None
    options = {} if plan.data_options is None else plan.data_options.model_dump()
    wanted["num_rows"] = getattr(model, "given_num_data", None)
    given = {name: value for name, value in options.items() if value is not None}
    return as_dataset(data, **{**wanted, **given})


def _wanted(plan: Plan, model: Any) -> dict[str, Any]:
    """How a model takes its targets, in the words of ``as_dataset``."""
    if isinstance(model, BayesianNetwork):
        return fitting.data_options(model)
    if isinstance(model, ParametricModel) and model.info is not None:
        return _as_before(model.info)
    if plan.model is None:
        return {}
    if plan.model.task in TASKS:
        check = _two_classes if plan.model.max_classes == 2 else None
        return {"task": plan.model.task, "check_targets": check}
    if plan.model.task != "supervised":
        return {}
    name = getattr(plan.model_options, "likelihood", None)
    if name not in likelihoods.names():
        return {}
    likelihood = likelihoods.get(name)
    task = "classification" if likelihood.is_classification else "regression"
    return {"task": task, "check_targets": likelihood.check_targets}


def _two_classes(y: Any) -> None:
    """Raise DataError unless labels are 0 and 1."""
    labels = np.unique(y)
    if y.dtype.kind in "iu" and labels.size and labels.max() > 1:
        seen = ", ".join(map(str, labels[:10])) + (", ..." if labels.size > 10 else "")
        raise DataError(
            "This model tells two classes apart. Expected the labels 0 and 1, booleans or texts. "
            f"Received: {labels.size} labels: {seen}."
            + (f" Recode them: (y == {labels[1]}).astype(int)." if labels.size == 2 else "")
        )


def _as_before(info: DataInfo) -> dict[str, Any]:
    """What more rows of a fitted model are: of the same task, with the same classes."""
    if info.task not in TASKS:
        return {}
    return {"task": info.task, "num_classes": info.num_classes, "class_names": info.class_names}


def build_model(plan: Plan, info: DataInfo | None) -> Any:
    """The model of a plan, made for data that ``info`` describes."""
    assert plan.model is not None
    prior = None
    if plan.prior is not None:
        prior = registry.resolve(plan.prior.factory)(plan.prior_options)
        prior.name = plan.prior.name
    made = registry.resolve(plan.model.factory)(plan.model_options, info, prior, plan.run.seed)
    if isinstance(made, ParametricModel):
        made.registered_as = plan.model.name
    return made
