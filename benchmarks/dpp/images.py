"""MNIST as the parts of this benchmark use it."""

from __future__ import annotations

import numpy as np

import tfbdl
from tfbdl.run import load_data


def mnist() -> dict[str, np.ndarray]:
    """Rows of 784 pixels from 0 to 1, and labels."""
    data = load_data(tfbdl.plan("k_dpp", "mnist"))
    assert data is not None
    return {
        "x_train": np.asarray(data.x, np.float32).reshape(len(data.x), -1),
        "y_train": np.asarray(data.y, np.int64).reshape(-1),
        "x_test": np.asarray(data.x_test, np.float32).reshape(len(data.x_test), -1),
        "y_test": np.asarray(data.y_test, np.int64).reshape(-1),
    }
