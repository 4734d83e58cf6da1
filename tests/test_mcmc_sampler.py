"""The driver of samplers: chunks, reports, checkpoints, stops and more draws."""

import numpy as np
import pytest
import tensorflow as tf
from gaussian_targets import gaussian

from tfbdl import errors, random
from tfbdl.inference import driver
from tfbdl.inference.mcmc import Length, Lockstep, lockstep, sample, sampler, transitions
from tfbdl.protocols import Context


class Values:
    """States as they are, under one name."""

    def constrain(self, z):
        return {"x": z}


class Store:
    """Checkpoints in memory: what ``protocols.Checkpoints`` asks for."""

    def __init__(self):
        self.saved = []

    def save(self, step, arrays, notes):
        self.saved.append((step, {n: np.array(v) for n, v in arrays.items()}, dict(notes)))

    def restore(self):
        return self.saved[-1] if self.saved else None


LENGTH = Length(chains=2, warmup=25, draws=40)
START = tf.constant([[1.0, 2.0], [-3.0, 0.5]], tf.float64)


@pytest.fixture(scope="module")
def kernel():
    return Lockstep(gaussian(np.zeros(2), np.eye(2)), transitions.mala, warmup=25)


@pytest.fixture
def small_chunks(monkeypatch):
    """Ten iterations between reports, however fast the machine is."""
    monkeypatch.setattr(sampler, "FIRST_CHUNK", 10)
    monkeypatch.setattr(driver.Pace, "took", lambda self, steps, seconds: None)


def run(kernel, length=LENGTH, **context):
    return sample(
        kernel, Values(), lockstep.STATS, length, Context(seed=3, **context),
        start=START, checkpoint_seconds=0.0,
    )  # fmt: skip


def assert_same(one, other):
    np.testing.assert_array_equal(one.posterior.draws["x"], other.posterior.draws["x"])
    for name, value in one.posterior.sample_stats.items():
        np.testing.assert_array_equal(value, other.posterior.sample_stats[name])


def stop_at(step, error=errors.RunCancelled):
    def on_step(metrics):
        if metrics["step"] >= step:
            raise error("enough")

    return on_step


def test_a_result_has_draws_and_figures_by_chain(kernel):
    result = run(kernel)
    assert result.posterior.draws["x"].shape == (2, 40, 2)
    stats = result.posterior.sample_stats
    assert set(stats) == {"lp", "n_steps", "acceptance_rate", "step_size"}
    assert {value.shape for value in stats.values()} == {(2, 40)}
    assert stats["n_steps"].dtype == int
    draws = result.posterior.draws["x"]
    np.testing.assert_allclose(stats["lp"], -0.5 * (draws**2).sum(-1), rtol=1e-12)
    assert set(result.metrics) == {"acceptance_rate", "r_hat_max", "ess_bulk_min"}


def test_reports_count_iterations_and_know_the_last(kernel, small_chunks):
    reports = []
    run(kernel, on_step=lambda metrics: reports.append(dict(metrics)))
    assert [report["step"] for report in reports] == [10, 20, 30, 40, 50, 60, 65]
    assert {report["steps"] for report in reports} == {65}
    assert "acceptance_rate" not in reports[1]  # warm-up
    assert 0 < reports[2]["acceptance_rate"] <= 1


def test_draws_do_not_depend_on_the_chunks(kernel, small_chunks, monkeypatch):
    cut = run(kernel)
    monkeypatch.undo()
    assert_same(cut, run(kernel))


@pytest.mark.parametrize("step", [1, 20, 60])
@pytest.mark.parametrize("error", [errors.RunCancelled, KeyboardInterrupt])
def test_a_stopped_run_goes_on_to_the_same_bits(kernel, small_chunks, step, error):
    store = Store()
    with pytest.raises(error):
        run(kernel, checkpoints=store, on_step=stop_at(step, error))
    steps = [saved[0] for saved in store.saved]
    assert steps[0] == 0
    assert (steps[-1] >= step) == (error is errors.RunCancelled)  # a cancel stores first
    assert_same(run(kernel, checkpoints=store), run(kernel))


def test_a_run_stores_its_start_and_its_end(kernel):
    store = Store()
    result = sample(
        kernel, Values(), lockstep.STATS, LENGTH, Context(seed=3, checkpoints=store),
        start=START, checkpoint_seconds=3600.0,
    )  # fmt: skip
    assert [saved[0] for saved in store.saved] == [0, 65]
    assert_same(run(kernel, checkpoints=store), result)  # a done run is read


def test_more_draws_are_those_of_one_longer_run(kernel):
    store, longer = Store(), Length(chains=2, warmup=25, draws=100)
    first = run(kernel, checkpoints=store)
    extended = run(kernel, longer, checkpoints=store)
    assert_same(extended, run(kernel, longer))
    np.testing.assert_array_equal(extended.posterior.draws["x"][:, :40], first.posterior.draws["x"])


def test_a_checkpoint_of_another_model_is_refused(kernel):
    store = Store()
    run(kernel, checkpoints=store)
    other = Length(chains=2, warmup=25, draws=40)
    three = Lockstep(gaussian(np.zeros(3), np.eye(3)), transitions.mala, warmup=25)
    with pytest.raises(errors.CheckpointError, match="of another sampler or model"):
        sample(
            three, Values(), lockstep.STATS, other, Context(seed=3, checkpoints=store),
            start=tf.ones((2, 3), tf.float64),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "slope", "message"),
    [
        (-np.inf, 0.0, "The log density is not finite where the chains would begin.*-inf"),
        (np.nan, 0.0, "The log density is not finite"),
        (0.0, np.nan, "The gradient is not finite where the chains would begin"),
    ],
)
def test_a_start_without_a_density_is_refused(value, slope, message):
    def broken(z):
        return tf.fill(z.shape[:1], tf.cast(value, z.dtype)), z * tf.cast(slope, z.dtype)

    with pytest.raises(errors.ModelError, match=message):
        run(Lockstep(broken, transitions.mala, warmup=0))


def test_the_shortest_run_is_one_draw():
    kernel = Lockstep(gaussian(np.zeros(2), np.eye(2)), transitions.random_walk, warmup=0)
    length = Length(chains=1, warmup=0, draws=1)
    result = sample(kernel, Values(), lockstep.STATS, length, Context(seed=1), start=START[:1])
    assert result.posterior.draws["x"].shape == (1, 1, 2)
    assert set(result.metrics) == {"acceptance_rate"}  # too few draws for the others


def test_a_density_that_xla_cannot_compile_is_refused():
    def foreign(z):
        value = tf.numpy_function(lambda x: -0.5 * (x**2).sum(-1), [z], z.dtype)
        return tf.ensure_shape(value, z.shape[:1]), tf.zeros_like(z)

    with pytest.raises(errors.ModelError, match=r"compiled by XLA.*'\w*PyFunc'"):
        run(Lockstep(foreign, transitions.random_walk, warmup=0))


def test_chains_that_stand_still_have_no_r_hat():
    def point_mass(z):
        here = tf.reduce_all(z == START, -1)
        return tf.where(here, tf.zeros((), z.dtype), tf.cast(-np.inf, z.dtype)), tf.zeros_like(z)

    result = run(Lockstep(point_mass, transitions.random_walk, warmup=25, step_size=1.0))
    assert result.metrics["acceptance_rate"] == 0.0
    assert "r_hat_max" not in result.metrics
    assert result.metrics["ess_bulk_min"] < 5


def test_live_diagnostics_take_the_worst_of_all_sites():
    rng = np.random.default_rng(0)
    good, apart = rng.normal(size=(4, 200, 3)), rng.normal(size=(4, 200))
    apart[0] += 5.0
    live = sampler.live_diagnostics({"good": good, "apart": apart})
    assert live["r_hat"] > 1.5
    assert live["ess_bulk"] < 20
    assert sampler.live_diagnostics({"good": good})["r_hat"] < 1.05


def test_live_diagnostics_leave_out_what_is_constant_by_structure():
    rng = np.random.default_rng(0)
    factor, mean = rng.normal(size=(4, 200, 2, 2)), rng.normal(size=(4, 200))
    whole = sampler.live_diagnostics({"L": factor[..., 1, :], "m": mean})
    factor[..., 0, 0], factor[..., 0, 1] = 1.0, 0.0
    sites = {"L": factor, "m": mean, "simplex": np.ones((4, 200, 1))}
    assert sampler.live_diagnostics(sites) == whole
    assert set(whole) == {"r_hat", "ess_bulk"}
    assert sampler.live_diagnostics({"simplex": sites["simplex"]}) == {}
    mean[1, 3] = np.nan
    assert sampler.live_diagnostics(sites) == {}  # no figure hides draws that are not finite


def test_seeds_give_streams_of_their_own(kernel):
    keys = random.split(random.key(4, "mcmc"), 2)
    assert not np.array_equal(keys[0], keys[1])
    result = sample(kernel, Values(), lockstep.STATS, LENGTH, Context(seed=4), start=START)
    assert not np.array_equal(result.posterior.draws["x"], run(kernel).posterior.draws["x"])
