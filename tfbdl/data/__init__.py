"""Data in one shape: arrays, data frames, tf.data and PyDataset, checked before training."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .checks import check_like
from .convert import as_dataset
from .dataset import Dataset
from .info import DataInfo

__all__ = ["DataInfo", "Dataset", "as_dataset", "check_like"]
