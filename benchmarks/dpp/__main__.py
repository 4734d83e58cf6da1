"""Determinantal point processes: speed beside DPPy.

``make bench NAME=dpp`` runs all parts, ``ARGS="--only speed"`` one; it makes an environment with
DPPy for the comparison of speed.

- ``speed``: one-off costs, draws, greedy choice; 100,000 items by the dual form.
"""

from __future__ import annotations

from benchmarks import parts
from benchmarks.dpp import speed

PARTS = {"speed": speed.run}

if __name__ == "__main__":
    parts.run("dpp", __doc__, PARTS, beside_peer={"speed"})
