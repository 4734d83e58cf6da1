"""The reference posteriors as NumPyro models; prints their moments as JSON."""

from __future__ import annotations

import json

import jax

jax.config.update("jax_enable_x64", True)

import data  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import numpyro  # noqa: E402
import numpyro.distributions as dist  # noqa: E402
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin  # noqa: E402

numpyro.set_host_device_count(1)


def eight_schools(y, s):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    theta = numpyro.sample("theta", dist.Normal(0, 1).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(mu + tau * theta, s), obs=y)


def logistic(x, y):
    w = numpyro.sample("weights", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)


MODELS = {f.__name__: f for f in (eight_schools, logistic)}


def mixture_potential(y):
    """Minus the log density of the unconstrained mixture, written out."""

    def of(z):
        mu = jnp.stack([z[0], z[0] + jnp.exp(z[1])])
        sigma, theta = jnp.exp(z[2:4]), jax.nn.sigmoid(z[4])
        log_prior = -0.5 * jnp.sum((mu / 2) ** 2) - 0.5 * jnp.sum((sigma / 2) ** 2)
        log_prior += 4 * jnp.log(theta) + 4 * jnp.log1p(-theta)
        jacobian = z[1] + z[2] + z[3] + jnp.log(theta) + jnp.log1p(-theta)
        parts = -0.5 * ((y[:, None] - mu) / sigma) ** 2 - jnp.log(sigma)
        weights = jnp.log(jnp.stack([theta, 1 - theta]))
        return -(log_prior + jacobian + jax.nn.logsumexp(parts + weights, -1).sum())

    return of


def _moments(draws):
    """Mean, standard deviation and standard error of draws ``[chain, draw, ...]``."""
    assert np.max(split_gelman_rubin(draws)) < 1.002, "the chains have not converged"
    sd = draws.std((0, 1))
    error = sd / np.sqrt(effective_sample_size(draws))
    figures = {"mean": draws.mean((0, 1)), "sd": sd, "mcse": error}
    return {name: value.tolist() for name, value in figures.items()}


def main():
    moments = {}
    for i, name in enumerate((*MODELS, "mixture")):
        observed = {k: jnp.asarray(v) for k, v in data.observations(name).items()}
        if name == "mixture":
            kernel = numpyro.infer.NUTS(potential_fn=mixture_potential(observed["y"]))
            start = {"init_params": jnp.tile(jnp.array([-2.0, 1.0, 0.0, 0.0, 0.0]), (4, 1))}
            observed = {}
        else:
            kernel, start = numpyro.infer.NUTS(MODELS[name]), {}
        mcmc = numpyro.infer.MCMC(
            kernel,
            num_warmup=2000,
            num_samples=20_000,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.PRNGKey(i), **observed, **start)
        draws = mcmc.get_samples(group_by_chain=True)
        if name == "mixture":
            z = draws
            draws = {
                "mu": jnp.stack([z[..., 0], z[..., 0] + jnp.exp(z[..., 1])], -1),
                "sigma": jnp.exp(z[..., 2:4]),
                "theta": jax.nn.sigmoid(z[..., 4]),
            }
        moments[name] = {site: _moments(np.asarray(v)) for site, v in draws.items()}
    print(json.dumps(moments, indent=1))


if __name__ == "__main__":
    main()
