"""The no-U-turn sampler: its trees, its draws, and that they depend on nothing but the seed."""

import numpy as np
import pytest
import tensorflow as tf
from gaussian_targets import assert_moments, covariance, gaussian

from tfbdl import diagnostics, random
from tfbdl.inference.mcmc import Nuts, nuts
from tfbdl.inference.mcmc.lockstep import with_room

WARMUP, DRAWS = 30, 12


def make(dim=2, correlation=0.6, dtype="float64", **options):
    """A sampler of a Gaussian."""
    target = gaussian(np.zeros(dim), covariance(dim, correlation), dtype)
    return Nuts(target, **{"warmup": WARMUP, **options})


def begin(kernel, keys, dim, draws, dtype="float64"):
    """The state before the first step, from starts that are functions of the keys."""
    start = 2.0 * random.normal((dim,), random.fold_in(keys, "test start"), dtype)
    return with_room(kernel.start(start, keys), draws)


def advance(kernel, state, keys, iterations, chunk=10**6):
    """Go on to so many iterations, at most ``chunk`` leapfrog steps at a time."""
    last = tf.constant(iterations)
    while int(tf.reduce_min(state.iteration)) < iterations:
        state = kernel.advance(state, keys, last, tf.constant(chunk))
    return state


def kept(state):
    """(draws, figures), without the row that takes what is not kept."""
    return state.draws[:-1].numpy(), state.stats[:-1].numpy()


def figure(state, name):
    """One figure of all transitions, ``[draw, chain]``."""
    return kept(state)[1][..., nuts.STATS.index(name)]


def assert_equal_bits(one, other):
    for a, b in zip(kept(one), kept(other), strict=True):
        np.testing.assert_array_equal(a, b)


KEYS = random.split(random.key(5, "test"), 4)


@pytest.fixture(scope="module")
def kernel():
    """A sampler whose program all tests of bits share."""
    return make()


@pytest.fixture(scope="module")
def whole(kernel):
    """Its draws in one go."""
    return advance(kernel, begin(kernel, KEYS, 2, DRAWS), KEYS, WARMUP + DRAWS)


@pytest.fixture(scope="module", params=[2, pytest.param(10, marks=pytest.mark.slow)])
def long(request):
    """(dim, final state) of a long run in float64."""
    dim = request.param
    kernel = make(dim, warmup=400)
    keys = random.split(random.key(1, "long"), 8)
    middle = advance(kernel, begin(kernel, keys, dim, 1000), keys, 400)
    return dim, middle, advance(kernel, middle, keys, 1400)


def test_draws_have_the_exact_moments(long):
    dim, _, state = long
    assert_moments(np.swapaxes(kept(state)[0], 0, 1), np.zeros(dim), covariance(dim, 0.6))


def test_a_trajectory_has_as_many_steps_as_its_depth_admits(long):
    depth, steps = (figure(long[2], name) for name in ("tree_depth", "n_steps"))
    assert np.all(steps >= 2.0**depth - 1)  # the last doubling may have been cut short
    assert np.all(steps <= 2.0 ** (depth + 1) - 1)
    assert 1 < depth.mean() < 6
    assert not figure(long[2], "reached_max_treedepth").any()


def test_adaptation_ends_with_warmup(long):
    _, middle, end = long
    assert np.ptp(figure(end, "step_size"), axis=0).max() == 0.0
    for before, after in zip(
        tf.nest.flatten((middle.mass, middle.step)),
        tf.nest.flatten((end.mass, end.step)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_the_step_size_reaches_the_acceptance(long):
    accept = figure(long[2], "acceptance_rate")
    assert np.all((accept >= 0) & (accept <= 1))
    assert 0.75 < accept.mean() < 0.95  # Stan's average of log steps is cautious, too


def test_energies_are_those_of_the_start_of_each_trajectory(long):
    energy, log_prob = figure(long[2], "energy"), figure(long[2], "lp")
    kinetic = energy[1:] + log_prob[:-1]
    assert np.all(kinetic > 0)
    assert kinetic.mean() == pytest.approx(long[0] / 2, rel=0.1)  # chi-squared, half of D


def test_log_densities_are_those_of_the_draws(long):
    draws, target = kept(long[2])[0], gaussian(np.zeros(long[0]), covariance(long[0], 0.6))
    expected = target(tf.constant(draws[::100].reshape(-1, long[0])))[0]
    np.testing.assert_allclose(figure(long[2], "lp")[::100].ravel(), expected, rtol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 777])
def test_draws_do_not_depend_on_where_the_loop_is_cut(kernel, whole, chunk):
    state = advance(kernel, begin(kernel, KEYS, 2, DRAWS), KEYS, WARMUP + DRAWS, chunk)
    assert_equal_bits(state, whole)


def test_more_draws_are_those_of_one_longer_run(kernel, whole):
    longer = advance(kernel, begin(kernel, KEYS, 2, 3 * DRAWS), KEYS, WARMUP + 3 * DRAWS)
    extended = advance(kernel, with_room(whole, 3 * DRAWS), KEYS, WARMUP + 3 * DRAWS)
    assert_equal_bits(extended, longer)
    np.testing.assert_array_equal(kept(longer)[0][:DRAWS], kept(whole)[0])


def test_a_chain_does_not_depend_on_the_others(kernel, whole):
    others = random.split(random.key(6, "others"), 4)
    keys = tf.concat([others[:2], KEYS[2:3], others[3:]], axis=0)
    state = advance(kernel, begin(kernel, keys, 2, DRAWS), keys, WARMUP + DRAWS)
    np.testing.assert_array_equal(kept(state)[0][:, 2], kept(whole)[0][:, 2])
    assert not np.array_equal(kept(state)[0][:, 1], kept(whole)[0][:, 1])


def test_a_chain_that_has_finished_stands_still(kernel, whole):
    state = begin(kernel, KEYS, 2, DRAWS)
    seen = {}
    while int(tf.reduce_min(state.iteration)) < WARMUP + DRAWS:
        state = kernel.advance(state, KEYS, tf.constant(WARMUP + DRAWS), tf.constant(7))
        for chain in np.flatnonzero(state.iteration.numpy() == WARMUP + DRAWS):
            now = [int(state.tree.clock[chain]), *state.point.z[chain].numpy()]
            assert seen.setdefault(chain, now) == now
    assert len({clock for clock, *_ in seen.values()}) > 1  # they did not finish together


@pytest.mark.slow
def test_thinning_keeps_every_third_draw(whole):
    thinned = make(thin=3)
    state = advance(thinned, begin(thinned, KEYS, 2, DRAWS // 3), KEYS, WARMUP + DRAWS)
    np.testing.assert_array_equal(kept(state)[0], kept(whole)[0][2::3])


def test_a_fixed_step_adapts_nothing_and_trees_end_at_the_greatest_depth():
    kernel = make(warmup=25, step_size=1e-3, max_tree_depth=3)
    state = advance(kernel, begin(kernel, KEYS, 2, 20), KEYS, 45)
    assert np.all(figure(state, "tree_depth") == 3)
    assert np.all(figure(state, "n_steps") == 7)
    assert np.all(figure(state, "reached_max_treedepth") == 1)
    np.testing.assert_allclose(figure(state, "step_size"), 1e-3, rtol=1e-12)
    np.testing.assert_array_equal(state.mass.inverse, np.ones((4, 2)))


def test_a_step_that_is_far_too_long_diverges_and_does_not_move():
    kernel = make(warmup=0, step_size=1e3, max_tree_depth=3)
    state = advance(kernel, begin(kernel, KEYS, 2, 20), KEYS, 20)
    assert np.all(figure(state, "diverging") == 1)
    assert np.all(figure(state, "n_steps") == 1)
    assert np.ptp(kept(state)[0], axis=0).max() == 0.0


@pytest.mark.slow
def test_a_dense_mass_matrix_pays_off_on_a_correlated_gaussian():
    per_step = {}
    for dense in (False, True):
        kernel = make(6, 0.98, warmup=600, dense=dense)
        state = advance(kernel, begin(kernel, KEYS, 6, 500), KEYS, 1100)
        draws = np.swapaxes(kept(state)[0], 0, 1)
        sizes = diagnostics.ess_bulk(draws)
        per_step[dense] = sizes.min() / figure(state, "n_steps").sum()
    assert per_step[True] > 4 * per_step[False]
