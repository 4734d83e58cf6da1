"""What the layers behind a pruned one see of it, and the least squares that fuse its units.

A layer behind gets ``A W``: a row of A holds all channels at a place, or at each place of a filter.
With the QR factors of A, ``|A_Y W' - A W| = |R_Y W' - R W|``: rows come in blocks, of which R alone
is kept, and the solution is that of least squares over all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy import linalg

from tfbdl.errors import DataError

from .pruned_net import Channels
from .submodel import submodel

BLOCK = 256  # rows of x at a time
ENTRIES = 2**22  # of patches at a time, at about


@dataclass(frozen=True, eq=False)
class Seen:
    """What the activations of some rows come to.

    Attributes:
        factors: R of each layer behind, ``[columns, columns]`` at most.
        gram: ``V'V`` of the channels at the first of these, ``[channels, channels]``.
        rows: How many activations of each channel there were.
    """

    factors: dict[str, np.ndarray]
    gram: np.ndarray
    rows: int

    def squared_distances(self) -> np.ndarray:
        """``|v_i - v_j|^2``, ``[channels, channels]``."""
        norms = np.diagonal(self.gram)
        found = np.maximum(norms[:, np.newaxis] + norms - 2.0 * self.gram, 0.0)
        found[np.diag_indices_from(found)] = 0.0
        return found


def look(model: keras.Model, channels: Channels, x: Any) -> Seen:
    """Run the rows of x through the net, and factorise what the layers behind get.

    Raises:
        DataError: If activations are not finite.
    """
    inputs = [model.get_layer(name).input for name in channels.consumers]
    net = submodel(model, inputs)
    factors = {name: np.empty((0, 0)) for name in channels.consumers}
    gram, rows = np.zeros((channels.count, channels.count)), 0
    for start in range(0, len(keras.tree.flatten(x)[0]), BLOCK):
        block = keras.tree.map_structure(lambda a, s=start: np.asarray(a)[s : s + BLOCK], x)
        found = keras.tree.flatten(net(block, training=False))
        for number, (name, tensor) in enumerate(zip(channels.consumers, found, strict=True)):
            values = keras.ops.convert_to_numpy(tensor)
            if not np.isfinite(values).all():
                raise DataError(
                    f"The inputs of layer {name!r} must be finite. "
                    "Received: NaN or infinite activations. Look at x and at the weights."
                )
            entries = values.size // channels.count * len(channels.matrix(name))
            for piece in np.array_split(values, min(len(values), 1 + entries // ENTRIES)):
                A = channels.columns(name, piece).astype(np.float64)
                factors[name] = _grown(factors[name], A)
            if number == 0:
                V = np.asarray(values, np.float64).reshape(-1, channels.count)
                gram, rows = gram + V.T @ V, rows + len(V)
    return Seen(factors, gram, rows)


def fused(R: np.ndarray, W: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The W' with least ``|A_Y W' - A W|^2`` (Mariet & Sra 2016, eq. 6), of least norm.

    Args:
        R: A's factor, ``[rows, columns]``.
        W: Weights ``[columns, outputs]``.
        kept: Which columns are in Y, booleans.

    Returns:
        ``[columns in Y, outputs]``.
    """
    return np.asarray(np.linalg.lstsq(R[:, kept], R @ W, rcond=None)[0])


def _grown(R: np.ndarray, A: np.ndarray) -> np.ndarray:
    """The factor of the rows of R and A together."""
    stacked = A if R.size == 0 else np.concatenate([R, A])
    factor = linalg.qr(stacked, mode="r", check_finite=False)[0]
    return np.asarray(factor[: min(stacked.shape)])
