"""Learned filters on the Lorenz attractor beside classical ones and LSTMs alone; speed.

``make bench NAME=kalman`` runs all parts, ``ARGS="--only full"`` one; it makes an environment with
dynamax for the comparison of speed. ``KALMAN_SECONDS`` is the processor time that each contestant
trains for (default 300), ``KALMAN_SEEDS`` how many seeds (default 3).

- ``full``, ``partial``, ``little``: errors on test sequences, by contestant.
- ``coverage``, ``bayesian``: trained by the likelihood of observations alone; the second with
  random weights beside plain ones.
- ``stream``: 10,000 observations through ``step``.
- ``speed``: the log likelihood and its gradient beside dynamax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import parts
from benchmarks.kalman import lorenz, speed, stream

PARTS: dict[str, Callable[..., Any]] = {
    "full": lorenz.full,
    "partial": lorenz.partial,
    "little": lorenz.little,
    "coverage": lorenz.coverage,
    "bayesian": lorenz.bayesian,
    "stream": stream.run,
    "speed": speed.run,
}

if __name__ == "__main__":
    parts.run("kalman", __doc__, PARTS, beside_peer={"speed"})
