"""Data of every kind becomes one shape, in an order that the seed decides."""

from __future__ import annotations

import json
import math
import re

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfbdl.data import DataInfo, Dataset, as_dataset, check_like
from tfbdl.data.info import Moments
from tfbdl.errors import DataError

X = np.arange(22, dtype="float64").reshape(11, 2)
Y = np.linspace(0.0, 1.0, 11)


def epochs(data: Dataset, count: int, **options) -> list[np.ndarray]:
    """The first column of x, epoch by epoch."""
    size = options.pop("batch_size", 4)
    steps = math.ceil(11 / size)
    batches = list(data.batches(size, **options).take(count * steps).as_numpy_iterator())
    return [
        np.concatenate([batch[0][:, 0] for batch in batches[i * steps : (i + 1) * steps]])
        for i in range(count)
    ]


# --- forms -------------------------------------------------------------------------------------


def test_as_dataset_casts_floats_and_describes_them():
    data = as_dataset((X, Y[:, None]), name="line", feature_names=["a", "b"])
    assert (data.x.dtype, data.y.dtype) == ("float32", "float32")
    info = data.info
    assert (info.num_rows, info.x_shape, info.y_shape, info.task) == (11, (2,), (1,), "regression")
    assert info.num_classes is None
    assert info.feature_names == ("a", "b")
    assert data.name == "line"
    assert info.x_mean == pytest.approx((10.0, 11.0))
    assert info.x_std == pytest.approx((2 * math.sqrt(10), 2 * math.sqrt(10)))  # 0, 2, ..., 20
    assert info.y_mean == pytest.approx((0.5,))
    assert info.y_std == pytest.approx((0.1**0.5,))


def test_as_dataset_keeps_float64_on_request():
    data = as_dataset((X + 1e-9, Y), dtype="float64")
    assert data.x.dtype == "float64"
    assert data.x[0, 0] == 1e-9
    assert check_like(data.info, X[:1])[0].dtype == "float64"


@pytest.mark.parametrize(
    ("y", "classes", "names"),
    [
        (np.array([0, 2, 1, 2], "int64"), 3, None),
        (np.array([True, False, True, True]), 2, ("False", "True")),
        (["b", "a", "c", "b"], 3, ("a", "b", "c")),
        (pd.Series(["lo", "hi", "lo", "hi"], dtype="category"), 2, ("hi", "lo")),
        (pd.Series(["b", "a", "c", "b"]), 3, ("a", "b", "c")),
    ],
)
def test_targets_of_classes_become_int32_labels(y, classes, names):
    info = as_dataset((X[:4], y)).info
    assert (info.task, info.num_classes, info.class_names) == ("classification", classes, names)
    assert info.y_dtype == "int32"
    assert info.y_mean is None


def test_texts_become_labels_in_sorted_or_given_order():
    assert as_dataset((X[:3], ["b", "a", "b"])).y.tolist() == [1, 0, 1]
    assert as_dataset((X[:3], ["b", "a", "b"]), class_names=("b", "a")).y.tolist() == [0, 1, 0]


def test_task_overrides_the_guess():
    assert as_dataset((X[:3], [0, 4, 2]), task="regression").y.dtype == "float32"
    labels = as_dataset((X[:3], [0.0, 1.0, 2.0]), task="classification")
    assert labels.y.dtype == "int32"
    assert labels.info.num_classes == 3


def test_data_made_before_takes_its_targets_as_a_model_does():
    labels = as_dataset((X[:3], [0, 4, 2]), x_test=X[:1], y_test=[5])
    floats = as_dataset(labels, task="regression")
    assert (floats.y.dtype, floats.y_test.dtype) == ("float32", "float32")
    assert (floats.info.num_classes, floats.info.y_mean) == (None, (2.0,))
    assert as_dataset(floats, task="classification").info.num_classes == 6
    assert as_dataset(labels, task="classification") is labels
    assert as_dataset(labels, num_classes=9).info.num_classes == 9
    with pytest.raises(DataError, match="at most 3"):
        as_dataset(labels, num_classes=4)
    texts = as_dataset((X[:3], ["b", "c", "b"]))
    assert as_dataset(texts, class_names=("a", "b", "c")).y.tolist() == [1, 2, 1]
    with pytest.raises(DataError, match="must be numbers for regression"):
        as_dataset(texts, task="regression")
    with pytest.raises(DataError, match="the class 'c', which the training data has not"):
        as_dataset(texts, class_names=("a", "b"))


def test_one_hot_rows_count_their_columns():
    assert as_dataset((X[:3], np.eye(3, dtype=int))).info.num_classes == 3


def test_large_whole_targets_are_quantities():
    assert as_dataset((X[:3], [250_000, 410_000, 90_000])).info.task == "regression"


def test_labels_of_the_test_rows_count():
    info = as_dataset((X[:3], [0, 1, 0]), x_test=X[:2], y_test=[2, 3]).info
    assert info.num_classes == 4


def test_frame_is_divided_by_names():
    frame = pd.DataFrame({"a": [1, 2, 3], "price": [1.5, 2.5, 3.5], "b": [True, False, True]})
    data = as_dataset(frame, target="price")
    assert data.x.tolist() == [[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]]
    assert data.y.tolist() == [1.5, 2.5, 3.5]
    assert data.info.feature_names == ("a", "b")
    assert data.info.target_names == ("price",)
    both = as_dataset(frame, target=["price", "a"], features=["b"])
    assert both.info.y_shape == (2,)
    assert both.info.x_shape == (1,)


def test_mapping_keeps_its_parts():
    data = as_dataset(({"a": X, "b": Y}, Y))
    assert data.info.x_shape == {"a": (2,), "b": ()}
    assert data.num_rows == 11
    x, y = next(data.batches(11, seed=0, shuffle=False).as_numpy_iterator())
    np.testing.assert_allclose(x["b"], y)


def test_parts_of_a_density_may_differ_in_length():
    data = as_dataset({"y": Y, "x": X[:3]})
    assert data.num_rows is None
    assert data.info.task == "unsupervised"
    with pytest.raises(DataError, match=r"different lengths cannot be batched"):
        data.batches(2, seed=0)


def test_x_alone_gives_batches_of_x():
    batch = next(iter(as_dataset(np.ones((5, 4, 4), "uint8") * 255).batches(5, seed=0)))
    assert batch.shape == (5, 4, 4)
    assert batch.dtype == "float32"
    assert float(batch[0, 0, 0]) == 255.0


def test_dataset_passes_unchanged():
    data = as_dataset((X, Y))
    assert as_dataset(data) is data


@pytest.mark.parametrize("data", [(X, Y), ({"a": X, "b": X}, [0, 1] * 5 + [0]), X[:, 0]])
def test_info_survives_json(data):
    info = as_dataset(data).info
    assert DataInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_info_refuses_unknown_keys():
    with pytest.raises(DataError, match=r"Did you mean 'num_rows'"):
        DataInfo.from_json({"num_row": 3})


def test_moments_agree_with_numpy_over_uneven_batches():
    rows = np.random.default_rng(0).normal(1e4, 2.0, (20_001, 3))
    rows[:, 2] = 0.1
    moments = Moments()
    for part in np.split(rows, [1, 500, 18_000]):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std[:2], rows[:, :2].std(0), rtol=1e-9)
    assert moments.std[2] == 1.0


# --- order -------------------------------------------------------------------------------------


def test_epoch_has_every_row_once_and_another_order():
    first, second = epochs(as_dataset((X, Y)), 2, seed=3)
    assert sorted(first) == sorted(second) == X[:, 0].tolist()
    assert first.tolist() != second.tolist() != X[:, 0].tolist()


def test_a_batch_of_all_rows_keeps_their_order():
    """They may be the steps of a sequence."""
    data = as_dataset(np.arange(11.0))
    for size in (11, 128):
        first, second, *_ = data.batches(size, seed=3).take(2).as_numpy_iterator()
        np.testing.assert_array_equal(np.ravel(first), np.arange(11.0))
        np.testing.assert_array_equal(np.ravel(second), np.arange(11.0))


def test_order_depends_on_seed_and_epoch_alone():
    data = as_dataset((X, Y))
    whole = epochs(data, 4, seed=7)
    later = epochs(as_dataset((X, Y)), 2, seed=7, start_epoch=2)
    np.testing.assert_array_equal(whole[2:], later)
    assert epochs(data, 1, seed=8)[0].tolist() != whole[0].tolist()
    np.testing.assert_array_equal(epochs(data, 1, seed=7, batch_size=5)[0], whole[0])
    epochs(data, 1, seed=2**63 - 1)


def test_batches_end_after_one_epoch_without_repeat():
    data = as_dataset((X, Y, np.ones(11)))
    batches = data.batches(4, seed=0, repeat=False, shuffle=False)
    assert [len(x) for x, _, _ in batches] == [4, 4, 3]
    assert int(batches.cardinality()) == data.steps_per_epoch(4) == 3
    np.testing.assert_array_equal(np.concatenate([x for x, _, _ in batches]), X)


def test_every_place_of_a_row_is_equally_likely():
    from tfbdl.data.batches import permutation

    draw = tf.function(lambda epoch: permutation(6, 1, epoch))
    orders = np.array([draw(tf.constant(epoch)) for epoch in range(600)])
    counts = np.array([[(orders[:, p] == row).sum() for row in range(6)] for p in range(6)])
    chi2 = ((counts - 100.0) ** 2 / 100.0).sum()
    assert chi2 < 52.6  # 25 degrees of freedom, p = 0.001


def test_keras_fits_batches():
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse")
    data = as_dataset((X / 22.0, Y, np.ones(11)))
    batches = data.batches(4, seed=0)
    history = net.fit(
        batches, steps_per_epoch=data.steps_per_epoch(4), epochs=3, shuffle=False, verbose=0
    )
    assert len(history.history["loss"]) == 3
    assert np.isfinite(history.history["loss"]).all()


# --- parts -------------------------------------------------------------------------------------


def test_validation_split_takes_the_last_rows():
    train, validation = as_dataset((X, Y)).validation_split(0.25)
    assert (train.num_rows, validation.num_rows) == (8, 3)  # floor(11 * 0.75), as Keras rounds
    np.testing.assert_array_equal(validation.x, X[8:])
    assert train.info.x_mean == pytest.approx((7.0, 8.0)) == validation.info.x_mean


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.95])
def test_validation_split_refuses_an_empty_part(fraction):
    with pytest.raises(DataError, match=r"between 0 and 1|one part would be empty"):
        as_dataset((X, Y)).validation_split(fraction)


def test_hold_out_sets_rows_apart():
    data = as_dataset((X, Y)).hold_out([0, 10])
    assert data.num_rows == 9
    assert data.info.num_rows == 9
    np.testing.assert_array_equal(data.x_test, X[[0, 10]])
    np.testing.assert_array_equal(data.x, X[1:10])
    with pytest.raises(DataError, match=r"from 0 to 8"):
        data.hold_out([9])


def test_fingerprint_sees_values_shapes_and_dtypes():
    prints = [
        as_dataset(data, dtype=dtype).fingerprint()
        for data, dtype in [
            ((X, Y), None),
            ((X, Y), "float64"),
            ((X + 1e-3 * (X == 0), Y), None),
            (X, None),
            (X.reshape(2, 11), None),
            ({"a": X}, None),
            ({"b": X}, None),
        ]
    ]
    assert len(set(prints)) == len(prints)
    assert as_dataset((X.copy(), Y.copy())).fingerprint() == prints[0]
    assert re.fullmatch("[0-9a-f]{64}", prints[0])


# --- faults ------------------------------------------------------------------------------------

HOLED = np.where(X == 6.0, np.nan, X)
FRAME = pd.DataFrame({"age": [1.0, np.nan, np.nan], "sex": ["m", "f", "f"], "y": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((HOLED, Y), {}, r"x has NaN in 1 of 2 columns: 0 \(1 NaN\)"),
        ((FRAME[["age"]], FRAME["y"]), {}, r"x has NaN in 1 of 1 columns: 'age' \(2 NaN\)"),
        (
            ([[np.nan, 1.0], [1.0, np.inf]], [1.0, 2.0]),
            {},
            r"NaN and Inf in 2 of 2.*0 \(1 NaN\), 1 \(1 Inf\)",
        ),
        ((X, np.where(Y == 1.0, np.inf, Y)), {}, r"y has Inf \(1 Inf\), the first in row 10"),
        (FRAME, {"target": "y"}, "column 'sex' is not numeric.*for example 'm'"),
        (FRAME, {"target": "z"}, "no column 'z'.*Known: age, sex, y"),
        ((X[:0], Y[:0]), {}, "x has no rows"),
        (X[:0], {}, "x has no rows"),
        ((X, Y[:5]), {}, "x has 11, y has 5"),
        ((X, Y, np.ones(3)), {}, "sample_weight has 3"),
        ((X, Y, -np.ones(11)), {}, "must not be negative"),
        ((X, None, np.ones(11)), {}, "weighs the targets"),
        ((X, Y, Y, Y), {}, "tuple of 4 parts"),
        ([[1.0, 2.0], [3.0]], {}, "rows of different lengths.*lengths 1 to 2"),
        ((X * 1j, Y), {}, "x is complex"),
        (np.array([[1.0, "a"]], dtype=object), {}, "x column 1 is not numeric.*for example 'a'"),
        (np.array([[1, 2**24 + 1]]), {}, "x column 1 has whole numbers that float32 cannot tell"),
        (np.array([[1e300]]), {}, "too large for float32.*1e\\+300"),
        ((X[:3], [-1, 1, 1]), {}, "labels in y must be 0, 1.*Received: -1"),
        ((X[:2], [0.5, 1.0]), {"task": "classification"}, "must be whole numbers.*0.5"),
        ((X[:2], [np.nan, 1.0]), {"task": "classification"}, "must be whole numbers.*nan"),
        ((X[:3], [0, 1, 2]), {"class_names": ("a", "b")}, "at most 1, as there are 2 classes"),
        ((X[:3], ["a", "bob", "a"]), {"class_names": ("a", "bo")}, "'bob'.*Did you mean 'bo'"),
        ((X[:3], ["a", None, "a"]), {}, "lacks a class in 1 rows"),
        ((X[:2], ["a", "b"]), {"task": "regression"}, "numbers for regression"),
        ((X, Y), {"y_test": Y}, "without x_test"),
        ((X, Y), {"target": "price"}, "columns of a pandas frame"),
        ("yacht", {}, "for tfbdl.fit to resolve"),
        (None, {}, "Expected arrays"),
        (object(), {}, "cannot be read as numbers"),
    ],
)
def test_as_dataset_says_what_is_wrong(data, options, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data, **options)


def test_constant_targets_and_missing_values_on_request_are_admitted():
    assert as_dataset((X, np.ones(11))).info.y_std == (1.0,)
    data = as_dataset(HOLED, allow_nan=True)
    assert np.isnan(data.x).sum() == 1
    assert data.info.x_mean == pytest.approx((10.4, 11.0))  # (110 - 6) / 10
    with pytest.raises(DataError, match=r"Inf"):
        as_dataset(np.where(X == 4.0, np.inf, HOLED), allow_nan=True)


def test_check_like_takes_columns_by_name():
    info = as_dataset(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "y": Y[:2]}), target="y").info
    x, _ = check_like(info, pd.DataFrame({"b": [5.0], "more": [0.0], "a": [6.0]}))
    assert x.tolist() == [[6.0, 5.0]]
    with pytest.raises(DataError, match=r"lacks the columns 'a'"):
        check_like(info, pd.DataFrame({"b": [5.0]}))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 4)), None, r"shape \[rows, 2\], as in training. Received: shape \(3, 4\)"),
        (np.ones(2), None, r"single row give x\[None\]"),
        (np.ones((0, 2)), None, "no rows"),
        (HOLED, None, "NaN"),
        (np.ones((2, 2)), ["a"], "x has 2, y has 1"),
        (np.ones((1, 2)), ["z"], "class 'z', which the training data has not"),
        (np.ones((1, 2)), [3], "at most 1"),
        ({"a": np.ones((1, 2))}, None, "must be one array"),
    ],
)
def test_check_like_says_what_is_wrong(x, y, message):
    info = as_dataset((X, ["a", "b"] * 5 + ["a"])).info
    with pytest.raises(DataError, match=message):
        check_like(info, x, y)


def test_check_like_turns_texts_into_the_labels_of_training():
    info = as_dataset((X[:3], ["a", "b", "c"])).info
    assert check_like(info, X[:2], ["c", "a"])[1].tolist() == [2, 0]


def test_check_like_names_a_missing_part():
    info = as_dataset({"left": X, "right": X}).info
    with pytest.raises(DataError, match=r"lacks the part 'right'.*Did you mean 'rihgt'"):
        check_like(info, {"left": X, "rihgt": X})
