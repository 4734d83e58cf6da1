"""From what a Keras user gives ``fit``, ``evaluate`` and ``predict`` to checked, ordered data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from .. import functional
from ..data import Dataset, as_dataset, check_like, clean_inputs
from ..data.streams import is_stream
from ..errors import DataError
from ..inference.rows import set_num_data
from ..trainable import start_of

if TYPE_CHECKING:
    from .model import BayesianNetwork

DEFAULT_BATCH_SIZE = 32


def fit_arguments(
    model: BayesianNetwork,
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    batch_size: int | None,
    validation_split: float,
    validation_data: Any,
    shuffle: bool,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
) -> dict[str, Any]:
    """Check the data, tell the model their number, and give Keras batches in our order.

    Raises:
        DataError: If the data cannot be trained on, or their number of rows cannot be told.
    """
    data = training_data(model, x, y, sample_weight)
    if not model.built:
        model(_first_row(data))
        data = as_dataset(data, **data_options(model))  # now that its units are known
    if validation_split:
        if validation_data is not None:
            raise DataError("Give validation_split or validation_data. Received: both.")
        data, held_out = data.validation_split(validation_split)
        validation_data = _arrays(held_out)
    elif validation_data is not None:
        validation_data = _first(_validation(model, data, validation_data), validation_steps)
    _set_num_data(model, data)
    model.class_names = data.info.class_names or model.class_names
    size = batch_size or DEFAULT_BATCH_SIZE
    steps = steps_per_epoch
    if steps is None and data.num_rows is not None:
        steps = data.steps_per_epoch(size)
    epoch, skip = start_of(data, size, initial_epoch, steps_per_epoch)
    batches = data.batches(
        size, seed=int(model.rng_seed.numpy()), shuffle=shuffle, start_epoch=epoch, skip=skip
    )
    return {
        "x": batches,
        "steps_per_epoch": steps,
        "validation_data": validation_data,
        "validation_batch_size": size,
        "validation_steps": validation_steps,
    }


def data_options(model: BayesianNetwork) -> dict[str, Any]:
    """What the model knows of its data, in the words of ``as_dataset``."""
    return {
        "task": "classification" if model.likelihood.is_classification else "regression",
        "num_classes": _num_classes(model),
        "class_names": model.class_names,
        "check_targets": lambda y: model.likelihood.check_targets(y, _num_outputs(model)),
    }


def training_data(model: BayesianNetwork, x: Any, y: Any, sample_weight: Any) -> Dataset:
    """Any training data as a Dataset that fits the likelihood."""
    if isinstance(x, Iterator):
        raise DataError(
            "A Python generator can be neither counted nor read twice. Give a keras.utils.PyDataset"
            ", or tf.data.Dataset.from_generator(...) and BayesianNetwork(..., num_data=N)."
        )
    if isinstance(x, Dataset):
        data = as_dataset(x, **data_options(model))
    elif y is None:
        data = as_dataset(x, num_rows=model.given_num_data, **data_options(model))
    else:
        parts = (x, y) if sample_weight is None else (x, y, sample_weight)
        data = as_dataset(parts, **data_options(model))
    if data.info.y_shape is None:
        raise DataError("Training needs targets. Expected: fit(x, y). Received: x alone.")
    return data


def evaluation_data(
    model: BayesianNetwork, x: Any, y: Any, steps: int | None = None
) -> tuple[Any, Any]:
    """Checked ``(x, y)`` arrays, or the stream that was given, unread: ``steps`` batches of it."""
    if y is None and not isinstance(x, (tuple, Dataset)):
        return _first(x, steps), None
    data = as_dataset(x if y is None else (x, y), **data_options(model))
    return (data.x, data.y) if data.stream is None else (_first(data.stream, steps), None)


def gather_inputs(x: Any, steps: int | None = None) -> Any:
    """Checked inputs in memory; a stream is gathered, ``steps`` batches of it."""
    if isinstance(x, tf.Tensor):
        x = x.numpy()
    if x is None or isinstance(x, (Dataset, str, bytes)) or is_stream(x):
        return as_dataset(x).in_memory(steps).x
    return clean_inputs(x)


def supports_xla(model: keras.Model) -> bool:
    """Whether a training step may be compiled by XLA: one device, and no layer that forbids it."""
    one = model.distribute_strategy.num_replicas_in_sync == 1
    return one and all(layer.supports_jit for layer in functional.layers_of(model))


def _set_num_data(model: BayesianNetwork, data: Dataset) -> None:
    if set_num_data(model, data.num_rows) is None:
        raise DataError(
            "The number of training rows cannot be told from this stream, and the KL term is "
            "weighted by it. Give BayesianNetwork(..., num_data=N), or "
            "fit(as_dataset(stream, num_rows=N))."
        )


def _first_row(data: Dataset) -> Any:
    x = data.x
    if data.stream is not None:
        first = next(iter(data.stream))
        x = first[0] if isinstance(first, tuple) else first
    return tf.nest.map_structure(lambda part: tf.convert_to_tensor(part[:1]), x)


def _first(batches: Any, steps: int | None) -> Any:
    """The first batches of a stream, so that whole executions cannot take more than these."""
    if steps is None or not isinstance(batches, tf.data.Dataset):
        return batches
    return batches.take(steps)


def _num_classes(model: BayesianNetwork) -> int | None:
    """The classes that the net has units for; None where that is not known, or there are none."""
    units = _num_outputs(model)
    if units is None or not model.likelihood.is_classification:
        return None
    size = model.likelihood.size_for(units)
    return size if size > 1 else 2  # one unit tells two classes apart


def _num_outputs(model: BayesianNetwork) -> int | None:
    shape = getattr(model.net, "output_shape", None) if model.net.built else None
    return shape[-1] if isinstance(shape, tuple) and shape else None


def _validation(model: BayesianNetwork, data: Dataset, validation_data: Any) -> Any:
    if isinstance(validation_data, Dataset):
        return _arrays(as_dataset(validation_data, **data_options(model)))
    if not isinstance(validation_data, tuple):
        return validation_data
    x, y = check_like(data.info, *validation_data[:2], suffix="_val")
    if y is not None:
        model.likelihood.check_targets(y, _num_outputs(model))
    return (x, y, *validation_data[2:])


def _arrays(data: Dataset) -> tuple[Any, ...]:
    return tuple(part for part in (data.x, data.y, data.sample_weight) if part is not None)
