"""Sequential Monte Carlo: evidence in closed form and without bias, modes by their weight."""

import monte_carlo_cases as cases
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from test_simulation import hierarchical
from tfbdl_engines.monte_carlo_config import SmcOptions
from tfbdl_engines.smc import Smc
from tfbdl_kalman_lstm import KalmanFilter, ParticleFilter

import tfbdl
from tfbdl import errors, random, testing
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.monte_carlo import SequentialMonteCarlo, path_between
from tfbdl.inference.monte_carlo.moves import shape_of
from tfbdl.inference.monte_carlo.proposals import Prior, normal_near_start
from tfbdl.inference.monte_carlo.tempering import next_temperature
from tfbdl.posterior import Posterior
from tfbdl.protocols import EngineResult, Site

tfd = tfp.distributions
KALMAN = {
    "A": [[cases.MOTION]],
    "H": [[1.0]],
    "Q": [[cases.MOTION_SD**2]],
    "R": [[cases.SEEN_SD**2]],
    "m0": [0.0],
    "P0": [[cases.FIRST_SD**2]],
}
"""The state space of the cases, as the Kalman filter takes it."""


def smc(model, data=None, seed=1, **options):
    return tfbdl.fit(model, data, engine="smc", engine_options=options, seed=seed)


def sampler_of(model, scale=1.0, **options):
    target = FlatTarget(model)
    reference = normal_near_start(target, scale, seed=0)
    gradient = options.get("kernel", "hmc") == "hmc"
    path = path_between(reference, target, gradient=gradient)
    return SequentialMonteCarlo(path, reference.sample, **options)


def log_likelihood():
    return KalmanFilter(**KALMAN).log_prob(cases.SERIES[:, np.newaxis])


# -- parts -----------------------------------------------------------------------------------


def test_a_step_along_the_path_keeps_the_share_of_particles():
    rng = np.random.default_rng(0)
    log_ratio = rng.normal(size=500) * 40.0
    t = next_temperature(tf.constant(log_ratio), tf.constant(0.1, tf.float64), 0.5).numpy()
    weights = np.exp((t - 0.1) * (log_ratio - log_ratio.max()))
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(250.0, rel=1e-9)
    near = next_temperature(tf.constant(1e-3 * log_ratio), tf.constant(0.1, tf.float64), 0.5)
    assert near.numpy() == 1.0
    log_ratio[:100] = -np.inf  # particles where the posterior is zero do not count
    t = next_temperature(tf.constant(log_ratio), tf.constant(0.0, tf.float64), 0.5).numpy()
    weights = np.exp(t * (log_ratio - log_ratio.max()))
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(200.0, rel=1e-9)


def test_the_shape_of_weighted_particles_whitens_them():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4_000, 3)) @ rng.normal(size=(3, 3)) + 5.0
    weights = rng.dirichlet(np.ones(4_000))
    shape = shape_of(tf.constant(z), tf.constant(weights), dense=True)
    np.testing.assert_allclose(shape.centre, weights @ z, rtol=1e-12)
    covariance = np.cov(z.T, aweights=weights, ddof=0)
    found = shape.factor.numpy() @ shape.factor.numpy().T
    np.testing.assert_allclose(found, covariance, rtol=0.01)
    np.testing.assert_allclose(shape.from_unit(shape.to_unit(z)), z, rtol=1e-9)
    few = shape_of(tf.constant(z[:2]), tf.constant([0.5, 0.5], tf.float64), dense=True)
    assert np.isfinite(few.factor).all()  # with fewer particles than directions
    diagonal = shape_of(tf.constant(z), tf.constant(weights), dense=False)
    np.testing.assert_allclose(diagonal.factor, np.sqrt(np.diag(covariance)), rtol=1e-9)
    np.testing.assert_allclose(diagonal.from_unit(diagonal.to_unit(z)), z, rtol=1e-9)


# -- evidence --------------------------------------------------------------------------------


def ratios(sampler, particles, runs, truth):
    """Z over its true value, of runs that repeat the choices of one."""
    _, choices = sampler.run(particles, seed=10_000)
    found = [sampler.run(particles, seed, choices)[0].log_evidence for seed in range(runs)]
    return np.exp(np.array(found) - truth)


def test_evidence_of_a_state_space_has_no_bias():
    sampler = sampler_of(cases.state_space(), moves=2, num_leapfrog=1)
    ratio = ratios(sampler, 100, 30, log_likelihood())
    assert abs(ratio.mean() - 1.0) < 3 * ratio.std() / np.sqrt(len(ratio))
    assert 0.02 < ratio.std() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "resampling"),
    [
        ("hmc", "multinomial"),
        ("hmc", "stratified"),
        ("random_walk", "systematic"),
        ("random_walk", "residual"),
    ],
)
def test_evidence_has_no_bias_by_any_scheme_and_its_variance_falls(kernel, resampling):
    sampler = sampler_of(
        cases.state_space(), kernel=kernel, resampling=resampling, moves=4, num_leapfrog=2
    )
    truth, spread = log_likelihood(), {}
    for particles in (100, 400):
        ratio = ratios(sampler, particles, 150, truth)
        assert abs(ratio.mean() - 1.0) < 3 * ratio.std() / np.sqrt(len(ratio))
        spread[particles] = ratio.var()
    # as 1 / N; a ratio of two variances of 150 runs each is within a factor of 1.8
    assert 4.0 / 1.8 < spread[100] / spread[400] < 4.0 * 1.8


def test_bootstrap_filter_agrees_with_the_kalman_filter_and_its_variance_falls():
    model = (lambda x: cases.MOTION * x, lambda x: x, *(KALMAN[n] for n in ("Q", "R", "m0", "P0")))
    y = np.broadcast_to(cases.SERIES[:, np.newaxis], (400, cases.STEPS, 1))
    spread = {}
    for particles in (50, 200):
        ratio = np.exp(ParticleFilter(*model, num_particles=particles).log_prob(y, seed=1))
        ratio /= np.exp(log_likelihood())
        assert abs(ratio.mean() - 1.0) < 3 * ratio.std() / np.sqrt(len(ratio))
        spread[particles] = ratio.var()
    assert 4.0 / 1.6 < spread[50] / spread[200] < 4.0 * 1.6


@pytest.mark.slow
def test_regression_has_its_closed_evidence_and_posterior():
    fit = smc(cases.regression(), particles=2_000)
    # the standard deviation over seeds is 0.03
    assert fit.metrics["log_evidence"] == pytest.approx(cases.EVIDENCE, abs=0.12)
    draws = fit.posterior.draws["w"]
    assert draws.shape == (1, 2_000, 3)
    error = np.sqrt(np.diag(cases.POSTERIOR_COVARIANCE) / 2_000)
    assert (np.abs(draws.mean((0, 1)) - cases.POSTERIOR_MEAN) < 5 * error).all()
    scale = np.sqrt(np.outer(*[np.diag(cases.POSTERIOR_COVARIANCE)] * 2))
    away = np.abs(fit.posterior.covariance()["w"] - cases.POSTERIOR_COVARIANCE) / scale
    assert (away < 0.2).all()
    assert fit.history["temperature"][-1] == 1.0
    assert (np.diff(fit.history["temperature"]) > 0.0).all()
    assert fit.metrics["stages"] == len(fit.history["temperature"])
    assert fit.diagnostics() is None


@pytest.mark.slow
def test_a_joint_distribution_begins_at_its_prior():
    options = {"particles": 500, "kernel": "random_walk", "moves": 10}
    fit = smc(cases.coin(), {"y": cases.SUCCESSES}, **options)
    assert fit.metrics["log_evidence"] == pytest.approx(cases.BETA_BINOMIAL, abs=0.2)
    law = stats.beta(cases.A + cases.SUCCESSES, cases.B + cases.TRIALS - cases.SUCCESSES)
    draws = fit.posterior.draws["p"][0]
    assert draws.mean() == pytest.approx(law.mean(), abs=5 * law.std() / np.sqrt(500))
    assert draws.std() == pytest.approx(law.std(), rel=0.2)


def test_a_network_has_its_closed_evidence(tmp_path):
    rows = cases.X.astype("float32"), cases.Y.astype("float32")
    fit = tfbdl.fit(
        cases.network(),
        rows,
        engine="smc",
        engine_options={"particles": 500, "moves": 2},
        seed=1,
        out=tmp_path / "run",
    )
    assert fit.metrics["log_evidence"] == pytest.approx(cases.EVIDENCE, abs=0.2)
    kernel = fit.posterior.mean()["dense.kernel"][:, 0]
    np.testing.assert_allclose(kernel, cases.POSTERIOR_MEAN, atol=0.05)
    assert fit.predict(rows[0]).mean.shape == (cases.ROWS, 1)
    loaded = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(
        loaded.posterior.draws["dense.kernel"], fit.posterior.draws["dense.kernel"]
    )
    assert loaded.metrics["log_evidence"] == fit.metrics["log_evidence"]


def test_the_prior_of_a_network_is_drawn_from_and_evaluated():
    target = FlatTarget(cases.network(), (tf.constant(cases.X, "float32"), None))
    z = Prior(target).sample(4_000, random.key(1))
    assert stats.kstest(z.numpy().ravel(), stats.norm.cdf).pvalue > 1e-3
    found = Prior(target).log_prob(z[:5])
    np.testing.assert_allclose(found, stats.norm.logpdf(z[:5]).sum(axis=1), rtol=1e-5)


class Whole:
    """A model whose prior takes a seed that is a number of Python's."""

    sites = (Site("x", (2,), None, "float64"),)

    def sample_prior(self, seed):
        return {"x": tf.constant(np.random.default_rng(int(seed)).normal(size=2))}

    def log_prior(self, params):
        return -0.5 * tf.reduce_sum(params["x"] ** 2)


def test_a_prior_that_takes_numbers_alone_is_drawn_from_one_by_one():
    z = Prior(FlatTarget(Whole())).sample(50, random.key(1)).numpy()
    assert z.shape == (50, 2)
    assert np.unique(z).size == 100


# -- modes -----------------------------------------------------------------------------------


def two_modes(x):
    parts = [0.3 * tfd.Normal(tf.constant(-5.0, tf.float64), 0.5).prob(x)]
    parts.append(0.7 * tfd.Normal(tf.constant(5.0, tf.float64), 0.5).prob(x))
    return tf.math.log(parts[0] + parts[1] + 1e-300)


@pytest.mark.slow
def test_both_modes_have_their_weight_where_a_chain_stays_in_one():
    target = tfbdl.LogDensity(two_modes, {"x": ()}, dtype="float64")
    fit = smc(target, particles=2_000, start_scale=4.0)
    share = (fit.posterior.draws["x"] > 0.0).mean()
    assert share == pytest.approx(0.7, abs=0.06)  # five standard deviations over seeds
    assert fit.metrics["log_evidence"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.slow
def test_a_chain_stays_in_one_of_the_modes():
    target = tfbdl.LogDensity(two_modes, {"x": ()}, dtype="float64")
    options = {"chains": 1, "warmup": 500, "draws": 2_000}
    fit = tfbdl.fit(target, None, engine="nuts", engine_options=options, seed=1)
    assert (fit.posterior.draws["x"] > 0.0).mean() in (0.0, 1.0)


# -- runs ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    model = tfbdl.LogDensity(two_modes, {"x": ()}, dtype="float64")
    options = {"particles": 50, "moves": 1, "kernel": "random_walk", "checkpoint_seconds": 0.0}
    whole = smc(model, **options)
    total = 2 * int(whole.metrics["stages"])  # of both runs
    assert total > 4
    folder = tmp_path / "run"

    def cancel(metrics):
        if metrics["step"] == total - 1:
            raise errors.RunCancelled("enough")

    with pytest.raises(errors.RunCancelled):
        tfbdl.fit(
            model, None, engine="smc", engine_options=options, seed=1, out=folder, on_step=cancel
        )
    steps = []
    rest = tfbdl.resume(folder, model=model, on_step=lambda m: steps.append(m["step"]))
    assert min(steps) == total
    np.testing.assert_array_equal(rest.posterior.draws["x"], whole.posterior.draws["x"])
    assert rest.metrics["log_evidence"] == whole.metrics["log_evidence"]
    assert rest.history["temperature"] == whole.history["temperature"]


def test_what_cannot_be_is_refused():
    with pytest.raises(errors.ModelError, match=r"no prior apart from.*start='normal'"):
        smc(cases.regression(), start="prior")
    never = tfbdl.LogDensity(
        lambda x: tf.where(tf.abs(x) < 1e-9, x, np.nan), {"x": ()}, initial={"x": 0.0}
    )
    with pytest.raises(errors.ModelError, match=r"below infinity at each particle.*Received: nan"):
        smc(never)
    with pytest.raises(errors.OptionsError, match="share must be between 0 and 1"):
        sampler_of(cases.regression(), share=1.0)
    with pytest.raises(errors.OptionsError, match=r"Did you mean 'random_walk'"):
        sampler_of(cases.regression(), kernel="random_walks")
    with pytest.raises(errors.OptionsError, match="n must be"):
        sampler_of(cases.regression()).run(1)


# -- calibration -----------------------------------------------------------------------------


class Compiled:
    """The engine with one compiled sampler for all data sets, which are a variable of it."""

    def __init__(self, options):
        self.engine, self.sampler = Smc(options), None

    def fit(self, model, data, context):
        if self.sampler is None:
            self.data = tf.Variable(model.data)
            self.target = FlatTarget(model.model.given(self.data))
            self.sampler = self.engine._sampler(self.target, 0)
        self.data.assign(model.data)
        course = self.engine._ended(self.sampler, context)
        draws = self.target.constrain(course.particles.z)
        return EngineResult(
            posterior=Posterior({name: value.numpy()[np.newaxis] for name, value in draws.items()})
        )


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["hmc", "random_walk"])
def test_smc_is_calibrated(kernel):
    engine = Compiled(
        SmcOptions(particles=400, kernel=kernel, moves=10, start_scale=2.0, unbiased=False)
    )
    assert testing.check_calibration(hierarchical(), engine, seed=1).uniform()
