"""The table: all rows by name."""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from ...errors import UnknownNameError
from .families import exponential, inverse_gamma, location_scale, normal, signs
from .implicit_gradients import LAWS
from .row import Reparameterization

FAMILIES = (normal, location_scale, exponential, inverse_gamma, signs)
TABLE = MappingProxyType({row.name: row for family in FAMILIES for row in family.ROWS})
"""Name -> row."""


def get(name: str) -> Reparameterization:
    """The row of a name.

    Raises:
        UnknownNameError: If the table has none; laws with implicit gradients have no g, and stand
            in ``implicit_sample``.
    """
    if name not in TABLE:
        raise UnknownNameError("reparameterization", name, TABLE)
    return TABLE[name]


def table() -> pd.DataFrame:
    """All rows and the laws with implicit gradients: law, parameters, noise, g, what was mended."""
    columns = ["law", "parameters", "noise", "g", "mended"]
    rows = {
        row.name: (row.law, ", ".join(row.parameters), row.noise.law, row.formula, row.mended)
        for row in TABLE.values()
    }
    for name, law in LAWS.items():
        rows[name] = (law.__name__, "", "-", "by F(z) = u, implicitly", "")
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
