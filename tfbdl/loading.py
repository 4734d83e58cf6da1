"""From a plan to its parts: the data, checked, and the model that is made for them."""

from __future__ import annotations

from typing import Any

from . import likelihoods, registry
from .data import DataInfo, Dataset, Reading, as_dataset, reading
from .network import BayesianNetwork, fitting
from .parametric import ParametricModel
from .planning import Plan


def load_data(plan: Plan, data: Any = None, model: Any = None) -> Dataset | None:
    """The data of a plan: the named data set, or the given object, checked.

    The targets are taken as the model's likelihood takes them, unless the data options say
    otherwise.

    Args:
        plan: The checked run.
        data: The object that stands in place of a data set's name.
        model: The object that stands in place of a model's name; it may know the number of rows
            of a stream, and what the targets are.
    """
    with reading(_reading(plan, model)):
        return _read(plan, data, model)


def _reading(plan: Plan, model: Any) -> Reading:
    """The precision that a model asks for, and whether it can do without a value."""
    if isinstance(model, ParametricModel):
        return Reading(dtype=model.dtype, allow_nan=model.missing_values)
    if plan.model is None:
        return Reading()
    dtype = getattr(plan.model_options, "dtype", None)
    return Reading(dtype=dtype, allow_nan=plan.model.missing_values)


def _read(plan: Plan, data: Any, model: Any) -> Dataset | None:
    wanted = _wanted(plan, model)
    if plan.data is not None:
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
    if plan.model is None or plan.model.task != "supervised":
        return {}
    name = getattr(plan.model_options, "likelihood", None)
    if name not in likelihoods.names():
        return {}
    likelihood = likelihoods.get(name)
    task = "classification" if likelihood.is_classification else "regression"
    return {"task": task, "check_targets": likelihood.check_targets}


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
