"""From what a Keras user gives ``fit``, ``evaluate`` and ``predict`` to checked, ordered data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from .. import functional
from ..data import Dataset, as_dataset, check_like
from ..errors import DataError

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
) -> dict[str, Any]:
    """Check the data, tell the model their number, and give Keras batches in our order.

    Raises:
        DataError: If the data cannot be trained on, or their number of rows cannot be told.
    """
    data = training_data(model, x, y, sample_weight)
    if validation_split:
        if validation_data is not None:
            raise DataError("Give validation_split or validation_data. Received: both.")
        data, held_out = data.validation_split(validation_split)
        validation_data = _arrays(held_out)
    elif validation_data is not None:
        validation_data = _validation(data, validation_data)
    _set_num_data(model, data)
    if not model.built:
        model(_first_row(data))
    size = batch_size or DEFAULT_BATCH_SIZE
    steps = steps_per_epoch
    if steps is None and data.num_rows is not None:
        steps = data.steps_per_epoch(size)
    batches = data.batches(
        size, seed=int(model.rng_seed.numpy()), shuffle=shuffle, start_epoch=initial_epoch
    )
    return {
        "x": batches,
        "steps_per_epoch": steps,
        "validation_data": validation_data,
        "validation_batch_size": size,
    }


def training_data(model: BayesianNetwork, x: Any, y: Any, sample_weight: Any) -> Dataset:
    """Any training data as a Dataset that fits the likelihood."""
    if isinstance(x, Iterator):
        raise DataError(
            "A Python generator can be neither counted nor read twice. Give a keras.utils.PyDataset"
            ", or tf.data.Dataset.from_generator(...) and BayesianNetwork(..., num_data=N)."
        )
    if isinstance(x, Dataset):
        data = x
    elif y is None:
        data = as_dataset(x, num_rows=model.given_num_data, task=_task(model))
    else:
        parts = (x, y) if sample_weight is None else (x, y, sample_weight)
        data = as_dataset(parts, task=_task(model))
    if data.stream is None:
        if data.y is None:
            raise DataError("Training needs targets. Expected: fit(x, y). Received: x alone.")
        model.likelihood.check_targets(data.y, _num_outputs(model))
    return data


def evaluation_data(model: BayesianNetwork, x: Any, y: Any) -> tuple[Any, Any]:
    """Checked ``(x, y)`` arrays, or the stream that was given."""
    if y is None and not isinstance(x, tuple):
        return x, None
    parts = x if y is None else (x, y)
    data = as_dataset(parts, task=_task(model))
    model.likelihood.check_targets(data.y, _num_outputs(model))
    return data.x, data.y


def gather_inputs(x: Any, steps: int | None = None) -> Any:
    """Checked inputs in memory; a stream is gathered, ``steps`` batches of it."""
    if isinstance(x, tf.Tensor):
        x = x.numpy()
    data = as_dataset(x)
    if data.stream is None:
        return data.x
    batches = [
        batch[0] if isinstance(batch, tuple) else batch
        for batch in data.stream.take(-1 if steps is None else steps).as_numpy_iterator()
    ]
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def supports_xla(model: keras.Model) -> bool:
    """Whether a training step may be compiled by XLA: one device, and no layer that forbids it."""
    one = model.distribute_strategy.num_replicas_in_sync == 1
    return one and all(layer.supports_jit for layer in functional.layers_of(model))


def scaled_optimizer(net: keras.Model, optimizer: Any) -> Any:
    """The optimizer, with loss scaling where a layer computes in float16."""
    optimizer = keras.optimizers.get(optimizer)
    half = any(layer.compute_dtype == "float16" for layer in functional.layers_of(net))
    if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _set_num_data(model: BayesianNetwork, data: Dataset) -> None:
    rows = model.given_num_data or data.num_rows
    if rows is None:
        raise DataError(
            "The number of training rows cannot be told from this stream, and the KL term is "
            "weighted by it. Give BayesianNetwork(..., num_data=N)."
        )
    model.num_data = rows


def _first_row(data: Dataset) -> Any:
    x = data.x
    if data.stream is not None:
        first = next(iter(data.stream))
        x = first[0] if isinstance(first, tuple) else first
    return tf.nest.map_structure(lambda part: tf.convert_to_tensor(part[:1]), x)


def _task(model: BayesianNetwork) -> Any:
    return "classification" if model.likelihood.name == "categorical" else None


def _num_outputs(model: BayesianNetwork) -> int | None:
    shape = getattr(model.net, "output_shape", None) if model.net.built else None
    return shape[-1] if isinstance(shape, tuple) and shape else None


def _validation(data: Dataset, validation_data: Any) -> Any:
    if isinstance(validation_data, Dataset):
        return _arrays(validation_data)
    if not isinstance(validation_data, tuple):
        return validation_data
    x, y = check_like(data.info, *validation_data[:2], suffix="_val")
    return (x, y, *validation_data[2:])


def _arrays(data: Dataset) -> tuple[Any, ...]:
    return tuple(part for part in (data.x, data.y, data.sample_weight) if part is not None)
