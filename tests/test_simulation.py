"""Simulation-based calibration and Geweke's test: right samplers pass, wrong ones do not."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tfbdl_engines.mcmc import NoUTurn, RandomWalk, Slice
from tfbdl_engines.mcmc_config import NutsOptions, RandomWalkOptions, SliceOptions

from tfbdl import errors, random, testing
from tfbdl.posterior import Posterior
from tfbdl.protocols import EngineResult, Site
from tfbdl.testing import replications, simulation

pytestmark = pytest.mark.slow  # minutes of compilation; part of `make test-all`

tfb = tfp.bijectors
tfd = tfp.distributions

ROWS, NOISE = 5, 2.0
PRECISION = 1.0 + ROWS / NOISE**2
GROUPS = 3
ZERO = tf.zeros((), "float64")


def conjugate(noise=NOISE):
    """mu ~ N(0, 1), five rows y ~ N(mu, 2): the posterior of mu is normal.

    Args:
        noise: What the log density takes for the rows' standard deviation.
    """

    def log_density(params, y):
        log_lik = tfd.Normal(params["mu"], tf.constant(noise, "float64")).log_prob(y)
        return tfd.Normal(ZERO, 1.0).log_prob(params["mu"]) + tf.reduce_sum(log_lik)

    return testing.GenerativeModel(
        sites=(Site("mu", (), None, "float64"),),
        prior=lambda key: {"mu": random.normal((), key, "float64")},
        simulate=lambda params, key: params["mu"] + NOISE * random.normal((ROWS,), key, "float64"),
        log_density=log_density,
    )


def hierarchical():
    """mu ~ N(0, 1), tau ~ LogNormal(0, 1/2), theta_j ~ N(mu, tau), y_j ~ N(theta_j, 1)."""

    def prior(key):
        keys = random.split(key, 3)
        mu = random.normal((), keys[0], "float64")
        tau = tf.exp(0.5 * random.normal((), keys[1], "float64"))
        theta = mu + tau * random.normal((GROUPS,), keys[2], "float64")
        return {"mu": mu, "tau": tau, "theta": theta}

    def log_density(params, y):
        mu, tau, theta = params["mu"], params["tau"], params["theta"]
        log_prior = tfd.Normal(ZERO, 1.0).log_prob(mu) + tfd.LogNormal(ZERO, 0.5).log_prob(tau)
        log_prior += tf.reduce_sum(tfd.Normal(mu, tau).log_prob(theta))
        return log_prior + tf.reduce_sum(tfd.Normal(theta, tf.ones_like(mu)).log_prob(y))

    return testing.GenerativeModel(
        sites=(
            Site("mu", (), None, "float64"),
            Site("tau", (), tfb.Exp(), "float64"),
            Site("theta", (GROUPS,), None, "float64"),
        ),
        prior=prior,
        simulate=lambda params, key: params["theta"] + random.normal((GROUPS,), key, "float64"),
        log_density=log_density,
    )


class Exact:
    """Draws from the conjugate posterior, or from something that it is not."""

    def __init__(self, scale=1.0, shift=0.0, of_prior=False):
        self.scale, self.shift, self.of_prior = scale, shift, of_prior

    def fit(self, model, data, context):
        stddev = PRECISION**-0.5
        mean = float(np.sum(model.data)) / NOISE**2 / PRECISION
        if self.of_prior:
            mean, stddev = 0.0, 1.0
        rng = np.random.default_rng(context.seed)
        draws = rng.normal(mean + self.shift * stddev, self.scale * stddev, (2, 100))
        return EngineResult(posterior=Posterior({"mu": draws}))


# -- simulation-based calibration ------------------------------------------------------------


def test_exact_posterior_passes():
    found = testing.simulation_based_calibration(conjugate(), Exact(), seed=1)
    assert found.uniform()
    assert set(found.ranks) == set(found.p_values) == {"mu", "log joint"}
    ranks = found.ranks["mu"]
    assert ranks.shape == (200,)
    assert 0 <= ranks.min() < 10
    assert 90 < ranks.max() <= found.draws == 99
    again = testing.simulation_based_calibration(conjugate(), Exact(), seed=1)
    np.testing.assert_array_equal(again.ranks["mu"], ranks)
    other = testing.simulation_based_calibration(conjugate(), Exact(), seed=2)
    assert not np.array_equal(other.ranks["mu"], ranks)


@pytest.mark.parametrize("wrong", [{"scale": 0.7}, {"scale": 1.5}, {"shift": 0.5}])
def test_wrong_posteriors_fail(wrong):
    found = testing.simulation_based_calibration(conjugate(), Exact(**wrong), seed=1)
    assert not found.uniform()
    assert found.p_values["mu"] < 5e-4


def test_a_sampler_that_ignores_the_data_is_seen_by_the_log_joint_alone():
    found = testing.simulation_based_calibration(conjugate(), Exact(of_prior=True), seed=1)
    assert found.p_values["mu"] > 0.001
    assert found.p_values["log joint"] < 1e-6
    with pytest.raises(AssertionError, match="ranks of 'log joint' are not uniform"):
        testing.check_calibration(conjugate(), Exact(of_prior=True), seed=1)


@pytest.mark.slow
def test_nuts_is_calibrated_on_a_conjugate_model_and_not_on_another():
    engine = NoUTurn(NutsOptions(warmup=150, thin=2))
    assert testing.check_calibration(conjugate(), engine, seed=1).uniform()
    wrong = testing.simulation_based_calibration(conjugate(noise=1.0), engine, seed=1)
    assert wrong.p_values["mu"] < 1e-6  # it takes the noise for half of what it is


def test_nuts_is_calibrated_on_a_hierarchical_model():
    engine = NoUTurn(NutsOptions(warmup=300, thin=3, target_accept=0.9))
    found = testing.check_calibration(hierarchical(), engine, seed=1)
    assert list(found.ranks)[:3] == ["mu", "tau", "theta[0]"]


def test_replications_together_draw_what_a_few_of_them_draw():
    model, engine = hierarchical(), RandomWalk(RandomWalkOptions(warmup=0, step_size=0.4))
    _, data = model.simulate_joint(random.key(3), 20)
    many = replications.sample_together(model, engine, data, 3, seed=5)
    few = replications.sample_together(model, engine, data[:4], 3, seed=5)
    for name, draws in few.items():
        assert draws.shape[:2] == (4, 3)
        np.testing.assert_allclose(many[name][:4], draws, rtol=1e-9)


def test_log_joints_are_those_of_each_ones_data():
    model = conjugate()
    params, data = model.simulate_joint(random.key(1), 3)
    states = {"mu": tf.constant(np.arange(6.0).reshape(3, 2))}
    found = model.log_joints(states, data)
    for i in range(3):
        for j, mu in enumerate(states["mu"][i].numpy()):
            squares = mu**2 + np.sum((data[i].numpy() - mu) ** 2) / NOISE**2
            constant = (ROWS + 1) * math.log(2 * math.pi) / 2 + ROWS * math.log(NOISE)
            assert found[i, j] == pytest.approx(-0.5 * squares - constant, rel=1e-12)
    assert params["mu"].shape == (3,)
    assert np.unique(data).size == 15


def test_uniformity_has_uniform_p_values_and_sees_both_kinds_of_fault():
    rng = np.random.default_rng(0)
    p_values = [simulation.uniformity(rng.integers(0, 100, 200), 99, rng) for _ in range(400)]
    assert 0.02 < np.mean(np.less(p_values, 0.1)) < 0.13  # at most 0.1, by Bonferroni
    edges = np.concatenate([np.arange(100), np.repeat([0, 99], 25)])
    assert simulation.uniformity(edges, 99, rng) < 1e-4
    assert simulation.uniformity(rng.integers(0, 80, 200), 99, rng) < 1e-4


def test_equal_draws_are_ranked_at_random():
    rng = np.random.default_rng(1)
    ranks = simulation._ranks(np.zeros(2000), np.zeros((2000, 9)), rng)
    counts = np.bincount(ranks, minlength=10)
    assert counts.size == 10
    assert np.abs(counts - 200).max() < 65  # five standard deviations


def test_too_few_replications_or_draws_are_refused():
    with pytest.raises(errors.OptionsError, match=r"at least 20 replications.*replications=5"):
        testing.simulation_based_calibration(conjugate(), Exact(), replications=5)
    with pytest.raises(errors.OptionsError, match=r"at least draws=300 .*Received: 200"):
        testing.simulation_based_calibration(conjugate(), Exact(), replications=20, draws=300)


# -- Geweke's test ---------------------------------------------------------------------------


def gibbs(scale):
    """An exact draw of the conjugate posterior, its standard deviation times ``scale``."""

    def move(params, y, keys):
        mean = tf.reduce_sum(y, axis=-1) / NOISE**2 / PRECISION
        return {"mu": mean + scale * PRECISION**-0.5 * random.normal((), keys, "float64")}

    return move


def test_geweke_passes_an_exact_transition_and_fails_a_narrow_one():
    size = {"chains": 60, "steps": 60, "seed": 1}
    right = testing.geweke(conjugate(), gibbs(1.0), **size)
    assert right.passes()
    assert set(right.z_scores) == {"mu", "mu^2"}
    narrow = testing.geweke(conjugate(), gibbs(0.7), **size)
    assert not narrow.passes()
    assert narrow.z_scores["mu^2"] < -5  # by turns it draws the prior's variance down
    assert abs(narrow.z_scores["mu"]) < 3.5


def test_geweke_takes_test_functions_of_state_and_data():
    found = testing.geweke(
        conjugate(),
        gibbs(1.0),
        functions=lambda params, y: {"product": params["mu"] * tf.reduce_mean(y)},
        chains=30,
        steps=20,
        seed=2,
    )
    assert list(found.z_scores) == ["product"]
    assert found.passes()


def test_geweke_refuses_an_engine_that_adapts():
    with pytest.raises(errors.OptionsError, match=r"fixed step_size.*Received: step_size=None"):
        testing.geweke(conjugate(), NoUTurn(NutsOptions()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    [
        NoUTurn(NutsOptions(warmup=0, step_size=0.5)),
        RandomWalk(RandomWalkOptions(warmup=0, step_size=1.0)),
        Slice(SliceOptions(warmup=0, step_size=1.0)),
    ],
    ids=["nuts", "random_walk", "slice"],
)
def test_kernels_keep_the_joint_distribution(engine):
    assert testing.geweke(hierarchical(), engine, seed=1, steps=100).passes()
