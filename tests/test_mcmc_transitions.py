"""The classic kernels: exact rules, and exact moments in long runs."""

import numpy as np
import pytest
import tensorflow as tf
from gaussian_targets import assert_moments, covariance, gaussian

from tfbdl import diagnostics, random
from tfbdl.inference.mcmc import Lockstep, adaptation, elliptical_slice, lockstep, transitions
from tfbdl.inference.mcmc.lockstep import with_room
from tfbdl.inference.mcmc.trees import Point, kinetic


def quartic(z):
    """An anharmonic oscillator in each dimension: log density -x^2/2 - x^4/4."""
    return tf.reduce_sum(-0.5 * z**2 - 0.25 * z**4, -1), -z - z**3


def trajectory(step, count, momentum, start):
    """(end, momentum) after so many leapfrog steps on the quartic, with a mass of unequal parts."""
    mass = adaptation.start_mass(1, 2, tf.float64, dense=False)
    mass = mass._replace(inverse=tf.constant([[1.0, 0.3]], tf.float64))
    log_prob, gradient = quartic(start)
    point = Point(start, gradient, log_prob)
    energy = kinetic(mass, momentum) - log_prob
    for _ in range(count):
        point, momentum = transitions.leapfrog(
            quartic, point, momentum, tf.constant([step], tf.float64), mass
        )
    error = kinetic(mass, momentum) - point.log_prob - energy
    return point.z, momentum, float(error[0])


START = tf.constant([[0.7, -1.1]], tf.float64)
MOMENTUM = tf.constant([[0.4, 1.3]], tf.float64)


def test_leapfrog_is_reversible():
    there, momentum, _ = trajectory(0.1, 100, MOMENTUM, START)
    assert np.abs(there - START).max() > 0.1
    back, momentum, _ = trajectory(0.1, 100, -momentum, there)
    np.testing.assert_allclose(back, START, atol=1e-10)
    np.testing.assert_allclose(-momentum, MOMENTUM, atol=1e-10)


def test_leapfrogs_energy_error_is_of_second_order():
    steps = 2.0 / np.array([40, 80, 160, 320])
    errors = [abs(trajectory(s, round(2.0 / s), MOMENTUM, START)[2]) for s in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.1)


def states(index, log_weights):
    values = tf.constant(index, tf.float64)[:, None]
    return Point(values, tf.zeros_like(values), tf.gather(log_weights, index))


def test_metropolis_keeps_a_three_state_chain_in_exact_detailed_balance():
    weights = np.array([0.2, 0.5, 0.3])
    proposal = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    log_weights = tf.constant(np.log(weights) + 7.0)  # unnormalised
    old, new = np.divmod(np.arange(9), 3)
    before, after = states(old, log_weights), states(new, log_weights)
    keys = random.split(random.key(0, "metropolis"), 9)
    _, accept = transitions.metropolis(keys, after.log_prob - before.log_prob, after, before)
    moves = proposal * np.reshape(accept, (3, 3))
    moves += np.diag(1.0 - moves.sum(1))
    np.testing.assert_allclose(weights @ moves, weights, rtol=1e-12)
    flow = weights[:, None] * moves
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)
    np.testing.assert_allclose(moves[1, 0], 0.5 * 0.2 / 0.5, rtol=1e-12)


def test_metropolis_accepts_as_often_as_it_says():
    count = 40_000
    change = np.tile(np.log([0.05, 0.5, 0.9, 3.0]), count // 4)
    old, new = (states(np.full(count, i), tf.zeros(2, tf.float64)) for i in (0, 1))
    keys = random.split(random.key(1, "metropolis"), count)
    moved, accept = transitions.metropolis(keys, tf.constant(change), new, old)
    share = np.reshape(moved.z, (-1, 4)).mean(0)
    expected = np.array([0.05, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(np.reshape(accept, (-1, 4))[0], expected, rtol=1e-12)
    assert np.all(np.abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / (count / 4)))


@pytest.mark.parametrize("change", [np.nan, np.inf, -np.inf])
def test_metropolis_never_moves_where_the_density_is_not_finite(change):
    old, new = (states(np.full(50, i), tf.zeros(2, tf.float64)) for i in (0, 1))
    keys = random.split(random.key(2, "metropolis"), 50)
    moved, accept = transitions.metropolis(keys, tf.fill([50], np.float64(change)), new, old)
    assert not np.any(moved.z)
    assert not np.any(accept)


def test_hmc_takes_one_to_twice_the_mean_number_of_steps():
    z = tf.zeros((2000, 1), tf.float64)
    target = gaussian(np.zeros(1), np.eye(1))
    log_prob, gradient = target(z)
    mass = adaptation.start_mass(2000, 1, tf.float64, dense=False)
    keys = random.split(random.key(0, "hmc"), 2000)
    scale = tf.fill([2000], tf.constant(0.1, tf.float64))
    steps = transitions.hmc(4)(target, keys, Point(z, gradient, log_prob), scale, mass)[2].numpy()
    counts = np.bincount(steps, minlength=9)
    assert counts[0] == counts[8] == 0
    assert np.all(np.abs(counts[1:8] - 2000 / 7) < 4 * np.sqrt(2000 / 7))


def run(target, transition, dim, *, warmup=300, draws=2000, chains=16, seed=0, **options):
    """Draws ``[chain, draw, D]`` of a kernel, from starts that are too wide."""
    kernel = Lockstep(target, transition, warmup=warmup, **options)
    keys = random.split(random.key(seed, "chains"), chains)
    start = 3.0 * random.normal((dim,), random.fold_in(keys, "start"), "float64")
    state = with_room(kernel.start(tf.abs(start), keys), draws)
    state = kernel.advance(state, keys, tf.constant(warmup + draws), tf.constant(10**6))
    return np.swapaxes(state.draws[:-1].numpy(), 0, 1), np.swapaxes(state.stats[:-1].numpy(), 0, 1)


KERNELS = {
    "hmc": (transitions.hmc(6), {"step_size": 0.35}),
    "mala": (transitions.mala, {"target_accept": 0.6}),
    "random_walk": (transitions.random_walk, {"target_accept": 0.3, "dense": True}),
    "slice": (transitions.slice_direction(), {"adapts_step": False, "initial_step": 2.0}),
}


@pytest.mark.parametrize("dim", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_leaves_a_correlated_gaussian_as_it_is(name, dim):
    transition, options = KERNELS[name]
    mean, cov = np.linspace(-1.0, 2.0, dim), covariance(dim, 0.4)
    if name == "random_walk":  # it moves least
        options = {**options, "warmup": 2000, "draws": 8000}
    draws, _ = run(gaussian(mean, cov), transition, dim, **options)
    assert_moments(draws, mean, cov)


@pytest.mark.parametrize("dim", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_elliptical_slices_reach_the_exact_posterior(dim):
    prior_mean, stddev = np.linspace(1.0, -1.0, dim), np.linspace(0.5, 2.0, dim)
    centre, noise = np.zeros(dim), covariance(dim, 0.4)
    transition = elliptical_slice(tf.constant(prior_mean), tf.constant(stddev))
    draws, _ = run(
        gaussian(centre, noise), transition, dim, draws=4000, adapts_step=False, adapts_mass=False
    )
    cov = np.linalg.inv(np.linalg.inv(noise) + np.diag(stddev**-2.0))
    assert_moments(draws, cov @ (prior_mean / stddev**2), cov)


@pytest.mark.parametrize("name", ["hmc", "mala"])
def test_energies_are_recorded_and_lost_ones_are_divergences(name):
    kernel, target = KERNELS[name][0], gaussian(np.zeros(10), np.eye(10))
    stats = lockstep.HAMILTONIAN_STATS
    _, found = run(target, kernel, 10, step_size=0.2, stats=stats, warmup=0, draws=1000)
    energy, diverging = (found[..., stats.index(n)] for n in ("energy", "diverging"))
    assert not diverging.any()
    # half a chi-square of 10 for the position and of 10 for the momentum: 10, with variance 10
    assert energy[:, 200:].mean() == pytest.approx(10.0, abs=0.5)
    assert energy[:, 200:].var() == pytest.approx(10.0, rel=0.2)
    zeros = tf.zeros((2, 10), tf.float64)
    point = Point(zeros, zeros, zeros[:, 0])
    mass = adaptation.start_mass(2, 10, tf.float64, dense=False)
    steps = tf.constant([0.1, 1e3], tf.float64)
    move = kernel(target, random.split(random.key(0), 2), point, steps, mass)
    np.testing.assert_array_equal(move.hamiltonian["diverging"], [False, True])
    assert move.acceptance[1] == 0.0


def test_slices_keep_to_a_half_line():
    def exponential(z):
        inside = tf.reduce_all(z > 0, -1)
        return tf.where(inside, -tf.reduce_sum(z, -1), -np.inf), tf.zeros_like(z)

    transition, options = KERNELS["slice"]
    draws, _ = run(exponential, transition, 1, draws=4000, **options)
    assert draws.min() > 0
    for power, moment in ((1, 1.0), (2, 2.0), (3, 6.0)):
        error = diagnostics.mcse_mean(draws**power)[0]
        assert abs((draws**power).mean() - moment) < 4 * error


def test_the_step_size_reaches_the_acceptance_and_stays():
    target = gaussian(np.zeros(20), covariance(20, 0.2))
    transition = transitions.hmc(4)
    _, stats = run(target, transition, 20, warmup=1000, draws=500, target_accept=0.7)
    # The average of 50 log steps, as in Stan, ends on the cautious side: simulated, 0.05 to 0.15.
    assert 0.67 < stats[..., 2].mean() < 0.87
    assert np.ptp(stats[..., 3], axis=1).max() == 0.0
    assert len(set(stats[:, 0, 3])) == 16  # each chain its own


def test_a_fixed_step_size_adapts_nothing():
    target = gaussian(np.zeros(2), np.diag([1.0, 100.0]))
    kernel = Lockstep(target, transitions.mala, warmup=100, step_size=0.5)
    keys = random.split(random.key(3), 2)
    state = kernel.start(tf.ones((2, 2), tf.float64), keys)
    state = kernel.advance(state, keys, tf.constant(100), tf.constant(1000))
    np.testing.assert_array_equal(state.mass.inverse, np.ones((2, 2)))
    np.testing.assert_allclose(np.exp(state.step.log_step), 0.5, rtol=1e-15)
