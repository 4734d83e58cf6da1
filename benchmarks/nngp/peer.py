"""Kernels of neural-tangents in a process of its own: one JSON line in, one out.

It runs in an environment of its own (``requirements.txt``) with the last JAX that it works with.
``start`` compiles a kernel and leaves its matrix in a file; ``run`` computes it once more and gives
the processor time.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from neural_tangents import stax

DEPTH, WEIGHT, BIAS = 3, 1.5**0.5, 0.1**0.5


def kernel_of(net: str, activation: str, which: str) -> Any:
    """The compiled kernel function of one set of inputs."""
    phi = {"relu": stax.Relu, "erf": stax.Erf}[activation]
    layers: list[Any] = []
    for _ in range(DEPTH):
        if net == "mlp":
            layers.append(stax.Dense(1, W_std=WEIGHT, b_std=BIAS))
        else:
            layers.append(stax.Conv(1, (3, 3), padding="SAME", W_std=WEIGHT, b_std=BIAS))
        layers.append(phi())
    end = [] if net == "mlp" else [stax.Flatten()]
    function = stax.serial(*layers, *end, stax.Dense(1, W_std=WEIGHT, b_std=BIAS))[2]
    return jax.jit(lambda x: function(x, None, which))


def main() -> None:
    """Answer until standard input ends."""
    run: Any = None
    x: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = None
        if question["do"] == "start":
            # with it switched on, kernels of float32 inputs come out in float64
            jax.config.update("jax_enable_x64", question["dtype"] == "float64")
            x = jnp.asarray(np.load(question["file"])["x"], question["dtype"])
            run = kernel_of(question["net"], question["activation"], question["which"])
            np.save(question["result"], np.asarray(run(x)))
        else:
            started = time.process_time()
            np.asarray(jax.block_until_ready(run(x)))
            answer = time.process_time() - started
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
