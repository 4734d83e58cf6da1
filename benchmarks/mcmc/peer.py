"""The same posteriors under NumPyro's and BlackJAX's NUTS, each inside one ``jax.jit``.

A server of lines: it reads ``{"library", "name", "seed", "points"}`` as JSON from standard input
and answers with a line of JSON; draws go to the file that it names. It runs in an environment of
its own (``requirements.txt``), without tfbdl or TensorFlow.
"""

from __future__ import annotations

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import problems

CHAINS, WARMUP, DRAWS = 4, 1000, 1000


def normal(x, loc, scale):
    return jnp.sum(-0.5 * ((x - loc) / scale) ** 2 - jnp.log(scale))


def half_cauchy(x, scale):
    return -jnp.log1p((x / scale) ** 2)


def log_density(name):
    """The log density of a flat, unconstrained vector, Jacobian included."""
    data = {
        k: jnp.asarray(v, jnp.int32 if v.dtype.kind == "i" else jnp.float32)
        for k, v in problems.data(name).items()
    }
    shapes = problems.shapes(name)

    def of(z):
        params, jacobian, place = {}, 0.0, 0
        for key, shape in shapes.items():
            size = int(np.prod(shape))
            value = z[place : place + size].reshape(shape)
            place += size
            if key in problems.POSITIVE:
                jacobian += jnp.sum(value)
                value = jnp.exp(value)
            params[key] = value
        return FUNCTIONS[name](data, **params) + jacobian

    return of, sum(int(np.prod(shape)) for shape in shapes.values())


def eight_schools(data, mu, tau, theta):
    prior = normal(mu, 0.0, 5.0) + half_cauchy(tau, 5.0) + normal(theta, 0.0, 1.0)
    return prior + normal(data["y"], mu + tau * theta, data["s"])


def logistic(data, weights):
    logits = data["x"] @ weights
    return normal(weights, 0.0, 1.0) + jnp.sum(data["y"] * logits - jax.nn.softplus(logits))


def regression(data, weights, sigma):
    return half_cauchy(sigma, 2.5) + normal(data["y"], data["x"] @ weights, sigma)


def radon(data, mu, tau, offset, slope, sigma):
    prior = normal(mu, 0.0, 10.0) + normal(slope, 0.0, 10.0) + normal(offset, 0.0, 1.0)
    prior += half_cauchy(tau, 5.0) + half_cauchy(sigma, 5.0)
    mean = mu + tau * offset[data["group"]] + slope * data["x"]
    return prior + normal(data["y"], mean, sigma)


FUNCTIONS = {f.__name__: f for f in (eight_schools, logistic, regression, radon)}


def numpyro_sampler(name):
    from numpyro.infer.hmc import hmc

    log_prob, _ = log_density(name)

    def one(key, start):
        init, step = hmc(lambda z: -log_prob(z), algo="NUTS")
        state = init(start, num_warmup=WARMUP, rng_key=key)
        state, _ = jax.lax.scan(lambda s, _: (step(s), None), state, None, length=WARMUP)
        _, draws = jax.lax.scan(lambda s, _: (step(s), s.z), state, None, length=DRAWS)
        return draws

    return jax.jit(jax.vmap(one))


def blackjax_sampler(name):
    import blackjax

    log_prob, _ = log_density(name)

    def one(key, start):
        warm, run = jax.random.split(key)
        adapt = blackjax.window_adaptation(blackjax.nuts, log_prob)
        (state, parameters), _ = adapt.run(warm, start, num_steps=WARMUP)
        step = blackjax.nuts(log_prob, **parameters).step

        def body(state, key):
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(body, state, jax.random.split(run, DRAWS))[1]

    return jax.jit(jax.vmap(one))


SAMPLERS = {"numpyro": numpyro_sampler, "blackjax": blackjax_sampler}


def main():
    ready = {}
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked["name"]
        log_prob, dim = log_density(name)
        if "points" in asked:
            points = jnp.asarray(asked["points"], jnp.float32)
            print(json.dumps({"log_prob": jax.vmap(log_prob)(points).tolist()}), flush=True)
            continue
        which = (asked["library"], name)
        start = np.random.default_rng(asked["seed"]).uniform(-1, 1, (CHAINS, dim))
        keys = jax.random.split(jax.random.PRNGKey(asked["seed"]), CHAINS)
        began = time.perf_counter()
        if which not in ready:
            ready[which] = SAMPLERS[asked["library"]](name)
        draws = np.asarray(ready[which](keys, jnp.asarray(start, jnp.float32)))
        seconds = time.perf_counter() - began
        np.save(asked["file"], draws)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
