"""Infinitely wide networks: MNIST by regression, UCI sets, and speed beside neural-tangents.

``make bench NAME=nngp`` runs all parts, ``ARGS="--only mnist"`` one; it makes an environment with
neural-tangents, which runs on an old JAX alone, for the comparison of speed.

- ``mnist``: accuracy on all 10,000 test images after 1,000, 2,000 and 5,000 training images.
- ``uci``: ``nngp`` and ``gp`` on the fixed splits, hyperparameters by evidence.
- ``sparse``, ``classes``: inducing points on the largest UCI sets, and on MNIST's ten classes.
- ``kernels``, ``convolution``: seconds beside neural-tangents, after a check that they agree.
- ``solve``: seconds of an exact solve beside SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import parts
from benchmarks.nngp import mnist, sparse, speed, uci

PARTS: dict[str, Callable[..., Any]] = {
    "mnist": mnist.run,
    "uci": uci.run,
    "sparse": sparse.run,
    "classes": sparse.classes,
    "kernels": speed.kernels,
    "convolution": speed.convolution,
    "solve": speed.solve,
}

if __name__ == "__main__":
    parts.run("nngp", __doc__, PARTS, beside_peer={"kernels", "convolution"})
