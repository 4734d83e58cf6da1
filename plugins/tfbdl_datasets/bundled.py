"""The real data sets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn import datasets

from tfbdl.data import Dataset, as_dataset

from .config import SplitOptions
from .splits import random_split


def diabetes(options: SplitOptions) -> Dataset:
    """Progress of diabetes; features are centred with sum of squares one, as published."""
    return _load(datasets.load_diabetes, "diabetes", options)


def digits(options: SplitOptions) -> Dataset:
    """Digits of 8 x 8 pixels with values from 0 to 16, as rows of 64."""
    return _load(datasets.load_digits, "digits", options)


def breast_cancer(options: SplitOptions) -> Dataset:
    """Label 0 is malignant, 1 benign."""
    return _load(datasets.load_breast_cancer, "breast_cancer", options)


def wine(options: SplitOptions) -> Dataset:
    """Three cultivars."""
    return _load(datasets.load_wine, "wine", options)


def iris(options: SplitOptions) -> Dataset:
    """Three species."""
    return _load(datasets.load_iris, "iris", options)


def _load(loader: Callable[[], Any], name: str, options: SplitOptions) -> Dataset:
    bunch = loader()
    classes = getattr(bunch, "target_names", None)
    data = as_dataset(
        (bunch.data, bunch.target),
        name=name,
        feature_names=bunch.feature_names,
        class_names=None if classes is None else [str(label) for label in classes],
    )
    return random_split(data, options.test_fraction, options.split)
