"""What the pages of this room take, checked: arrays, class probabilities, labels, targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from ..errors import DataError, ModelError, OptionsError

if TYPE_CHECKING:
    from ..predictive import Predictive


def array(value: Any, what: str, ndim: int | None = None, finite: bool = True) -> np.ndarray:
    """Numbers as a float64 array that holds something.

    Args:
        value: What was given.
        what: What to call it in an error.
        ndim: How many axes it must have.
        finite: Refuse infinite values and NaN.

    Raises:
        DataError: If it is none.
    """
    try:
        found = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        raise DataError(f"{what} must be an array of numbers. Received: {type(value)}.") from None
    if ndim is not None and found.ndim != ndim:
        raise DataError(f"{what} must have {ndim} axis. Received: shape {found.shape}.")
    if found.size == 0:
        raise DataError(f"{what} must not be empty. Received: shape {found.shape}.")
    if finite and not np.isfinite(found).all():
        raise DataError(f"{what} must be finite, without NaN.")
    return found


def same_shape(**arrays: Any) -> tuple[np.ndarray, ...]:
    """Arrays by name, of one shape.

    Raises:
        DataError: If their shapes differ or a value is not finite.
    """
    values = tuple(array(value, repr(name)) for name, value in arrays.items())
    if len({value.shape for value in values}) > 1:
        shapes = ", ".join(f"{name} {v.shape}" for name, v in zip(arrays, values, strict=True))
        raise DataError(f"Expected: arrays of one shape. Received: {shapes}.")
    return values


def share(value: Any, name: str) -> float:
    """An option that is strictly between 0 and 1.

    Raises:
        OptionsError: If it is not.
    """
    if not isinstance(value, (int, float, np.number)) or not 0.0 < value < 1.0:
        raise OptionsError(f"{name!r} must be strictly between 0 and 1. Received: {value!r}.")
    return float(value)


def is_predictive(prediction: Any) -> TypeGuard[Predictive]:
    """Whether it is a Predictive rather than an array; of any class that has what one has."""
    return hasattr(getattr(prediction, "model", None), "likelihood")


def require_numbers(prediction: Any, what: str) -> None:
    """Refuse what is no Predictive of numbers.

    Raises:
        ModelError: If it is of classes.
        DataError: If it is no Predictive.
    """
    if not is_predictive(prediction):
        raise DataError(f"{what} needs a Predictive. Received: {type(prediction)}.")
    likelihood = prediction.model.likelihood
    if likelihood.is_classification:
        raise ModelError(f"{what} is for numbers; the likelihood is {likelihood.name!r}.")


def targets(prediction: Predictive, y: Any) -> np.ndarray:
    """Observed numbers in float64, of the shape of the mean.

    Raises:
        DataError: If they are not as many, or not finite.
    """
    y, shape = array(y, "Targets"), np.shape(prediction.mean)
    if y.size != int(np.prod(shape)) or y.shape[:1] != shape[:1]:
        raise DataError(f"Expected: targets of shape {shape}. Received: {y.shape}.")
    return y.reshape(shape)


def probabilities(prediction: Any) -> np.ndarray:
    """Class probabilities ``[n, ..., classes]`` in float64 of a Predictive or an array.

    Of an array ``[n]``, probabilities of class 1 of two, both. An axis of one before the classes
    is left out.

    Raises:
        DataError: If the array holds no class probabilities.
        ModelError: If the Predictive is of numbers.
    """
    given = prediction.class_probs if is_predictive(prediction) else prediction
    probs = array(given, "Class probabilities")
    if probs.ndim == 1:
        probs = np.stack([1 - probs, probs], axis=1)
    if probs.ndim < 2 or probs.shape[-1] < 2:
        raise DataError(
            "Class probabilities must have the shape [n], [n, classes] or [n, ..., classes]. "
            f"Received: {probs.shape}."
        )
    if np.any((probs < 0) | (probs > 1)) or np.any(np.abs(probs.sum(axis=-1) - 1) > 1e-3):
        raise DataError("Class probabilities must be in [0, 1], and each row must sum to 1.")
    return probs[..., 0, :] if probs.ndim > 2 and probs.shape[-2] == 1 else probs


def classes(prediction: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``[m, classes]`` in float64 beside labels ``[m]``.

    Args:
        prediction: A Predictive of classes, or probabilities.
        labels: Integers or one-hot; for a Predictive also names, where its model knows them.
            Where a row has several, each stands for itself.

    Raises:
        DataError: If they are no probabilities, no labels or do not fit.
        ModelError: If the Predictive is of numbers.
    """
    probs = probabilities(prediction)
    if is_predictive(prediction):
        labels = _by_name(prediction, labels)
    labels, each, one_hot = array(labels, "Labels"), probs.shape[:-1], probs.shape
    if labels.shape == one_hot:
        if np.any((labels != 0) & (labels != 1)) or np.any(labels.sum(axis=-1) != 1):
            raise DataError("One-hot labels must be 0 but for a single 1 in each row.")
        labels = labels.argmax(axis=-1)
    elif labels.shape not in (each, (*each, 1)):
        raise DataError(
            f"Expected: labels of shape {each}, or one-hot of shape {one_hot}. "
            f"Received: {labels.shape}."
        )
    probs, labels = probs.reshape(-1, probs.shape[-1]), labels.reshape(-1)
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= probs.shape[1])
    if bad.any():
        raise DataError(
            f"Labels must be integers from 0 to {probs.shape[1] - 1}. Received: {labels[bad][0]}."
        )
    return probs, labels.astype(int)


def _by_name(prediction: Predictive, labels: Any) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind in "biuf":
        return labels
    from ..data.retarget import labels_by_name  # loads TensorFlow, as the Predictive did

    return labels_by_name(labels, getattr(prediction.model, "info", None) or prediction.model)
