"""Smaller nets: keep neurons whose activations differ, and fuse the others into them (Divnet).

References:
    Mariet & Sra 2016, "Diversity networks: Neural network compression using determinantal point
    processes", ICLR (arXiv:1511.05077).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, OptionsError

from . import fusion
from .greedy import greedy_map
from .k_dpp import KDPP
from .process import generator
from .pruned_net import Channels, channels_of, rebuilt

SELECTORS = ("k_dpp", "greedy", "random", "importance")
NUGGET = 0.01  # eps of Mariet & Sra 2016, section 4
SHARPNESS = 10.0  # their beta times |T|
RANDOM = 31  # a stream of a seed


def prune(
    model: keras.Model,
    layer_name: str,
    k: int,
    x: Any,
    selector: str = "k_dpp",
    seed: int = 0,
    *,
    fuse: bool = True,
) -> keras.Model:
    """A new, smaller model whose layer has k of its units or channels.

    Kept units stay as they are. The weights that lead on from them are chosen so that the layers
    behind get what they got before, as far as k units can give it: least squares over the rows of
    x. It is this step that keeps the error low; the choice of units matters less.

    Args:
        model: A Sequential or functional model. It is not changed.
        layer_name: Of a Dense, Conv1D or Conv2D layer. Between it and the next layers with a
            kernel there may be activations, dropout, pooling, padding, normalisation of batches
            and Flatten.
        k: Units or channels to keep.
        x: Rows that tell what units do, as the model takes them; hundreds or thousands.
        selector: ``k_dpp``: a draw of the k-DPP with ``L_ij = exp(-b |v_i - v_j|^2) + eps [i = j]``
            over activations v, ``b = 10 / |T|``, ``eps = 0.01``; ``greedy``: the units that make
            its determinant large, without chance; ``random``: each set alike; ``importance``: the
            largest sums of outgoing ``|w|``.
        seed: Of the choice.
        fuse: Whether to fuse; otherwise the other units are left out and nothing else is changed.

    Returns:
        A model with the same names of layers, compiled if the given one was.

    Raises:
        OptionsError: If k is above the number of units, or a name is unknown.
        ModelError: If the layer or what follows it is of another kind.
        DataError: If x has no rows, or activations are not finite.

    Example:
        ```python
        import keras
        import numpy as np
        from tfbdl_dpp import prune

        net = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(20, "relu", name="wide"), keras.layers.Dense(1)]
        )
        x = np.random.default_rng(0).normal(size=(100, 4))
        prune(net, "wide", 8, x).get_layer("wide").units  # 8
        ```
    """
    check_choice("selector", selector, SELECTORS)
    check_whole("seed", seed, least=0)
    if len(keras.tree.flatten(x)[0]) == 0:
        raise DataError("x must have rows, which tell what units do. Received: none.")
    channels = channels_of(model, layer_name)
    if check_whole("k", k) > channels.count:
        raise OptionsError(
            f"k must be at most {channels.count}, the units of {layer_name!r}. Received: {k}."
        )
    seen = fusion.look(model, channels, x)
    kept = _chosen(selector, k, channels, seen, seed)
    kernels = {}
    for consumer, R in seen.factors.items():
        matrix = channels.matrix(consumer)
        columns = np.isin(np.arange(len(matrix)) % channels.count, kept)
        kernels[consumer] = fusion.fused(R, matrix, columns) if fuse else matrix[columns]
    return rebuilt(model, channels, kept, kernels)


def activation_kernel(squared_distances: np.ndarray, rows: int) -> np.ndarray:
    """``L_ij = exp(-b |v_i - v_j|^2) + eps [i = j]``, ``b = 10 / |T|``.

    Args:
        squared_distances: ``|v_i - v_j|^2`` over all rows, ``[units, units]``.
        rows: ``|T|``, entries of each v.
    """
    L = np.exp(-SHARPNESS / rows * squared_distances)
    L[np.diag_indices_from(L)] += NUGGET
    return L


def _chosen(selector: str, k: int, channels: Channels, seen: fusion.Seen, seed: int) -> np.ndarray:
    """Sorted units."""
    if selector == "random":
        return np.sort(generator(seed, RANDOM).choice(channels.count, k, replace=False))
    if selector == "importance":
        sums = np.zeros(channels.count)
        for consumer in channels.consumers:
            matrix = np.abs(channels.matrix(consumer)).sum(axis=1)
            sums += matrix.reshape(-1, channels.count).sum(axis=0)
        return np.sort(np.argsort(-sums, kind="stable")[:k])
    L = activation_kernel(seen.squared_distances(), seen.rows)
    if selector == "greedy":
        return np.sort(greedy_map(L, k))
    return np.asarray(KDPP(L, k).sample(1, seed)[0])
