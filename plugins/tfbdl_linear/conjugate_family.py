"""What the conjugate families share: an exponential family and its prior, in closed form.

References:
    Diaconis & Ylvisaker 1979, "Conjugate priors for exponential families"; Bishop 2006,
    section 2.4.2 (equations 2.229 and 2.230); Murphy 2012, chapters 3 and 4.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.errors import DataError, OptionsError

from .conjugate_config import ConjugateOptions

Arrays = dict[str, np.ndarray]


class Family(abc.ABC):
    """A likelihood of rows ``[d]`` and its conjugate prior; all in float64.

    Args:
        options: With the hyperparameters.
        dim: d, columns of a row.
    """

    def __init__(self, options: ConjugateOptions, dim: int) -> None:
        self.options, self.dim = options, dim

    @abc.abstractmethod
    def prior(self, x: np.ndarray) -> Arrays:
        """The hyperparameters by name, for data such as the rows ``x [n, d]``.

        Raises:
            OptionsError: If their shapes do not fit, or a value is out of range.
        """

    @abc.abstractmethod
    def check(self, x: np.ndarray) -> None:
        """Refuse rows that the likelihood cannot have produced.

        Raises:
            DataError: If there are any.
        """

    def check_later(self) -> None:  # noqa: B027 - most families take rows in turn
        """Refuse rows that come after others, where the first alone fixed the prior.

        Raises:
            OptionsError: If the prior depends on all rows.
        """

    @abc.abstractmethod
    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        """The hyperparameters of the posterior given the rows ``x [n, d]``."""

    @abc.abstractmethod
    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        """Logarithm of the integral over what the prior is without its constant."""

    @abc.abstractmethod
    def log_base(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the likelihood's factor without parameters, of each row: ``[n]``."""

    @abc.abstractmethod
    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        """The distribution of the likelihood's parameters."""

    @abc.abstractmethod
    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        """Predictive log density of each row by itself: ``[n]``, in nats."""

    @abc.abstractmethod
    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        """Rows of the predictive distribution, each of parameters of its own: ``[n, d]``."""

    def log_evidence(self, before: Mapping[str, np.ndarray], x: np.ndarray) -> float:
        """``log p(x)`` of all rows under the prior ``before``, in nats."""
        after = self.update(before, x)
        ratio = self.log_normalizer(after) - self.log_normalizer(before)
        return float(ratio + self.log_base(x).sum())

    def positive(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A hyperparameter above zero, broadcast to its shape; ones if it was not given.

        Raises:
            OptionsError: If it has another shape, or is not positive.
        """
        value = self.given(name, 1.0, shape)
        if not (value > 0).all():
            raise OptionsError(
                f"{name} of {self.options.family} must be above 0. Received: {value.min():g}."
            )
        return value

    def given(self, name: str, default: float, shape: tuple[int, ...]) -> np.ndarray:
        """A hyperparameter, broadcast to its shape.

        Raises:
            OptionsError: If it has another shape.
        """
        value = getattr(self.options, name)
        array = np.asarray(default if value is None else value, np.float64)
        if array.shape not in ((), shape):
            raise OptionsError(
                f"{name} of {self.options.family} must be one number, or of shape {list(shape)} "
                f"for these data. Received: shape {list(array.shape)}."
            )
        return np.broadcast_to(array, shape).copy()


def require_counts(x: np.ndarray, family: str, highest: float | None = None) -> None:
    """Refuse what is no whole number from 0 to ``highest``.

    Raises:
        DataError: If there is any.
    """
    bad = (x != np.floor(x)) | (x < 0)
    if highest is not None:
        bad |= x > highest
    if bad.any():
        upper = "" if highest is None else f" to {highest:g}"
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{family} is for whole numbers from 0{upper}. Received: {x[row, column]:g} in row "
            f"{row}, column {column} ({int(bad.sum())} such values)."
        )
