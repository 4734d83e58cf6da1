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
    with pytest.raises(DataError, match=r"num_rows=N"):
        data.steps_per_epoch(4)
    assert as_dataset(stream().repeat(), num_rows=11).steps_per_epoch(4) == 3


def test_endless_stream_is_described_by_several_batches():
    x = np.concatenate([np.zeros((4, 1)), np.ones((60, 1))])  # the first batch is not like the rest
    batches = tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(4).repeat()
    info = as_dataset(batches, num_rows=64).info
    assert info.x_mean == pytest.approx((60 / 64,))
    assert info.y_std == pytest.approx(((60 * 4) ** 0.5 / 64,))


def test_first_batches_may_be_left_out():
    batches = as_dataset(stream().repeat(), num_rows=11).batches(4, seed=0, skip=4)
    np.testing.assert_array_equal(next(iter(batches))[0], X[4:8])
    batches = as_dataset(stream()).batches(4, seed=0, skip=4)
    np.testing.assert_array_equal(next(iter(batches))[0], X[4:8])


def test_targets_are_shown_to_the_check_batch_by_batch():
    seen = []
    as_dataset(stream(), check_targets=lambda y: seen.append(len(y)))
    assert seen == [4, 4, 3]


def test_fingerprint_of_a_stream_sees_its_form_and_not_its_order():
    print_of = as_dataset(stream()).fingerprint()
    assert print_of == as_dataset(stream().shuffle(3)).fingerprint()
    assert print_of != as_dataset(stream().take(2)).fingerprint()
    assert print_of != as_dataset(stream(np.stack([Y, Y], axis=1))).fingerprint()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (lambda: stream(Y), {"task": "classification"}, r"whole numbers.*Received: 0\.1"),
        (lambda: stream(np.arange(11)), {"num_classes": 10}, "at most 9.*Received: 10"),
        (lambda: stream(np.arange(11)), {"class_names": ["a", "b"]}, "at most 1"),
    ],
)
def test_labels_of_a_stream_are_checked_as_they_are_given(data, options, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data(), **options)


def test_weights_of_a_stream_may_be_zero_but_not_negative():
    def weighted(weights):
        return tf.data.Dataset.from_tensor_slices((X, Y, weights)).batch(4)

    weights = np.ones(11)
    weights[:4] = 0.0
    assert as_dataset(weighted(weights)).num_rows == 11
    weights[5] = -1.0
    with pytest.raises(DataError, match="sample_weight must not be negative"):
        as_dataset(weighted(weights))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: tf.data.Dataset.from_tensor_slices((X, Y)), r"call \.batch\(size\)"),
        (
            lambda: tf.data.Dataset.from_tensor_slices((HOLED, Y)).batch(4),
            "x has NaN in 1 of 2 columns",
        ),
        (lambda: stream().take(0), "no rows"),
        (lambda: stream(np.arange(11) - 1), "Received: -1"),
        (lambda: stream(np.array(["a"] * 11)), "batches of real numbers"),
        (lambda: tf.data.Dataset.from_tensors((X, Y[:3])), "equally many rows"),
    ],
)
def test_stream_faults_are_named(data, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data())


def test_streams_cannot_be_split_by_rows():
    with pytest.raises(DataError, match=r"validation_split needs rows held as arrays"):
        as_dataset(stream()).validation_split(0.5)


def test_a_stream_that_ends_is_gathered_and_one_without_end_is_not():
    x, y = np.arange(14.0, dtype="float32").reshape(7, 2), np.arange(7.0, dtype="float32")
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    held = as_dataset(stream).in_memory()
    np.testing.assert_array_equal(held.x, x)
    np.testing.assert_array_equal(held.y, y)
    assert (held.num_rows, held.stream, held.sample_weight) == (7, None, None)
    assert held.in_memory() is held
    np.testing.assert_array_equal(as_dataset(stream).in_memory(2).y, y[:6])
    endless = as_dataset(stream.repeat(), num_rows=7)
    with pytest.raises(DataError, match="All rows are needed at once"):
        endless.in_memory()
    np.testing.assert_array_equal(endless.in_memory(4).y, [*y, *y[:3]])
    weighted = tf.data.Dataset.from_tensor_slices((x, y, np.ones(7, "float32"))).batch(2)
    assert as_dataset(weighted).in_memory().sample_weight.shape == (7,)
