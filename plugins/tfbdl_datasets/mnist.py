"""MNIST and Fashion-MNIST, from a local file or through Keras."""

from __future__ import annotations

import keras
import numpy as np

from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError
from tfbdl.specs import DATA_VARIABLE

from .config import MnistOptions
from .folder import data_folder, read_npz

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_DIVISORS = {"unit": 255.0, "126": 126.0}  # 126: Blundell et al. 2015, section 5.1
_CLOTHING = (
    "t_shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
)


def mnist(options: MnistOptions) -> Dataset:
    """Handwritten digits."""
    return _load("mnist", options, tuple("0123456789"))


def fashion_mnist(options: MnistOptions) -> Dataset:
    """Clothing."""
    return _load("fashion_mnist", options, _CLOTHING)


def _load(name: str, options: MnistOptions, class_names: tuple[str, ...]) -> Dataset:
    arrays = _read(name)
    train, test = slice(options.train_size), slice(options.test_size)
    return as_dataset(
        (_pixels(arrays["x_train"][train], options), arrays["y_train"][train]),
        x_test=_pixels(arrays["x_test"][test], options),
        y_test=arrays["y_test"][test],
        name=name,
        class_names=class_names,
    )


def _pixels(images: np.ndarray, options: MnistOptions) -> np.ndarray:
    shape = (len(images), 784) if options.flat else (len(images), 28, 28, 1)
    return images.reshape(shape).astype(keras.config.floatx()) / _DIVISORS[options.scale]


def _read(name: str) -> dict[str, np.ndarray]:
    folder = data_folder()
    if folder is not None and (folder / f"{name}.npz").is_file():
        return read_npz(folder / f"{name}.npz", _ARRAYS)
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise DataError(
            f"{name} could not be downloaded: {error} Set {DATA_VARIABLE} to a folder with a file "
            f"{name}.npz that holds the uint8 arrays {', '.join(_ARRAYS)}."
        ) from error
    return dict(zip(_ARRAYS, (x_train, y_train, x_test, y_test), strict=True))
