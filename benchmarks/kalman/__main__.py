"""Learned filters on the Lorenz attractor, beside classical filters and LSTMs alone.

``python -m benchmarks.kalman`` runs all parts, ``--only full`` one. ``KALMAN_SECONDS`` is the
processor time that each contestant trains for (default 300), ``KALMAN_SEEDS`` how many seeds
(default 3).
"""

from __future__ import annotations

from benchmarks import parts
from benchmarks.kalman import lorenz

PARTS = {
    "full": lorenz.full,
    "partial": lorenz.partial,
    "little": lorenz.little,
    "coverage": lorenz.coverage,
}

if __name__ == "__main__":
    parts.run("kalman", __doc__, PARTS)
