"""Laplace of one trained net beside laplace-torch: evidence, predictions, and seconds.

``make bench NAME=laplace`` runs all parts; ``ARGS="--only PART"`` one. A net of 64-24-10 without
biases, trained by Keras on scikit-learn's digits, has the same weights on both sides. (A bias is
part of its layer's Kronecker factors here, and a block of its own there.)
"""

from __future__ import annotations

import functools

from benchmarks import parts

from . import comparison

PARTS = {name: functools.partial(comparison.run, name) for name in comparison.CURVATURES}

if __name__ == "__main__":
    parts.run("laplace", __doc__, PARTS, beside_peer=tuple(PARTS))
