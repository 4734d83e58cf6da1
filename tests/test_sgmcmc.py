"""Stochastic-gradient MCMC: kernels against closed forms, minibatches, schedules, resuming."""

import math

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import LinearModel, linear_data
from tfbdl_engines.sgmcmc import Psgld, Sghmc, Sgld, stochastic_density
from tfbdl_engines.sgmcmc_config import PsgldOptions, SghmcOptions, SgldOptions

import tfbdl
from tfbdl import errors, random
from tfbdl.checkpoints import CheckpointStore
from tfbdl.data import as_dataset
from tfbdl.inference import sgmcmc
from tfbdl.inference.sgmcmc import kernels, sampler
from tfbdl.protocols import Context

tfb = tfp.bijectors
tfd = tfp.distributions

SIGMA = np.array([[1.0, 0.9], [0.9, 2.0]])
PRECISION = np.linalg.inv(SIGMA)


class Line(LinearModel):
    """Begins near zero whatever the seed."""

    def init(self, seed):
        return {"w": tf.constant(0.1 * (seed % 10))}


def gaussian():
    def fn(x):
        return -0.5 * tf.reduce_sum(x * tf.linalg.matvec(tf.constant(PRECISION, x.dtype), x))

    return tfbdl.LogDensity(fn, shapes={"x": (2,)}, dtype="float64")


def covariance(engine, seed=1):
    """Of 64 chains of 3,000 draws: about 1 % where draws are nearly independent."""
    result = engine.fit(gaussian(), None, Context(seed=seed))
    draws = result.posterior.draws["x"]
    assert draws.shape == (64, 3000, 2)
    return np.cov(draws.reshape(-1, 2).T)


def sgld_engine(**options):
    given = {"chains": 64, "burn_in": 300, "draws": 3000, "thin": 4, "step_size": 0.5}
    return Sgld(SgldOptions(**{**given, **options}))


def sghmc_engine(**options):
    given = {"chains": 64, "burn_in": 500, "draws": 3000, "thin": 8, "step_size": 0.05}
    return Sghmc(SghmcOptions(**{**given, "friction": 0.2, **options}))


def lyapunov_sgld(step):
    """x' = (I - eps/2 P) x + N(0, eps)."""
    return scipy.linalg.solve_discrete_lyapunov(
        np.eye(2) - 0.5 * step * PRECISION, step * np.eye(2)
    )


def lyapunov_sghmc(step, friction):
    """v' = (1 - a) v - eta P x + N(0, 2 a eta), x' = x + v', of the joint state (x, v)."""
    eye = np.eye(2)
    row = np.hstack([-step * PRECISION, (1 - friction) * eye])
    A = np.vstack([np.hstack([eye, np.zeros((2, 2))]) + row, row])
    Q = 2 * friction * step * np.kron(np.ones((2, 2)), eye)
    return scipy.linalg.solve_discrete_lyapunov(A, Q)


# -- kernels: truth --------------------------------------------------------------------------


def test_sgld_has_the_stationary_covariance_of_its_own_discretisation():
    expected = lyapunov_sgld(0.5)
    np.testing.assert_allclose(expected, [[1.1603, 0.8831], [0.8831, 2.1415]], atol=1e-4)
    np.testing.assert_allclose(covariance(sgld_engine()), expected, rtol=0.03)


def test_sghmc_has_the_stationary_covariance_of_its_own_discretisation():
    expected = lyapunov_sghmc(0.05, 0.2)[:2, :2]
    np.testing.assert_allclose(expected, [[1.0142, 0.8998], [0.8998, 2.0141]], atol=1e-4)
    np.testing.assert_allclose(covariance(sghmc_engine()), expected, rtol=0.03)


def test_temperature_multiplies_the_covariance():
    found = covariance(sgld_engine(temperature=0.25))
    np.testing.assert_allclose(found, 0.25 * lyapunov_sgld(0.5), rtol=0.03)


def test_without_noise_the_covariance_collapses():
    """The negative control: what is left is an ascent to the one mode."""
    assert np.abs(covariance(sghmc_engine(temperature=0.0, burn_in=2000, thin=1))).max() < 1e-6


def test_sghmc_velocity_has_the_variance_of_its_own_discretisation():
    key, chains = random.key(3), 4000
    expected = lyapunov_sghmc(0.05, 0.2)[2:, 2:]

    @tf.function(jit_compile=True)
    def run():
        def body(i, x, v):
            gradient = -tf.linalg.matvec(tf.constant(PRECISION), x)
            noise = kernels.noise_like([x], key, i)
            (x,), (v,) = kernels.sghmc([x], [v], [gradient], noise, 0.05, 0.2)
            return i + 1, x, v

        zeros = tf.zeros((chains, 2), "float64")
        return tf.while_loop(lambda i, *_: i < 400, body, (0, zeros, zeros))[2]

    # the standard error of a variance from 4,000 chains is 2.2 %, of the small covariance 2.2 %
    # of the variance
    np.testing.assert_allclose(np.cov(run().numpy().T), expected, atol=0.1 * expected[0, 0])


def test_sghmc_lowers_its_noise_by_what_the_gradient_brings():
    one = [tf.ones((1,), "float64")]
    zero = [tf.zeros((1,), "float64")]
    whole = kernels.sghmc(zero, zero, zero, one, 0.02, 0.5)[1][0]
    less = kernels.sghmc(zero, zero, zero, one, 0.02, 0.5, noise_estimate=0.3)[1][0]
    np.testing.assert_allclose(whole, [math.sqrt(2 * 0.5 * 0.02)], rtol=1e-12)
    np.testing.assert_allclose(less, [math.sqrt(2 * 0.2 * 0.02)], rtol=1e-12)


def psgld_moment(variances, *, correction, decay, damping, step, steps, moment):
    """The mean square over 4,000 chains and the last half of ``steps``, on N(0, variances)."""
    key, dims = random.key(5), len(variances)
    precision = tf.constant(1.0 / np.asarray(variances), "float64")
    shape = {"decay": decay, "damping": damping}

    @tf.function(jit_compile=True)
    def run():
        def body(i, x, v, total):
            gradient, curvature = -precision * x, -precision * tf.ones_like(x)
            gamma = None
            if correction:
                gamma = kernels.psgld_correction([v], [gradient], [curvature], **shape)
            noise = kernels.noise_like([x], key, i)
            (x,), (v,) = kernels.psgld([x], [v], [gradient], noise, step, correction=gamma, **shape)
            late = tf.cast(2 * i >= steps, x.dtype)
            return i + 1, x, v, total + late * tf.reduce_mean(x**2, 0)

        start = random.normal((4000, dims), key, "float64") * np.sqrt(variances)
        moments = tf.fill((4000, dims), tf.constant(moment, "float64"))
        zero = tf.zeros((dims,), "float64")
        return tf.while_loop(lambda i, *_: i < steps, body, (0, start, moments, zero))[3]

    return run().numpy() / (steps - steps // 2)


def test_psgld_with_a_slow_preconditioner_has_the_variance_of_its_discretisation():
    """A second moment that hardly moves is a fixed preconditioner G = 1 / sqrt(v).

    With x' = (1 - eps G / (2 s)) x + N(0, eps G) the variance is s / (1 - eps G / (4 s)).
    """
    variances, step, v = np.array([0.5, 2.0]), 0.2, 0.25
    found = psgld_moment(
        variances, correction=False, decay=0.9999999, damping=1e-12, step=step, steps=1500, moment=v
    )
    scale = 1.0 / math.sqrt(v)
    np.testing.assert_allclose(found, variances / (1 - step * scale / (4 * variances)), rtol=0.03)


def test_psgld_needs_its_correction_where_the_preconditioner_follows_the_state():
    """With decay 0, G = 1 / (1 + |x|): uncorrected the density is p / G, corrected it is p.

    For N(0, 1) the mean square under p (1 + |x|) is (1 + 2 m) / (1 + m) with m = sqrt(2 / pi).
    """
    m = math.sqrt(2.0 / math.pi)
    options = {"decay": 0.0, "damping": 1.0, "step": 0.02, "steps": 3000, "moment": 0.0}
    found = [psgld_moment([1.0], correction=c, **options)[0] for c in (False, True)]
    np.testing.assert_allclose(found, [(1 + 2 * m) / (1 + m), 1.0], rtol=0.03)


def test_psgld_engine_samples_the_gaussian_with_small_steps():
    engine = Psgld(
        PsgldOptions(chains=64, burn_in=20_000, draws=3000, thin=10, step_size=0.05, decay=0.9999)
    )
    # 3 % of discretisation, about as much of noise
    np.testing.assert_allclose(covariance(engine), SIGMA, rtol=0.08)


def test_psgld_scales_its_second_moment_to_one_datum():
    params, moment = [tf.zeros((1,), "float64")], [tf.constant([0.04], "float64")]
    gradient, noise = [tf.constant([30.0], "float64")], [tf.constant([0.5], "float64")]
    shape = {"decay": 0.9, "damping": 0.1, "num_data": 100.0}
    moved, second = kernels.psgld(params, moment, gradient, noise, 0.02, **shape)
    v = 0.9 * 0.04 + 0.1 * 0.3**2
    scale = 1.0 / (0.1 + math.sqrt(v))
    np.testing.assert_allclose(second[0], [v], rtol=1e-12)
    expected = 0.01 * scale * 30.0 + math.sqrt(0.02 * scale) * 0.5
    np.testing.assert_allclose(moved[0], [expected], rtol=1e-12)
    gamma = kernels.psgld_correction(moment, gradient, [tf.constant([-7.0], "float64")], **shape)
    h = 1e-6  # G as a function of the newest gradient alone, whose slope is -7 per unit of theta

    def of(g):
        return 1.0 / (0.1 + math.sqrt(0.9 * 0.04 + 0.1 * (g / 100.0) ** 2))

    slope = (of(30.0 + h) - of(30.0 - h)) / (2 * h)
    np.testing.assert_allclose(gamma[0], [-7.0 * slope], rtol=1e-6)


def test_noise_depends_on_key_name_and_step_alone():
    a, b = tf.zeros((3, 4)), tf.zeros((3, 2))
    keys = random.split(random.key(1), 3)
    first = kernels.noise_like({"a": a, "b": b}, keys, 7)
    again = kernels.noise_like({"b": b}, keys, tf.constant(7, tf.int64))
    np.testing.assert_array_equal(first["b"], again["b"])
    later = kernels.noise_like({"b": b}, keys, 8)
    assert not np.isclose(first["b"], later["b"]).any()
    assert not np.isclose(first["a"][0, :2], first["b"][0]).any()
    weights = kernels.noise_like([a, a], keys[0], 7)  # a net's weights: no chains, by position
    assert weights[0].shape == (3, 4)
    assert not np.isclose(weights[0], weights[1]).any()


# -- schedules -------------------------------------------------------------------------------


def test_cyclical_schedule_follows_the_papers_formula():
    schedule = sgmcmc.Cyclical(step_size=0.3, exploration=0.8)
    length, sampling = schedule.cycle(10)
    assert (length, sampling) == (50, 10)
    steps = np.arange(120, dtype="int32")
    size, samples = schedule(tf.constant(steps), tf.constant([length, sampling]))
    r = (steps % 50) / 50  # k - 1 = t
    np.testing.assert_allclose(size, 0.15 * (np.cos(np.pi * r) + 1.0), rtol=1e-12)
    np.testing.assert_array_equal(samples, r >= 0.8)


def test_polynomial_schedule_is_welling_and_tehs():
    steps = np.arange(0, 5000, 700)
    a, b, gamma = 0.7, 200.0, 0.55
    schedule = sgmcmc.Polynomial(step_size=a * b**-gamma, offset=b, power=gamma)
    size, samples = schedule(tf.constant(steps), tf.constant([1, 1]))
    np.testing.assert_allclose(size, a * (b + steps) ** -gamma, rtol=1e-12)
    assert bool(samples)


def test_cyclical_run_keeps_draws_at_the_ends_of_cycles():
    seen = []
    options = SgldOptions(
        chains=2, burn_in=5, draws=6, thin=2, cycles=3, schedule="cyclical", step_size=0.1
    )
    context = Context(seed=1, on_step=lambda metrics: seen.append(dict(metrics)))
    result = Sgld(options).fit(gaussian(), None, context)
    # three cycles of 20 steps; the last 4 of each sample, every second is kept
    at = np.array([17, 19, 37, 39, 57, 59]) % 20
    expected = 0.05 * (1 + np.cos(np.pi * at / 20))
    np.testing.assert_allclose(result.posterior.sample_stats["step_size"][0], expected, rtol=1e-9)
    assert (seen[-1]["step"], seen[-1]["steps"]) == (65, 65)


# -- gradients -------------------------------------------------------------------------------


def linear_density(**options):
    rows = tuple(tf.constant(part) for part in linear_data())
    return sgmcmc.StochasticDensity(Line(), rows, **options)


def test_minibatch_gradient_is_unbiased():
    density = linear_density(batch_size=1)
    states = {"w": tf.fill((60,), 0.7)}
    each = density.estimate(states, tf.range(60)[:, tf.newaxis])  # a row to each chain
    whole = density.full_gradient({"w": tf.constant([0.7])})["w"]
    x, y = (part.astype("float64") for part in linear_data())
    truth = np.sum(x[:, 0] * (y - 0.7 * x[:, 0])) - 0.7
    np.testing.assert_allclose(np.mean(each.gradient["w"]), truth, rtol=1e-5)
    np.testing.assert_allclose(whole, [truth], rtol=1e-5)


def test_full_gradient_in_blocks_is_the_gradient_of_all_rows(monkeypatch):
    monkeypatch.setattr(sgmcmc.density, "BLOCK", 25)  # 25, 25 and 10 rows
    density = linear_density(batch_size=8)
    x, y = (part.astype("float64") for part in linear_data())
    for w, found in zip(
        [0.7, -2.0], density.full_gradient({"w": tf.constant([0.7, -2.0])})["w"], strict=True
    ):
        truth = np.sum(x[:, 0] * (y - w * x[:, 0])) - w
        assert float(found) == pytest.approx(truth, rel=1e-5)


def test_minibatches_are_uniform_and_differ_by_chain_and_step():
    density = linear_density(batch_size=20)
    keys = random.split(random.key(2), 3)
    rows = np.stack([density.rows(keys, tf.constant(step)) for step in range(200)])
    assert rows.shape == (200, 3, 20)
    counts = np.bincount(rows.ravel(), minlength=60)
    assert counts.size == 60
    chi_square = np.sum((counts - 200.0) ** 2 / 200.0)  # 59 degrees of freedom: sd 10.9
    assert 25 < chi_square < 105
    assert not np.array_equal(rows[0, 0], rows[0, 1])
    assert not np.array_equal(rows[0, 0], rows[1, 0])


def test_control_variate_is_unbiased_and_lowers_the_variance_near_the_mode():
    density = linear_density(batch_size=1)
    x, y = (part.astype("float64") for part in linear_data())
    mode = np.sum(x[:, 0] * y) / (np.sum(x[:, 0] ** 2) + 1.0)
    near = mode + 1.0 / np.sqrt(np.sum(x[:, 0] ** 2) + 1.0)  # a posterior deviation away
    states, anchor = ({"w": tf.fill((60,), tf.constant(v, "float32"))} for v in (near, mode))
    rows = tf.range(60)[:, tf.newaxis]
    plain = density.estimate(states, rows).gradient["w"].numpy()
    controlled = density.controlled(states, rows, anchor, density.full_gradient(anchor))
    gradient = controlled.gradient["w"].numpy()
    np.testing.assert_allclose(gradient.mean(), plain.mean(), rtol=1e-3, atol=1e-3)
    # of row i: N x_i (y_i - w x_i) - w; the control variate leaves N x_i^2 (mode - w)
    expected = np.var(60 * x[:, 0] ** 2 * (mode - near)) / np.var(
        60 * x[:, 0] * (y - near * x[:, 0])
    )
    assert gradient.var() / plain.var() == pytest.approx(expected, rel=1e-3)
    assert gradient.var() / plain.var() < 0.1


def test_curvature_is_the_diagonal_of_the_hessian_in_the_mean_over_signs():
    density = sgmcmc.StochasticDensity(gaussian())
    states = {"x": tf.constant([[0.3, -1.0]] * 4, "float64")}
    probes = {"x": tf.constant([[1, 1], [1, -1], [-1, 1], [-1, -1]], "float64")}
    curvature = density.estimate(states, None, probes).curvature["x"]
    np.testing.assert_allclose(np.mean(curvature, 0), -np.diag(PRECISION), rtol=1e-9)


def test_chains_one_by_one_have_the_gradients_of_chains_at_once():
    states = {"w": tf.constant([0.1, -0.4, 2.0])}
    rows = tf.constant([[0, 5], [7, 7], [59, 1]])
    both = [
        tf.function(linear_density(batch_size=2, vectorize=v).estimate, jit_compile=True)(
            states, rows
        )
        for v in (True, False)
    ]
    np.testing.assert_allclose(both[0].gradient["w"], both[1].gradient["w"], rtol=1e-6)
    np.testing.assert_allclose(both[0].log_joint, both[1].log_joint, rtol=1e-6)


def test_constrained_site_is_sampled_with_its_jacobian():
    target = tfbdl.LogDensity(
        lambda tau: tfd.Gamma(tf.constant(4.0, "float64"), 2.0).log_prob(tau),
        shapes={"tau": ()},
        bijectors={"tau": tfb.Exp()},
        dtype="float64",
    )
    options = SghmcOptions(chains=64, burn_in=500, draws=2000, thin=8, step_size=0.01, friction=0.1)
    draws = Sghmc(options).fit(target, None, Context(seed=2)).posterior.draws["tau"]
    assert draws.min() > 0.0
    # without the Jacobian the mean would be 3/2
    np.testing.assert_allclose([draws.mean(), draws.var()], [2.0, 1.0], rtol=0.04)


# -- runs ------------------------------------------------------------------------------------

WHOLE = {  # an option of everything that has a state
    "chains": 2,
    "warm_start": 90,
    "burn_in": 40,
    "draws": 40,
    "thin": 3,
    "batch_size": 16,
    "step_size": 1e-3,
    "schedule": "cyclical",
    "cycles": 4,
    "control_variate": "moving",
    "refresh": 70,
}


def fit_linear(seed=4, on_step=None, checkpoints=None, **options):
    engine = Sghmc(SghmcOptions(**{**WHOLE, **options}))
    context = Context(seed=seed, on_step=on_step, checkpoints=checkpoints)
    return engine.fit(Line(), as_dataset(linear_data()), context).posterior


@pytest.fixture(scope="module")
def uninterrupted():
    return fit_linear()


def assert_equal(one, other):
    np.testing.assert_array_equal(one.draws["w"], other.draws["w"])
    for name, value in one.sample_stats.items():
        np.testing.assert_array_equal(value, other.sample_stats[name])


def cancel_at(step):
    def on_step(metrics):
        if metrics["step"] >= step:
            raise errors.RunCancelled(f"at step {metrics['step']}")

    return on_step


def test_same_seed_gives_the_same_bits_in_chunks_of_any_size(monkeypatch, uninterrupted):
    monkeypatch.setattr(sampler, "FIRST_CHUNK", 7)
    monkeypatch.setattr(sampler, "CHUNK_SECONDS", 0.0)
    steps = []
    again = fit_linear(on_step=lambda metrics: steps.append(metrics["step"]))
    assert_equal(uninterrupted, again)
    assert len(steps) > 20


def test_another_seed_gives_other_draws(uninterrupted):
    other = fit_linear(seed=5, warm_start=0)
    assert not np.isclose(uninterrupted.draws["w"], other.draws["w"], rtol=1e-7).any()


def test_run_cancelled_time_and_again_resumes_to_the_same_bits(
    tmp_path, monkeypatch, uninterrupted
):
    monkeypatch.setattr(sampler, "FIRST_CHUNK", 23)
    monkeypatch.setattr(sampler, "CHUNK_SECONDS", 0.0)
    for step in (30, 200, 500):  # in the warm start, the first cycle, and among the draws
        store = CheckpointStore(tmp_path)
        with pytest.raises(errors.RunCancelled):
            fit_linear(on_step=cancel_at(step), checkpoints=store)
        assert step <= store.steps()[-1] < step + 60
    assert_equal(uninterrupted, fit_linear(checkpoints=CheckpointStore(tmp_path)))


def test_extended_run_equals_one_long_run(tmp_path, uninterrupted):
    store = CheckpointStore(tmp_path)
    fit_linear(draws=20, cycles=2, checkpoints=store)
    with pytest.raises(errors.CheckpointError, match="another sampler"):
        fit_linear(draws=20, cycles=2, chains=3, checkpoints=store)
    extended = fit_linear(draws=35, cycles=2, checkpoints=store)
    # cycles keep their length: 10 draws in each, as in 40 draws by 4 cycles
    assert extended.draws["w"].shape == (2, 35)
    np.testing.assert_array_equal(extended.draws["w"], uninterrupted.draws["w"][:, :35])


def test_minibatch_posterior_of_a_linear_model_is_near_the_exact_one():
    x, y = (part.astype("float64") for part in linear_data())
    precision = np.sum(x[:, 0] ** 2) + 1.0
    found = fit_linear(
        schedule="constant",
        control_variate="fixed",
        warm_start=300,
        chains=16,
        burn_in=500,
        draws=500,
        thin=10,
        step_size=2e-4,
        batch_size=16,
        friction=0.1,
    ).draws["w"]
    assert found.mean() == pytest.approx(np.sum(x[:, 0] * y) / precision, abs=0.02)
    assert found.std() == pytest.approx(precision**-0.5, rel=0.08)


def test_network_learns_a_sinusoid_from_minibatches():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (200, 1)).astype("float32")
    y = (np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=200)).astype("float32")
    layers = [keras.Input((1,)), keras.layers.Dense(20, "tanh"), keras.layers.Dense(1)]
    model = tfbdl.BayesianNetwork(keras.Sequential(layers), "gaussian")
    options = SghmcOptions(chains=2, warm_start=1000, burn_in=500, draws=60, thin=10, batch_size=50)
    posterior = Sghmc(options).fit(model, as_dataset((x, y)), Context(seed=3)).posterior
    assert posterior.draws["dense.kernel"].shape == (2, 60, 1, 20)
    grid = np.linspace(-1.9, 1.9, 50, dtype="float32")[:, np.newaxis]
    p = tfbdl.Predictive(model, posterior, grid, draws=120)
    rmse = np.sqrt(np.mean((np.ravel(p.mean) - np.sin(2 * grid[:, 0])) ** 2))
    assert 0.0 < rmse < 0.15  # the spread of sin(2 x) is 0.7, the noise 0.1
    assert 0.05 < np.sqrt(np.mean(p.aleatoric)) < 0.25
    assert np.all(np.asarray(p.epistemic) > 0.0)


# -- errors ----------------------------------------------------------------------------------


def test_draws_beyond_memory_are_refused_with_what_they_would_take():
    options = SgldOptions(chains=4, draws=10**9)
    with pytest.raises(errors.OptionsError, match=r"59\.6 GiB.*at most 4 GiB"):
        Sgld(options).fit(gaussian(), None, Context())


def test_too_large_a_step_is_named():
    options = SgldOptions(step_size=1e6, draws=2000)
    with pytest.raises(errors.RunError, match="Lower step_size"):
        Sgld(options).fit(gaussian(), None, Context())


def test_noise_estimate_must_be_below_friction():
    options = SghmcOptions(friction=0.1, noise_estimate=0.1)
    with pytest.raises(errors.OptionsError, match="below friction"):
        Sghmc(options).fit(gaussian(), None, Context())


def test_streams_and_weighted_rows_are_refused():
    x, y = linear_data()
    stream = as_dataset(tf.data.Dataset.from_tensor_slices((x, y)).batch(10))
    with pytest.raises(errors.DataError, match="a stream of batches"):
        stochastic_density(Line(), stream, 8)
    weighted = as_dataset((x, y, np.ones(60, "float32")))
    with pytest.raises(errors.DataError, match="sample_weight"):
        stochastic_density(Line(), weighted, 8)
