"""The four posteriors as LogDensities, sampled by tfbdl's ``nuts``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from benchmarks.mcmc import problems
from tfbdl import random
from tfbdl.inference.mcmc import FlatTarget, Nuts
from tfbdl.inference.mcmc.lockstep import with_room

tfb, tfd = tfp.bijectors, tfp.distributions


def density(name: str) -> tfbdl.LogDensity:
    """The LogDensity of a posterior, in float32, written for all chains at once."""
    data = {
        key: tf.constant(value, tf.int32 if value.dtype.kind == "i" else tf.float32)
        for key, value in problems.data(name).items()
    }
    shapes = problems.shapes(name)
    bijectors = {key: tfb.Exp() for key in shapes if key in problems.POSITIVE}
    return tfbdl.LogDensity(
        FUNCTIONS[name](data), shapes=shapes, bijectors=bijectors, vectorized=True
    )


def normal(x: Any, loc: Any, scale: Any) -> tf.Tensor:
    """The log density of normals ``[chain, n]``, summed over n, without its constant."""
    return tf.reduce_sum(-0.5 * ((x - loc) / scale) ** 2 - tf.math.log(scale), axis=-1)


def half_cauchy(x: Any, scale: float) -> tf.Tensor:
    """The log density of a half Cauchy, without its constant."""
    return -tf.math.log1p((x / scale) ** 2)


def column(*values: tf.Tensor) -> list[tf.Tensor]:
    """``[chain]`` to ``[chain, 1]``, which broadcasts over the data."""
    return [value[:, tf.newaxis] for value in values]


def _eight_schools(data: dict[str, tf.Tensor]) -> Any:
    def log_prob(mu: tf.Tensor, tau: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        loc, scale = column(mu, tau)
        prior = normal(loc, 0.0, 5.0) + half_cauchy(tau, 5.0) + normal(theta, 0.0, 1.0)
        return prior + normal(data["y"], loc + scale * theta, data["s"])

    return log_prob


def _logistic(data: dict[str, tf.Tensor]) -> Any:
    def log_prob(weights: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(weights, data["x"], transpose_b=True)
        fits = data["y"] * logits - tf.nn.softplus(logits)
        return normal(weights, 0.0, 1.0) + tf.reduce_sum(fits, axis=-1)

    return log_prob


def _regression(data: dict[str, tf.Tensor]) -> Any:
    def log_prob(weights: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        mean = tf.matmul(weights, data["x"], transpose_b=True)
        return half_cauchy(sigma, 2.5) + normal(data["y"], mean, *column(sigma))

    return log_prob


def _radon(data: dict[str, tf.Tensor]) -> Any:
    def log_prob(
        mu: tf.Tensor, tau: tf.Tensor, offset: tf.Tensor, slope: tf.Tensor, sigma: tf.Tensor
    ) -> tf.Tensor:
        location, spread, rate, noise = column(mu, tau, slope, sigma)
        prior = normal(location, 0.0, 10.0) + normal(rate, 0.0, 10.0) + normal(offset, 0.0, 1.0)
        prior += half_cauchy(tau, 5.0) + half_cauchy(sigma, 5.0)
        groups = tf.gather(offset, data["group"], axis=1)
        mean = location + spread * groups + rate * data["x"]
        return prior + normal(data["y"], mean, noise)

    return log_prob


FUNCTIONS = {
    "eight_schools": _eight_schools,
    "logistic": _logistic,
    "regression": _regression,
    "radon": _radon,
}


class Sampler:
    """Compiled once for a posterior; ``run`` gives draws and seconds."""

    def __init__(self, name: str, chains: int, warmup: int, draws: int) -> None:
        self.target = FlatTarget(density(name))
        self.kernel = Nuts(self.target.log_prob_and_gradient, warmup=warmup)
        self.chains, self.warmup, self.draws = chains, warmup, draws

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """At unconstrained points ``[n, D]``."""
        return self.target.log_prob(tf.constant(z, tf.float32)).numpy()

    def run(self, seed: int) -> dict[str, Any]:
        """Warm up and draw: ``draws [chain, draw, D]``, unconstrained."""
        keys = random.split(random.key(seed, "mcmc"), self.chains)
        start = np.random.default_rng(seed).uniform(-1, 1, (self.chains, self.target.dim))
        began = time.perf_counter()
        state = self.kernel.start(tf.constant(start, tf.float32), keys)
        state = with_room(state, self.draws)
        last = tf.constant(self.warmup + self.draws)
        state = self.kernel.advance(state, keys, last, tf.constant(2**31 - 1))
        draws = state.draws[:-1].numpy()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "draws": np.moveaxis(draws, 1, 0)}
