"""Determinantal point processes: speed beside DPPy, gradients of mini-batches, smaller nets.

``make bench NAME=dpp`` runs all parts, ``ARGS="--only speed"`` one; it makes an environment with
DPPy for the comparison of speed.

- ``speed``: one-off costs, draws, greedy choice; 100,000 items by the dual form.
- ``gradient_variance``: MNIST with a rare class: its share of a batch, gradients, test error.
- ``rare_class``: the test errors there, each kind of batch at its best learning rate.
- ``divnet``: a net of logistic units pruned to k, by four selectors, before and after fusion.
- ``net``: draws of a net beside exact ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import parts
from benchmarks.dpp import divnet, gradient_variance, net, rare_class, speed

PARTS: dict[str, Callable[..., Any]] = {
    "speed": speed.run,
    "gradient_variance": gradient_variance.run,
    "rare_class": rare_class.run,
    "divnet": divnet.run,
    "net": net.run,
}

if __name__ == "__main__":
    parts.run("dpp", __doc__, PARTS, beside_peer={"speed"})
