"""From options and a description of the data to a process by inducing points."""

from __future__ import annotations

from typing import Any

from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError

from .config import SparseGPOptions, SparseNNGPOptions, SparseOptions
from .data_checks import check_info, row_size
from .sparse_model import SparseProcess


def build_sparse_gp(
    options: SparseGPOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> SparseProcess:
    """``sparse_gp`` for data that ``info`` describes; ``prior`` is None.

    Raises:
        DataError: If there are no targets, or inputs by name.
    """
    return _built("sparse_gp", options, info, seed)


def build_sparse_nngp(
    options: SparseNNGPOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> SparseProcess:
    """``sparse_nngp``; see ``build_sparse_gp``."""
    return _built("sparse_nngp", options, info, seed)


def _built(kind: str, options: SparseOptions, info: DataInfo | None, seed: int) -> SparseProcess:
    if info is None:
        raise ModelError(f"{kind} is made for data: give them to tfbdl.build or tfbdl.fit.")
    check_info(info)
    shape: Any = info.x_shape
    return SparseProcess(
        kind,
        options,
        shape=[size or 1 for size in shape],
        num_targets=1 if info.num_classes is not None else row_size(info.y_shape),
        num_classes=info.num_classes,
        rows=info.num_rows,
        class_names=info.class_names,
        seed=seed,
    )
