"""The Gauss-Wishart prior that options and rows ask for, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import DataError, OptionsError

from .bayesian_config import GaussWishartOptions
from .wishart import GaussWishart

SINGULAR = {"float64": 1e-12, "float32": 1e-5}
"""Smallest eigenvalue of a correlation matrix that can be inverted in the dtype."""
CONSTANT = 50.0  # times the dtype's epsilon and the largest value: a column that varies less


def prior_of(options: GaussWishartOptions, x: np.ndarray) -> GaussWishart:
    """The prior of one component, as arrays of the dtype of ``x``.

    What the options leave open comes from the rows, as in scikit-learn's
    BayesianGaussianMixture: ``m0`` their mean, ``W0`` the inverse of their covariance (divisor
    n - 1), ``nu0 = d``.

    Args:
        options: Of the model.
        x: Rows ``[n, d]``.

    Raises:
        DataError: If x is no matrix of at least two rows, or ``W0`` is left open and the
            covariance of the rows has no inverse.
        OptionsError: As ``check_options``.
    """
    if x.ndim != 2 or not x.shape[1]:
        raise DataError(f"A mixture takes rows [n, d]. Received: an x of shape {list(x.shape)}.")
    if len(x) < 2:
        raise DataError(f"A mixture needs at least 2 rows. Received: {len(x)}.")
    d = x.shape[1]
    check_options(options, d)
    rows = x.astype(np.float64)
    name = x.dtype.name
    mean = rows.mean(axis=0) if options.m0 is None else np.asarray(options.m0, np.float64)
    W0 = _inverse_covariance(rows, name) if options.W0 is None else np.asarray(options.W0)
    nu0 = float(d) if options.nu0 is None else options.nu0
    parts: Any = (options.beta0, nu0, mean.reshape(d), W0.reshape(d, d))
    return GaussWishart(*(np.asarray(part, x.dtype) for part in parts))


def check_options(options: GaussWishartOptions, d: int) -> None:
    """Compare the options of a prior with the number of columns.

    Raises:
        OptionsError: If ``nu0`` is too small, or ``m0`` or ``W0`` have another shape, or ``W0``
            is not symmetric and positive definite.
    """
    if options.nu0 is not None and not options.nu0 > d - 1:
        raise OptionsError(
            f"nu0 must be above {d - 1}, the number of columns less one: with fewer degrees of "
            f"freedom the Wishart distribution has no density. Received: {options.nu0:g}."
        )
    _check_shape("m0", options.m0, (d,))
    _check_shape("W0", options.W0, (d, d))
    if options.W0 is None:
        return
    W0 = np.asarray(options.W0, np.float64).reshape(d, d)
    symmetric = np.allclose(W0, W0.T, rtol=1e-8, atol=0.0)
    smallest = float(np.linalg.eigvalsh(0.5 * (W0 + W0.T))[0])
    if not (symmetric and smallest > 0.0):
        what = (
            f"a smallest eigenvalue of {smallest:g}" if symmetric else "one that is not symmetric"
        )
        raise OptionsError(f"W0 must be symmetric and positive definite. Received: {what}.")


def _check_shape(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if value is None or np.shape(value) == shape or (np.ndim(value) == 0 and set(shape) == {1}):
        return
    raise OptionsError(
        f"{name} must have the shape {list(shape)}, as the data have {shape[0]} columns. "
        f"Received: shape {list(np.shape(value))}."
    )


def _inverse_covariance(rows: np.ndarray, dtype: str) -> np.ndarray:
    """The inverse of the covariance of ``[n, d]``, through the correlations, for use in dtype."""
    centred = rows - rows.mean(axis=0)
    scale = centred.std(axis=0, ddof=1)
    rounding = CONSTANT * float(np.finfo(dtype).eps)
    constant = np.flatnonzero(scale <= np.abs(rows).max(axis=0) * rounding)
    advice = "Drop such columns, or say with W0 what is believed of a component's precision."
    if dtype == "float32":
        advice += " With dtype='float64' columns may be closer to one another."
    if constant.size:
        raise DataError(
            "W0 is the inverse of the rows' covariance by default, which does not exist where a "
            f"column is constant. Received: constant columns {constant.tolist()}. {advice}"
        )
    correlation = (centred / scale).T @ (centred / scale) / (len(rows) - 1)
    values, vectors = np.linalg.eigh(correlation)
    if not values[0] > SINGULAR[dtype]:
        raise DataError(
            "W0 is the inverse of the rows' covariance by default, which does not exist where "
            "columns are linear in one another or rows are fewer than columns. Received: "
            f"{rows.shape[0]} rows and {rows.shape[1]} columns of rank "
            f"{int((values > SINGULAR[dtype]).sum())} in {dtype}. {advice}"
        )
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    return np.asarray(0.5 * (inverse + inverse.T))
