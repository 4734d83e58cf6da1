"""ScatterModel: what PCA and PPCA share, a fit in closed form to which rows can be added."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl.data import Dataset
from tfbdl.errors import DataError
from tfbdl.parametric import ParametricModel

from .scatter import Scatter
from .table import training_table

_PREFIX = "scatter_"


class ScatterModel(ParametricModel, abc.ABC):
    """A model whose fit in closed form depends on the rows through their scatter alone.

    Rows may come in parts, the first of which alone may not do: what is wrong with all rows seen
    so far is said when the fit is asked for.

    Attributes:
        scatter: Of all rows that ``condition`` has seen, or None.
    """

    scatter: Scatter | None = None

    @abc.abstractmethod
    def shortcoming(self, scatter: Scatter) -> str:
        """What these rows lack for a fit; empty if nothing."""

    def fitted(self) -> dict[str, np.ndarray]:
        """The fitted arrays.

        Raises:
            DataError: If the rows seen so far do not do for a fit.
            ModelError: If there were none.
        """
        if not self.params and self.scatter is not None:
            raise DataError(self.shortcoming(self.scatter))
        return super().fitted()

    def notices(self) -> list[str]:
        """What a user should know of the fit.

        Raises:
            DataError, ModelError: As ``fitted``.
        """
        self.fitted()
        return []

    def take_in(self, data: Dataset) -> Scatter:
        """The scatter of the rows seen before and these.

        Raises:
            DataError: If the rows are no table, or a value is missing.
        """
        rows = training_table(data, "float64")
        if np.isnan(rows).any():
            raise DataError(
                f"x has {int(np.isnan(rows).sum())} missing values (NaN), for which there is no "
                "closed form. Use engine='em', which integrates them out, or fill the gaps."
            )
        if self.scatter is not None and rows.shape[1] != len(self.scatter.mean):
            raise DataError(
                f"x must have {len(self.scatter.mean)} columns, as the rows before. "
                f"Received: shape {rows.shape}."
            )
        found = Scatter.of(rows)
        self.scatter = found if self.scatter is None else self.scatter.merged(found)
        return self.scatter

    def get_state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, and the scatter that further rows are added to."""
        state = super().get_state()
        if self.scatter is not None:
            state |= {
                f"{_PREFIX}num_rows": np.asarray(self.scatter.num_rows),
                f"{_PREFIX}mean": self.scatter.mean,
                f"{_PREFIX}root": self.scatter.root,
                f"{_PREFIX}squares": self.scatter.squares,
            }
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a stored state.

        Raises:
            CheckpointError: If it is of another kind of model.
        """
        own = {n.removeprefix(_PREFIX): v for n, v in state.items() if n.startswith(_PREFIX)}
        params = {n: v for n, v in state.items() if not n.startswith(_PREFIX)}
        if params:
            super().set_state(params)
        self.scatter = None
        if own:
            arrays = (np.asarray(own[name]) for name in ("mean", "root", "squares"))
            self.scatter = Scatter(int(own["num_rows"]), *arrays)


def not_varying(constant: tuple[int, ...], num_columns: int, num_rows: int) -> str:
    """What is wrong if all columns are constant; else an empty text."""
    if len(constant) < num_columns:
        return ""
    received = f"{num_rows} equal rows" if num_rows > 1 else "1 row"
    return (
        "All rows are equal, so no direction can be found. Expected columns that vary. "
        f"Received: {received}."
    )
