"""``nuts`` with its defaults against long reference runs of another library, or exact moments."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from benchmarks.references import data
from tfbdl import diagnostics

tfb, tfd = tfp.bijectors, tfp.distributions

pytestmark = pytest.mark.slow

STORED = json.loads((Path(__file__).parent / "data" / "reference_posteriors.json").read_text())


def observed(name, dtype="float32"):
    """The data of a posterior as tensors."""
    return {key: tf.constant(value, dtype) for key, value in data.observations(name).items()}


def eight_schools():
    """Rubin's eight schools, non-centred, as a joint distribution."""
    given = observed("eight_schools")
    joint = tfd.JointDistributionNamedAutoBatched(
        {
            "mu": tfd.Normal(0.0, 5.0),
            "tau": tfd.HalfCauchy(0.0, 5.0),
            "theta": tfd.Sample(tfd.Normal(0.0, 1.0), 8),
            "y": lambda mu, tau, theta: tfd.Normal(mu + tau * theta, given["s"]),
        }
    )
    return joint, {"y": given["y"]}


def logistic():
    """30 standardised features of breast_cancer and an intercept, standard normal priors."""
    given = observed("logistic")

    def log_prob(weights):
        logits = tf.matmul(weights, given["x"], transpose_b=True)
        fits = given["y"] * logits - tf.nn.softplus(logits)
        return tf.reduce_sum(fits, -1) - 0.5 * tf.reduce_sum(weights**2, -1)

    return tfbdl.LogDensity(log_prob, {"weights": (31,)}, vectorized=True), None


def bad_scales():
    """A linear regression whose columns differ in scale by eight orders of magnitude."""
    given = observed("bad_scales", "float64")

    def log_prob(weights, sigma):
        fits = tfd.Normal(tf.linalg.matvec(given["x"], weights), sigma).log_prob(given["y"])
        prior = tfd.Normal(tf.zeros((), sigma.dtype), 10.0 / given["scales"]).log_prob(weights)
        return tf.reduce_sum(fits) + tf.reduce_sum(prior) - 0.5 * sigma**2

    shapes = {"weights": (10,), "sigma": ()}
    return tfbdl.LogDensity(log_prob, shapes, {"sigma": tfb.Exp()}, "float64"), None


def mixture():
    """Two normals with ordered means, as Stan's low_dim_gauss_mix."""
    given = observed("mixture")

    def log_prob(mu, sigma, theta):
        parts = tfd.Normal(mu, sigma).log_prob(given["y"][:, tf.newaxis])
        weights = tf.math.log(tf.stack([theta, 1.0 - theta]))
        fits = tf.reduce_sum(tf.reduce_logsumexp(parts + weights, -1))
        prior = tf.reduce_sum(tfd.Normal(0.0, 2.0).log_prob(mu)) - 0.125 * tf.reduce_sum(sigma**2)
        return fits + prior + tfd.Beta(5.0, 5.0).log_prob(theta)

    shapes = {"mu": (2,), "sigma": (2,), "theta": ()}
    bijectors = {"mu": tfb.Ascending(), "sigma": tfb.Exp(), "theta": tfb.Sigmoid()}
    return tfbdl.LogDensity(log_prob, shapes, bijectors), None


def funnel():
    """Neal's funnel, ten dimensions, sd 3, non-centred: independent normals."""
    joint = tfd.JointDistributionNamedAutoBatched(
        {"v": tfd.Normal(0.0, 3.0), "z": tfd.Sample(tfd.Normal(0.0, 1.0), 9)}
    )
    return joint, None


FUNNEL = {"v": {"mean": 0.0, "sd": 3.0}, "z": {"mean": [0.0] * 9, "sd": [1.0] * 9}}
TARGETS = {f.__name__: f for f in (eight_schools, logistic, bad_scales, mixture, funnel)}


@pytest.mark.parametrize("name", TARGETS)
def test_draws_have_the_moments_of_the_reference(name):
    target, given = TARGETS[name]()
    fit = tfbdl.fit(target, given, engine="nuts", seed=1)
    reference = FUNNEL if name == "funnel" else STORED[name]
    assert set(fit.posterior.draws) == set(reference)
    for site, moments in reference.items():
        draws = fit.posterior.draws[site]
        mean, sd = (np.asarray(moments[key]) for key in ("mean", "sd"))
        error = np.hypot(diagnostics.mcse_mean(draws), moments.get("mcse", 0.0))
        assert np.all(np.abs(draws.mean((0, 1)) - mean) <= 4.0 * error + 0.05 * sd), site
        np.testing.assert_allclose(draws.std((0, 1)), sd, rtol=0.1, err_msg=site)
    assert fit.posterior.sample_stats["diverging"].sum() == 0
    assert fit.posterior.diagnostics() == []


def test_the_centred_funnel_is_warned_of():
    joint = tfd.JointDistributionNamedAutoBatched(
        {
            "v": tfd.Normal(0.0, 3.0),
            "x": lambda v: tfd.Sample(tfd.Normal(0.0, tf.exp(0.5 * v)), 9),
        }
    )
    fit = tfbdl.fit(joint, None, engine="nuts", seed=1)
    found = " ".join(fit.posterior.diagnostics())
    assert "for v: do not use" in found  # R-hat
    assert "E-BFMI" in found
