"""A linear regression by formula, one fit of which stands in the place of a folder of runs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

import tfbdl
from tfbdl.data import Dataset, as_dataset

ALPHA, BETA = 4.0, 25.0


@dataclass(frozen=True)
class One:
    """One fit and its data, in the place of a folder of runs."""

    made: Any
    dataset: Dataset | None = None

    def fit(self, run: str) -> Any:
        """The fit."""
        return self.made

    def data(self, run: str) -> Dataset | None:
        """Its data."""
        return self.dataset


def rows(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a linear regression whose precisions are known."""
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(n, 3))).astype(float)  # as the data hold them
    y = x @ [1.0, -0.5, 0.0] + rng.normal(size=n) / np.sqrt(BETA)
    return x, np.float32(y).astype(float)


@functools.cache
def linear_regression() -> One:
    """A linear regression by formula, thirty of whose rows are held out."""
    x, y = rows()
    data = as_dataset((x, y)).hold_out(np.arange(90, 120))
    options = {"alpha": ALPHA, "beta": BETA, "intercept": False}
    return One(tfbdl.fit("linear", data, model_options=options, seed=0), data)


def covariance() -> np.ndarray:
    """Of the weights given the training rows (Bishop 2006, eq. 3.54)."""
    x, _ = rows()
    return np.linalg.inv(ALPHA * np.eye(3) + BETA * x[:90].T @ x[:90])


def closed_form(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and epistemic variance of the predictions at ``x`` (Bishop 2006, 3.58 and 3.59)."""
    train, y = rows()
    mean = BETA * covariance() @ train[:90].T @ y[:90]
    return x @ mean, np.einsum("nf,fg,ng->n", x, covariance(), x)
