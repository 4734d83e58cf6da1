"""Data in one shape: arrays, data frames, tf.data and PyDataset, checked before training."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .batches import steps_per_execution
from .checks import check_like
from .convert import as_dataset, clean_inputs
from .dataset import Dataset
from .info import DataInfo
from .reading import Reading, reading
from .retarget import retarget

__all__ = [
    "DataInfo",
    "Dataset",
    "Reading",
    "as_dataset",
    "check_like",
    "clean_inputs",
    "reading",
    "retarget",
    "steps_per_execution",
]
