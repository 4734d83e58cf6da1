"""ScatterModel: what PCA and PPCA share, a fit in closed form to which rows can be added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl.data import Dataset
from tfbdl.errors import DataError
from tfbdl.parametric import ParametricModel

from .scatter import Scatter
from .table import training_table

_PREFIX = "scatter_"


class ScatterModel(ParametricModel):
    """A model whose fit in closed form depends on the rows through their scatter alone.

    Attributes:
        scatter: Of all rows that ``condition`` has seen, or None.
    """

    scatter: Scatter | None = None

    def take_in(self, data: Dataset) -> Scatter:
        """The scatter of the rows seen before and these.

        Raises:
            DataError: If the rows are no table, a value is missing, or no column varies.
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
        if self.scatter.num_rows > 1:
            check_varies(self.scatter.constant_columns, rows.shape[1], self.scatter.num_rows)
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
        super().set_state({n: v for n, v in state.items() if not n.startswith(_PREFIX)})
        self.scatter = None
        if own:
            arrays = (np.asarray(own[name]) for name in ("mean", "root", "squares"))
            self.scatter = Scatter(int(own["num_rows"]), *arrays)


def check_varies(constant: tuple[int, ...], num_columns: int, num_rows: int) -> None:
    """Raise DataError if all columns are constant."""
    if len(constant) == num_columns:
        raise DataError(
            "All rows are equal, so no direction can be found. Expected columns that vary. "
            f"Received: {num_rows} equal rows."
        )
