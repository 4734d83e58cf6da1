"""Pruned nets: a 784-300-100-10 net with logistic units, its first layer cut to k units.

The net is trained on 20,000 images of MNIST for eight epochs (Adam at 0.001, batches of 128); 1,000
of these tell what units do. Each selector draws three times in each of three nets (those without
chance give one net each); errors are on the whole test set, before and after fusion.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from tfbdl_dpp import prune

from benchmarks import parts
from benchmarks.dpp.images import mnist

ROWS, LOOKED_AT, EPOCHS = 20_000, 1_000, 8
NETS, DRAWS = 3, 3
SIZES = (25, 50, 100, 150)
CHANCE = ("k_dpp", "random")
SELECTORS = (*CHANCE, "greedy", "importance")


def run() -> dict[str, Any]:
    """Prune with each selector at each size."""
    data = mnist()
    x, y = data["x_train"][:ROWS], data["y_train"][:ROWS]
    found: dict[str, Any] = {"full": []}
    for seed in range(NETS):
        keras.utils.set_random_seed(seed)
        net = _net()
        net.fit(x, y, batch_size=128, epochs=EPOCHS, verbose=0)
        found["full"].append(_error(net, data))
        for k in SIZES:
            for selector in SELECTORS:
                for draw in range(DRAWS if selector in CHANCE else 1):
                    for fuse in (False, True):
                        small = prune(
                            net, "first", k, x[:LOOKED_AT], selector, 100 * seed + draw, fuse=fuse
                        )
                        cell = found.setdefault(
                            f"{selector}, k = {k}", {"left out": [], "fused": []}
                        )
                        cell["fused" if fuse else "left out"].append(_error(small, data))
    print(f"\nerror of the whole net: {parts.listed(found['full'], 2)} %\n")
    parts.header("units", "selector", "left out, %", "fused, %")
    for k in SIZES:
        for selector in SELECTORS:
            cell = found[f"{selector}, k = {k}"]
            parts.row(k, selector, _with_error(cell["left out"]), _with_error(cell["fused"]))
    return found


def _net() -> keras.Model:
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(300, "sigmoid", name="first"),
            layers.Dense(100, "sigmoid", name="second"),
            layers.Dense(10, name="last"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.001), loss, jit_compile=True)
    return net


def _error(net: keras.Model, data: Any) -> float:
    scores = keras.ops.convert_to_numpy(net(data["x_test"]))
    return 100.0 * float((scores.argmax(axis=1) != data["y_test"]).mean())


def _with_error(values: list[float]) -> str:
    """The mean and the standard deviation over nets and draws."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
