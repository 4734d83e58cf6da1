"""What an estimator is to scikit-learn, which asks before anything is fitted."""

from __future__ import annotations

from typing import Any

from sklearn.utils import ClassifierTags, RegressorTags, TransformerTags

from ..errors import OptionsError, did_you_mean
from ..registry import registry

TASKS = ("regression", "classification", "clustering")
SUPERVISED = ("regression", "classification")
_ESTIMATOR_TYPES = {
    "regression": "regressor",
    "classification": "classifier",
    "clustering": "clusterer",
}


def check_task(task: Any) -> None:
    """Refuse what is no task.

    Raises:
        OptionsError: If it is neither None nor one of ``TASKS``.
    """
    if task is not None and task not in TASKS:
        raise OptionsError(
            f"task must be one of {', '.join(TASKS)}, or None."
            f"{did_you_mean(task, TASKS)} Received: {task!r}."
        )


def task_of(model: Any, task: str | None = None) -> str:
    """The task of an estimator: as given, else the model's own.

    A model that fits numbers and classes alike is taken for a regressor, and so is a name that is
    not registered: ``fit`` refuses that with the nearest one.

    Args:
        model: A registered name, or an object that ``tfbdl.fit`` takes.
        task: One of ``TASKS``, or None.

    Returns:
        One of ``TASKS``, or ``unsupervised``.
    """
    if task is not None:
        return task
    if isinstance(model, str):
        known = registry().models
        own = known[model].task if model in known else "regression"
        return "regression" if own == "supervised" else own
    likelihood = getattr(model, "likelihood", None)
    if likelihood is None:
        spec_task = getattr(model, "task", "unsupervised")
        return "regression" if spec_task == "supervised" else str(spec_task)
    return "classification" if likelihood.is_classification else "regression"


def admits_missing(model: Any) -> bool:
    """Whether NaN in the data stands for a value that was not observed."""
    known = registry().models
    return isinstance(model, str) and model in known and bool(known[model].missing_values)


def is_binary(model: Any) -> bool:
    """Whether a model tells two classes apart and no more."""
    known = registry().models
    return isinstance(model, str) and model in known and known[model].max_classes == 2


def set_tags(tags: Any, model: Any, task: str) -> Any:
    """Write a task into scikit-learn's tags.

    Args:
        tags: Those of a BaseEstimator.
        model: A registered name, or an object that ``tfbdl.fit`` takes.
        task: As ``task_of`` gives it.
    """
    tags.estimator_type = _ESTIMATOR_TYPES.get(task)
    tags.input_tags.allow_nan = admits_missing(model)
    tags.target_tags.required = task in SUPERVISED
    if task == "regression":
        tags.regressor_tags = RegressorTags()
        tags.target_tags.multi_output = True
    elif task == "classification":
        tags.classifier_tags = ClassifierTags(multi_class=not is_binary(model))
    else:
        tags.transformer_tags = TransformerTags()
    return tags
