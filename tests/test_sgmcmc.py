"""Stochastic-gradient MCMC engines: schedules, resuming, what they learn and refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import Line, correlated_gaussian, linear_data
from tfbdl_engines.sgmcmc import Sghmc, Sgld, stochastic_density
from tfbdl_engines.sgmcmc_config import SghmcOptions, SgldOptions

import tfbdl
from tfbdl import errors
from tfbdl.checkpoints import CheckpointStore
from tfbdl.data import as_dataset
from tfbdl.inference import driver, sgmcmc
from tfbdl.inference.sgmcmc import sampler
from tfbdl.protocols import Context

tfb = tfp.bijectors
tfd = tfp.distributions
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
        chains=2, warmup=5, draws=6, thin=2, cycles=3, schedule="cyclical", step_size=0.1
    )
    context = Context(seed=1, on_step=lambda metrics: seen.append(dict(metrics)))
    result = Sgld(options).fit(correlated_gaussian(), None, context)
    # three cycles of 20 steps; the last 4 of each sample, every second is kept
    at = np.array([17, 19, 37, 39, 57, 59]) % 20
    expected = 0.05 * (1 + np.cos(np.pi * at / 20))
    np.testing.assert_allclose(result.posterior.sample_stats["step_size"][0], expected, rtol=1e-9)
    assert (seen[-1]["step"], seen[-1]["steps"]) == (65, 65)


# -- runs ------------------------------------------------------------------------------------

WHOLE = {  # an option of everything that has a state
    "chains": 2,
    "warm_start": 90,
    "warmup": 40,
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


@pytest.mark.slow
def test_same_seed_gives_the_same_bits_in_chunks_of_any_size(monkeypatch, uninterrupted):
    monkeypatch.setattr(sampler, "FIRST_CHUNK", 7)
    monkeypatch.setattr(driver, "CHUNK_SECONDS", 0.0)
    steps = []
    again = fit_linear(on_step=lambda metrics: steps.append(metrics["step"]))
    assert_equal(uninterrupted, again)
    assert len(steps) > 20


def test_another_seed_gives_other_draws(uninterrupted):
    other = fit_linear(seed=5, warm_start=0)
    assert not np.isclose(uninterrupted.draws["w"], other.draws["w"], rtol=1e-7).any()


@pytest.mark.slow
def test_run_cancelled_time_and_again_resumes_to_the_same_bits(
    tmp_path, monkeypatch, uninterrupted
):
    monkeypatch.setattr(sampler, "FIRST_CHUNK", 23)
    monkeypatch.setattr(driver, "CHUNK_SECONDS", 0.0)
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
        warmup=500,
        draws=500,
        thin=10,
        step_size=2e-4,
        batch_size=16,
        friction=0.1,
    ).draws["w"]
    assert found.mean() == pytest.approx(np.sum(x[:, 0] * y) / precision, abs=0.02)
    assert found.std() == pytest.approx(precision**-0.5, rel=0.08)


@pytest.mark.slow
def test_network_learns_a_sinusoid_from_minibatches():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (200, 1)).astype("float32")
    y = (np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=200)).astype("float32")
    layers = [keras.Input((1,)), keras.layers.Dense(20, "tanh"), keras.layers.Dense(1)]
    model = tfbdl.BayesianNetwork(keras.Sequential(layers), "gaussian")
    options = SghmcOptions(chains=2, warm_start=1000, warmup=500, draws=60, thin=10, batch_size=50)
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
        Sgld(options).fit(correlated_gaussian(), None, Context())


def test_too_large_a_step_is_named():
    options = SgldOptions(step_size=1e6, draws=2000)
    with pytest.raises(errors.RunError, match="Lower step_size"):
        Sgld(options).fit(correlated_gaussian(), None, Context())


def test_noise_estimate_must_be_below_friction():
    options = SghmcOptions(friction=0.1, noise_estimate=0.1)
    with pytest.raises(errors.OptionsError, match="below friction"):
        Sghmc(options).fit(correlated_gaussian(), None, Context())


def test_a_stream_that_ends_is_gathered():
    x, y = linear_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    density = stochastic_density(Line(), as_dataset(stream), 8)
    for found, expected in zip(density.data, (x, y), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_number_of_rows_that_a_model_was_given_counts():
    layers = [keras.Input((1,)), keras.layers.Dense(1)]
    told = tfbdl.BayesianNetwork(keras.Sequential(layers), "gaussian", num_data=1000)
    counted = tfbdl.BayesianNetwork(keras.Sequential(layers), "gaussian")
    for model, expected in ((told, 1000), (counted, 60)):
        stochastic_density(model, as_dataset(linear_data()), 8)
        assert model.num_data == expected
    line = Line()
    stochastic_density(line, as_dataset(linear_data()), 8)
    assert "num_data" not in vars(line)


def test_warmup_is_the_word_for_steps_that_are_not_kept():
    made = tfbdl.plan(correlated_gaussian(), engine="sgld", engine_options={"warmup": 7})
    assert (made.engine_options.warmup, made.engine_options.chains) == (7, 4)
    with pytest.raises(errors.OptionsError, match=r"no 'burn_in'.*warmup"):
        tfbdl.plan(correlated_gaussian(), engine="sgld", engine_options={"burn_in": 7})


def test_endless_streams_and_weighted_rows_are_refused():
    x, y = linear_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(10).repeat()
    with pytest.raises(errors.DataError, match="endless stream"):
        stochastic_density(Line(), as_dataset(stream, num_rows=60), 8)
    uneven = as_dataset({"a": x, "b": x[:20]})
    with pytest.raises(errors.DataError, match=r"parts of one length.*\[20, 60\]"):
        stochastic_density(Line(), uneven, 8)
    weighted = as_dataset((x, y, np.ones(60, "float32")))
    with pytest.raises(errors.DataError, match="sample_weight"):
        stochastic_density(Line(), weighted, 8)
