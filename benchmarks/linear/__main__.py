"""Bayesian linear models: every measured figure in the README of ``plugins/tfbdl_linear``.

``python -m benchmarks.linear`` prints its tables and writes ``benchmarks/results/linear.json``;
``--only PART`` runs one part. ``uci`` needs the sets in ``$TFBDL_DATA/uci``.
"""

from __future__ import annotations

from benchmarks import parts

from .classification import breast_cancer, grid
from .regression import diabetes, sine, uci

PARTS = {
    "diabetes": diabetes,
    "sine": sine,
    "uci": uci,
    "grid": grid,
    "breast_cancer": breast_cancer,
}

if __name__ == "__main__":
    parts.run("linear", __doc__, PARTS)
