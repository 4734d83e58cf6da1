"""Warm-up: Stan's windows, dual averaging, mass matrices."""

import numpy as np
import pytest
import tensorflow as tf

from tfbdl.inference.mcmc import adaptation


def stages(warmup):
    """(start, windows, end) in iterations, read off the two flags."""
    slow, end = adaptation.windows(warmup)
    assert slow.shape == end.shape == (warmup + 1,)
    first, last = np.flatnonzero(slow)[[0, -1]]
    assert slow[first : last + 1].all()
    ends = np.flatnonzero(end) + 1
    return int(first), np.diff([first, *ends]).tolist(), int(warmup - ends[-1])


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (1000, (75, [25, 50, 100, 200, 500], 50)),
        (2000, (75, [25, 50, 100, 200, 400, 1100], 50)),
        (500, (75, [25, 50, 100, 200], 50)),
        (200, (75, [25, 50], 50)),
        (150, (75, [25], 50)),
        (149, (22, [113], 14)),
        (100, (15, [75], 10)),
        (20, (3, [15], 2)),
    ],
)
def test_windows_are_those_of_stans_manual(warmup, expected):
    assert stages(warmup) == expected
    assert sum((expected[0], *expected[1], expected[2])) == warmup


@pytest.mark.parametrize("warmup", [0, 1, 19])
def test_a_very_short_warmup_has_no_windows(warmup):
    slow, end = adaptation.windows(warmup)
    assert not slow.any()
    assert not end.any()


@pytest.mark.parametrize("target", [0.3, 0.8])
def test_dual_averaging_finds_the_step_size_of_the_target_acceptance(target):
    state = adaptation.start_step_size(tf.constant([0.01, 50.0], tf.float64))
    for _ in range(2000):
        accept = tf.exp(-tf.exp(state.log_step))  # known: exp(-step) accepts at step -log(target)
        state = adaptation.update_step_size(state, accept, target)
    np.testing.assert_allclose(np.exp(state.log_average), -np.log(target), rtol=0.04)


def test_the_first_update_is_that_of_the_paper():
    state = adaptation.start_step_size(tf.constant([0.5], tf.float64))
    state = adaptation.update_step_size(state, tf.constant([1.0], tf.float64), 0.8)
    error = (1 - 1 / 11) * 0.0 + (0.8 - 1.0) / 11  # Hoffman & Gelman 2014, equation 6, t = 1
    expected = np.log(10 * 0.5) - np.sqrt(1.0) / 0.05 * error
    assert state.log_step.numpy() == pytest.approx(expected)
    assert state.log_average.numpy() == pytest.approx(expected)  # t^-0.75 = 1


def test_restart_begins_at_the_averaged_step_size():
    state = adaptation.start_step_size(tf.constant([0.5], tf.float64))
    for accept in (0.1, 0.9, 0.4):
        state = adaptation.update_step_size(state, tf.constant([accept], tf.float64), 0.8)
    fresh = adaptation.restart_step_size(state)
    assert fresh.log_step.numpy() == state.log_average.numpy()
    assert fresh.center.numpy() == pytest.approx(np.log(10) + state.log_average.numpy())
    assert fresh.count.numpy() == fresh.error.numpy() == 0.0


@pytest.mark.parametrize("dense", [False, True])
def test_a_window_gives_the_regularised_covariance_of_its_states(dense):
    states = np.random.default_rng(0).normal(size=(40, 2, 3)) @ np.diag([1.0, 5.0, 0.1]) + 100.0
    mass = adaptation.start_mass(2, 3, tf.float64, dense=dense)
    for z in states:
        mass = adaptation.update_moments(mass, tf.constant(z))
    mass = adaptation.renew_mass(mass)
    for chain in range(2):
        cov = np.cov(states[:, chain].T)
        expected = 40 / 45 * cov + 1e-3 * 5 / 45 * np.eye(3)  # Stan's manual, section 15.2
        if dense:
            np.testing.assert_allclose(mass.inverse[chain], expected, rtol=1e-9)
            np.testing.assert_allclose(mass.factor[chain], np.linalg.cholesky(expected), rtol=1e-9)
        else:
            np.testing.assert_allclose(mass.inverse[chain], np.diag(expected), rtol=1e-9)
            np.testing.assert_allclose(mass.factor[chain] ** 2, np.diag(expected), rtol=1e-9)
    assert not np.any(mass.count)
    assert not np.any(mass.moment)


@pytest.mark.parametrize("dense", [False, True])
def test_windows_find_a_scale_of_any_size(dense):
    scales = np.array([1e4, 1.0, 1e-6])
    rng = np.random.default_rng(2)
    mass = adaptation.start_mass(1, 3, tf.float64, dense=dense)
    for _ in range(4):
        for z in rng.normal(size=(50, 1, 3)) * scales:
            mass = adaptation.update_moments(mass, tf.constant(z))
        mass = adaptation.renew_mass(mass)
    variance = np.diag(mass.inverse[0]) if dense else mass.inverse[0]
    np.testing.assert_allclose(np.sqrt(variance) / scales, 1.0, atol=0.35)  # 5 sd of 50 states


@pytest.mark.parametrize("dense", [False, True])
def test_momenta_have_the_mass_as_covariance(dense):
    inverse = np.array([[2.0, 0.6], [0.6, 0.5]]) if dense else np.array([2.0, 0.5])
    factor = np.linalg.cholesky(inverse) if dense else np.sqrt(inverse)
    mass = adaptation.start_mass(1, 2, tf.float64, dense=dense)
    mass = mass._replace(inverse=tf.constant(inverse[None]), factor=tf.constant(factor[None]))
    columns = [adaptation.momentum_from(mass, tf.constant(e[None]))[0] for e in np.eye(2)]
    root = np.stack(columns, axis=1)  # momenta are root @ noise
    whole = inverse if dense else np.diag(inverse)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(whole), rtol=1e-12)
    momentum = np.array([[1.0, -3.0]])
    np.testing.assert_allclose(
        adaptation.velocity(mass, tf.constant(momentum))[0], whole @ momentum[0], rtol=1e-12
    )


def test_a_covariance_without_a_cholesky_factor_leaves_its_diagonal():
    mass = adaptation.start_mass(2, 2, tf.float32, dense=True)
    moment = tf.constant([[[1.0, 2.0], [2.0, 1.0]], [[4.0, 1.0], [1.0, 4.0]]])  # the first: -1, 3
    mass = mass._replace(count=tf.constant([2.0, 2.0]), moment=moment)
    renewed = tf.function(adaptation.renew_mass, jit_compile=True)(mass)
    assert np.isfinite(renewed.factor).all()
    small = 1e-3 * 5 / 7
    np.testing.assert_allclose(renewed.inverse[0], np.eye(2) * (2 / 7 + small), rtol=1e-5)
    np.testing.assert_allclose(renewed.inverse[1][0, 1], 2 / 7, rtol=1e-5)


@pytest.mark.parametrize("last", [1000, 30])
def test_nothing_adapts_after_warmup(last):
    schedule = adaptation.Schedule(30)
    step = adaptation.start_step_size(tf.constant([0.1], tf.float64))
    mass = adaptation.start_mass(1, 2, tf.float64, dense=False)
    iteration = tf.constant([last])
    adapted = schedule.adapt(
        step, mass, tf.ones((1, 2), tf.float64), tf.constant([0.2], tf.float64),
        iteration, iteration < 30, 0.8,
    )  # fmt: skip
    for before, after in zip(tf.nest.flatten((step, mass)), tf.nest.flatten(adapted), strict=True):
        np.testing.assert_array_equal(before, after)
