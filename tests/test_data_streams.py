"""Streams of batches are counted, checked and described as arrays are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfbdl.data import as_dataset
from tfbdl.errors import DataError

X = np.arange(22, dtype="float64").reshape(11, 2)
Y = np.linspace(0.0, 1.0, 11)
HOLED = np.where(X == 6.0, np.nan, X)


class Batches(keras.utils.PyDataset):
    """Eleven rows in batches of four."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int):
        rows = slice(4 * index, 4 * index + 4)
        return X[rows], Y[rows]


def stream(y=Y) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, y)).batch(4)


@pytest.mark.parametrize("make", [stream, lambda: Batches()])
def test_finite_stream_is_counted_and_described(make):
    data = as_dataset(make())
    assert data.num_rows == 11
    assert data.steps_per_epoch(99) == 3
    assert data.x is None
    arrays = as_dataset((X, Y)).info
    assert data.info.x_mean == pytest.approx(arrays.x_mean)
    assert data.info.y_std == pytest.approx(arrays.y_std)
    assert data.info.x_shape == (2,)
    assert data.info.x_dtype == "float32"
    sizes = [len(x) for x, _ in data.batches(4, seed=0).take(4)]
    assert sizes == [4, 4, 3, 4]
    assert len(list(data.batches(4, seed=0, repeat=False))) == 3


def test_labels_of_a_stream_are_counted():
    info = as_dataset(stream(np.arange(11) % 3)).info
    assert (info.task, info.num_classes, info.y_dtype) == ("classification", 3, "int32")


def test_endless_stream_needs_num_rows_for_its_epochs():
    data = as_dataset(stream().repeat())
    assert data.num_rows is None
    with pytest.raises(DataError, match=r"give num_rows"):
        data.steps_per_epoch(4)
    assert as_dataset(stream().repeat(), num_rows=11).steps_per_epoch(4) == 3


def test_fingerprint_of_a_stream_sees_its_first_batch():
    assert as_dataset(stream()).fingerprint() == as_dataset(stream()).fingerprint()
    assert as_dataset(stream()).fingerprint() != as_dataset(stream(Y + 1)).fingerprint()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)), r"call \.batch\(size\)"),
        (tf.data.Dataset.from_tensor_slices((HOLED, Y)).batch(4), "x has NaN in 1 of 2 columns"),
        (stream().take(0), "no rows"),
        (stream(np.arange(11) - 1), "Received: -1"),
        (stream(np.array(["a"] * 11)), "batches of real numbers"),
        (tf.data.Dataset.from_tensors((X, Y[:3])), "equally many rows"),
    ],
)
def test_stream_faults_are_named(data, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data)


def test_streams_cannot_be_split_by_rows():
    with pytest.raises(DataError, match=r"validation_split needs rows held as arrays"):
        as_dataset(stream()).validation_split(0.5)
