"""ParametricModel: a model whose fit is a few named arrays, such as means and covariances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from .data import DataInfo
from .distributions import Prior
from .errors import CheckpointError, ModelError
from .posterior import Posterior


def information_criteria(
    log_likelihood: float, num_parameters: int, num_rows: int
) -> dict[str, float]:
    """``bic`` (Schwarz 1978) and ``aic`` (Akaike 1974), in nats times two: less is better.

    Args:
        log_likelihood: The largest, of all rows together.
        num_parameters: Free numbers that the fit decided.
        num_rows: Rows that it was fitted to.
    """
    misfit = -2.0 * log_likelihood
    return {
        "bic": misfit + num_parameters * math.log(num_rows),
        "aic": misfit + 2.0 * num_parameters,
    }


class ParametricModel:
    """What closed-form and EM models share: fitted arrays, as attributes and as a stored state.

    A fitted array ``means`` is the attribute ``means_``, as in scikit-learn. The constructor is
    the factory of a ModelSpec.

    Args:
        options: Of the model.
        info: The description of the training data, or None without data.
        prior: None for a model that takes none.
        seed: Of the run.

    Attributes:
        params: Name -> fitted array; empty before a fit.
    """

    missing_values: ClassVar[bool] = False
    """Whether NaN in the data stands for a value that was not observed; as in its spec."""

    registered_as: str | None = None
    """The name under which it was made, where it was made by name."""

    def __init__(
        self, options: Any, info: DataInfo | None = None, prior: Prior | None = None, seed: int = 0
    ) -> None:
        self.options, self.info, self.prior, self.seed = options, info, prior, seed
        self.params: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_"):
            raise ModelError(
                f"This {type(self).__name__} has no {name!r}: it was not fitted, or its fit has no "
                "such array. Fit it with tfbdl.fit first."
                f" Fitted: {', '.join(f'{n}_' for n in self.__dict__.get('params', {})) or 'none'}."
            )
        raise AttributeError(f"A {type(self).__name__} has no attribute {name!r}.")

    def as_named(self) -> dict[str, Any] | None:
        """Name and options in plain values, from which the registry makes it again."""
        if self.registered_as is None:
            return None
        return {
            "model": self.registered_as,
            "model_options": self.options.model_dump(mode="json"),
            "seed": self.seed,
        }

    @property
    def dtype(self) -> str:
        """Of the fitted arrays and of what is computed with them."""
        return str(getattr(self.options, "dtype", "float64"))

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        self.params = {name: np.asarray(value) for name, value in params.items()}
        for name, value in self.params.items():
            setattr(self, f"{name}_", value)

    @property
    def posterior(self) -> Posterior | None:
        """The posterior of the fitted model; None where the fit is a point estimate."""
        return None

    def figures(self) -> Mapping[str, float]:
        """Figures of the fit for ``fit.metrics``, such as ``bic`` or ``log_evidence``."""
        return {}

    def held_out(self, x: Any) -> dict[str, float]:
        """``nll``, the mean of ``-log_prob(x)`` in nats, of a model that has ``log_prob``.

        See ``tfbdl.protocols.HeldOut``.
        """
        log_prob = getattr(self, "log_prob", None)
        return {} if log_prob is None else {"nll": -float(np.mean(log_prob(x)))}

    def notices(self) -> list[str]:
        """What a user should know of the fit, a sentence each; issued as warnings."""
        return []

    def fitted(self) -> dict[str, np.ndarray]:
        """The fitted arrays.

        Raises:
            ModelError: If there are none yet.
        """
        if not self.params:
            raise ModelError(
                f"This {type(self).__name__} is not fitted. Give its name and data to tfbdl.fit; "
                "fit.model is the fitted one."
            )
        return self.params

    def get_state(self) -> dict[str, np.ndarray]:
        """Name -> array: all that a fit has decided."""
        return dict(self.params)

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a stored state.

        Raises:
            CheckpointError: If it is of another kind of model.
        """
        if self.params and set(state) != set(self.params):
            raise CheckpointError(
                f"The stored arrays are those of another model. Expected: "
                f"{', '.join(self.params)}. Received: {', '.join(state)}."
            )
        self.assign(state)

    def clone(self, seed: int | None = None) -> Self:
        """A copy, not fitted, with another seed; with None the same seed and fitted arrays."""
        copy = type(self)(self.options, self.info, self.prior, self.seed if seed is None else seed)
        copy.registered_as = self.registered_as
        if seed is None and self.params:
            copy.set_state(self.get_state())
        return copy
