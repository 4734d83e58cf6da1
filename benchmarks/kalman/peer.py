"""The Kalman filter of dynamax in a process of its own: one JSON line in, one out.

It runs in an environment of its own (``requirements.txt``), without tfbdl or TensorFlow, in
float64. ``start`` compiles and gives value and gradient; ``value`` and ``gradient`` run once.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from dynamax.linear_gaussian_ssm import lgssm_filter  # noqa: E402
from dynamax.linear_gaussian_ssm.inference import (  # noqa: E402
    ParamsLGSSM,
    ParamsLGSSMDynamics,
    ParamsLGSSMEmissions,
    ParamsLGSSMInitial,
)


def log_likelihood(params: dict[str, Any], y: Any) -> Any:
    """``log p(y)`` in nats of all sequences ``[n, T, m]`` together."""
    (d, m), none = (params["H"].shape[1], params["H"].shape[0]), None
    model = ParamsLGSSM(
        initial=ParamsLGSSMInitial(mean=params["m0"], cov=params["P0"]),
        dynamics=ParamsLGSSMDynamics(
            weights=params["A"], bias=jnp.zeros(d), input_weights=none, cov=params["Q"]
        ),
        emissions=ParamsLGSSMEmissions(
            weights=params["H"], bias=jnp.zeros(m), input_weights=none, cov=params["R"]
        ),
    )
    inputs = jnp.zeros((y.shape[1], 0))
    model = model._replace(
        dynamics=model.dynamics._replace(input_weights=jnp.zeros((d, 0))),
        emissions=model.emissions._replace(input_weights=jnp.zeros((m, 0))),
    )
    return jax.vmap(lambda part: lgssm_filter(model, part, inputs).marginal_loglik)(y).sum()


def main() -> None:
    """Answer until standard input ends."""
    value, gradient = jax.jit(log_likelihood), jax.jit(jax.value_and_grad(log_likelihood))
    params: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "start":
            arrays = np.load(question["file"])
            params = {name: jnp.asarray(arrays[name]) for name in arrays.files if name != "y"}
            y = jnp.asarray(arrays["y"])
            total, slopes = gradient(params, y)
            assert np.isclose(float(value(params, y)), float(total), rtol=1e-12)
            answer: Any = {"value": float(total)}
            answer |= {name: np.asarray(slope).tolist() for name, slope in slopes.items()}
        else:
            run = value if question["do"] == "value" else gradient
            jax.block_until_ready(run(params, y))
            answer = None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
