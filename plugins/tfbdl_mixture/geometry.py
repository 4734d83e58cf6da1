"""What the covariances of a mixture look like: matrices, narrow directions, constant columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .gaussian_features import Form

FLOORED = 1.001
"""A variance of up to so many floors is said to be at the floor."""

Params = Mapping[str, np.ndarray]
"""``means [k, d]`` and ``covariances`` in the shape of their form."""


def matrices(params: Params, form: Form) -> np.ndarray:
    """The covariances of all forms as ``[k, d, d]``."""
    (k, d), covariances = params["means"].shape, params["covariances"].astype(np.float64)
    if form == "tied":
        return np.broadcast_to(covariances, (k, d, d))
    if form == "diagonal":
        return covariances[:, :, np.newaxis] * np.eye(d)
    if form == "spherical":
        return covariances[:, np.newaxis, np.newaxis] * np.eye(d)
    return covariances


def moving_columns(params: Params, form: Form, floor: np.ndarray) -> np.ndarray:
    """The columns that are not constant: a component has a variance or a mean of its own there.

    Args:
        params: Of the mixture.
        form: Of its covariances.
        floor: The smallest variance along each axis, ``[d]``.
    """
    variances = np.diagonal(matrices(params, form), axis1=1, axis2=2).max(axis=0)
    spread = np.ptp(params["means"], axis=0)
    return np.flatnonzero((variances > floor * FLOORED) | (spread**2 > floor))


def smallest_variances(
    params: Params, form: Form, columns: np.ndarray, unit: np.ndarray
) -> np.ndarray:
    """The smallest variance of each component in any direction: ``[k]``.

    Args:
        params: Of the mixture.
        form: Of its covariances.
        columns: Those that count.
        unit: The variance along each axis ``[d]`` that counts as one.
    """
    if not columns.size:
        return np.full(len(params["means"]), np.inf)
    root = np.sqrt(unit[columns])
    chosen = matrices(params, form)[:, columns][:, :, columns]
    return np.linalg.eigvalsh(chosen / np.multiply.outer(root, root))[:, 0]
