"""What draws of labels say, whatever the labels are called: clusters, and who is with whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import DataError


def num_clusters(z: Any) -> np.ndarray:
    """How many labels each draw uses: ``[...]`` for labels ``[..., n]``, integers from 0."""
    labels = np.sort(_labels(z), axis=-1)
    return 1 + np.count_nonzero(np.diff(labels, axis=-1), axis=-1)


def co_clustering(z: Any) -> np.ndarray:
    """The share of draws in which two rows have one label.

    Args:
        z: Labels ``[..., n]``, such as ``posterior.draws["z"] [chain, draw, n]``.

    Returns:
        ``[n, n]``, symmetric, in [0, 1], with ones on the diagonal.
    """
    labels = _labels(z)
    flat = labels.reshape(-1, labels.shape[-1])
    together = np.zeros((flat.shape[1], flat.shape[1]))
    for label in np.unique(flat):
        members = (flat == label).astype(np.float32)
        together += members.T @ members
    return together / len(flat)


def _labels(z: Any) -> np.ndarray:
    labels = np.asarray(z)
    if labels.ndim < 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            "Labels must be integers [..., n], at least one. "
            f"Received: {labels.dtype.name} of shape {list(labels.shape)}."
        )
    return labels
