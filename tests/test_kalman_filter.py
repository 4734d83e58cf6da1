"""The Kalman filter and smoother against conditioning of the joint normal, TFP and Riccati."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import tensorflow_probability as tfp
from linear_gaussian_cases import condition, eager, joint, random_model
from tfbdl_kalman_lstm import KalmanFilter

from tfbdl.errors import DataError, OptionsError

__all__ = ["eager"]
T = 7
MODEL = random_model(0)
FORMS = {"plain": {}, "square_root": {"square_root": True}, "parallel": {"parallel": True}}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def sequences(seed=1, n=3, m=2, gaps=True):
    y = np.random.default_rng(seed).normal(size=(n, T, m))
    if gaps:
        y[0, 2], y[1, 4, 0], y[2, 0, 1], y[2, T - 1] = np.nan, np.nan, np.nan, np.nan
    return y


def assert_exact(model, form, y):
    kalman = KalmanFilter(**model, **form)
    filtered, smoothed = kalman.filter(y), kalman.smooth(y)
    np.testing.assert_allclose(smoothed.log_likelihood, filtered.log_likelihood, rtol=1e-12)
    for i, sequence in enumerate(y):
        mean, covariance, log_likelihood = condition(model, sequence)
        np.testing.assert_allclose(filtered.log_likelihood[i], log_likelihood, atol=1e-8)
        np.testing.assert_allclose(smoothed.means[i], mean, atol=1e-8)
        blocks = covariance.reshape(T, 2, T, 2)
        for t in range(T):
            np.testing.assert_allclose(smoothed.covariances[i, t], blocks[t, :, t], atol=1e-8)
            so_far, after, _ = condition(model, sequence[: t + 1])
            np.testing.assert_allclose(filtered.means[i, t], so_far[-1], atol=1e-8)
            np.testing.assert_allclose(filtered.covariances[i, t], after[-2:, -2:], atol=1e-8)
            if t:
                found = smoothed.lag_covariances[i, t - 1]
                np.testing.assert_allclose(found, blocks[t, :, t - 1], atol=1e-8)


@forms
@pytest.mark.parametrize("gaps", [pytest.param(False, marks=pytest.mark.slow), True])
def test_filter_and_smoother_are_exact_conditioning(form, gaps):
    assert_exact(random_model(2), form, sequences(gaps=gaps))


@forms
def test_parameters_that_vary_with_time_are_exact_too(form, eager):
    assert_exact(random_model(2, steps=T), form, sequences())


@forms
def test_smoother_is_exact_where_states_are_known_for_certain(form, eager):
    # six lags of one series: what is predicted is singular but for the newest, and rounding of the
    # wide start stays where the exact variance is 0
    A = np.diag(np.ones(5), -1)
    A[0] = [0.5, 0.2, -0.1, 0.05, 0.02, 0.03]
    first = np.array([1.0, -0.6, 0.4, 1.3, -0.8, 0.5])
    model = {
        "A": A, "H": np.eye(1, 6), "Q": np.diag([1.0, 0, 0, 0, 0, 0]), "R": [[0.1]],
        "m0": np.zeros(6), "P0": 1e4 * np.outer(first, first),
    }  # fmt: skip
    y = np.random.default_rng(0).normal(size=(12, 1))
    mean, covariance, _ = condition(model, y)
    found, blocks = KalmanFilter(**model, **form).smooth(y), covariance.reshape(12, 6, 12, 6)
    np.testing.assert_allclose(found.means, mean, atol=1e-8)
    for t in range(12):
        np.testing.assert_allclose(found.covariances[t], blocks[t, :, t], atol=1e-8)
        if t:
            np.testing.assert_allclose(found.lag_covariances[t - 1], blocks[t, :, t - 1], atol=1e-8)


def test_filter_and_smoother_equal_tfp(eager):
    y = sequences(gaps=False)
    tfd, operator = tfp.distributions, tfp.distributions.MultivariateNormalTriL
    root = np.linalg.cholesky
    peer = tfd.LinearGaussianStateSpaceModel(
        num_timesteps=T,
        transition_matrix=MODEL["A"],
        transition_noise=operator(np.zeros(2), root(MODEL["Q"])),
        observation_matrix=MODEL["H"],
        observation_noise=operator(np.zeros(2), root(MODEL["R"])),
        initial_state_prior=operator(MODEL["m0"], root(MODEL["P0"])),
    )
    kalman = KalmanFilter(**MODEL)
    filtered, smoothed = kalman.filter(y), kalman.smooth(y)
    increments, means, covariances, *_ = peer.forward_filter(y)
    np.testing.assert_allclose(filtered.increments, increments, atol=1e-8)
    np.testing.assert_allclose(filtered.means, means, atol=1e-8)
    shared = np.broadcast_to(covariances, filtered.covariances.shape)
    np.testing.assert_allclose(filtered.covariances, shared, atol=1e-8)
    means, covariances = peer.posterior_marginals(y)
    np.testing.assert_allclose(smoothed.means, means, atol=1e-8)
    shared = np.broadcast_to(covariances, smoothed.covariances.shape)
    np.testing.assert_allclose(smoothed.covariances, shared, atol=1e-8)
    np.testing.assert_allclose(kalman.log_prob(y), peer.log_prob(y), atol=1e-8)


@pytest.mark.parametrize("form", list(FORMS.values())[:2], ids=list(FORMS)[:2])
def test_covariance_settles_at_the_solution_of_the_riccati_equation(form, eager):
    found = KalmanFilter(**MODEL, **form).filter(np.zeros((60, 2)))
    A, H, Q, R = (MODEL[name] for name in "AHQR")
    settled = scipy.linalg.solve_discrete_are(A.T, H.T, Q, R)
    np.testing.assert_allclose(found.predicted_covariances[-1], settled, rtol=1e-9)


@forms
def test_control_inputs_and_offsets_move_the_mean(form, eager):
    rng = np.random.default_rng(3)
    B, u, y = rng.normal(size=(T + 2, 2, 3)), rng.normal(size=(T + 2, 3)), sequences()[0]
    pushes = np.einsum("tij,tj->ti", B, u)
    longer = np.concatenate([y, np.full((2, 2), np.nan)])
    mean, covariance, log_likelihood = condition(MODEL, longer, pushes)
    varying = KalmanFilter(**MODEL, B=B, **form)
    ahead = varying.forecast(y, 2, u)
    np.testing.assert_allclose(ahead.means, mean[T:], atol=1e-8)
    np.testing.assert_allclose(ahead.covariances[-1], covariance[-2:, -2:], atol=1e-8)
    np.testing.assert_allclose(ahead.observation_means, mean[T:] @ MODEL["H"].T, atol=1e-8)
    found = varying.smooth(y, u)  # the steps ahead are not looked at
    np.testing.assert_allclose(found.means, mean[:T], atol=1e-8)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    constant = KalmanFilter(**MODEL, B=B[0], **form).smooth(y, u[:T])
    np.testing.assert_allclose(constant.means, condition(MODEL, y, u @ B[0].T)[0], atol=1e-8)
    offset = np.array([0.3, -2.0])
    expected = condition(MODEL, y, np.tile(offset, (T, 1)))
    found = KalmanFilter(**MODEL, B=offset, **form).smooth(y)
    np.testing.assert_allclose(found.means, expected[0], atol=1e-8)


def test_forecast_is_the_joint_normal_of_the_steps_after_each_sequence(eager):
    parts = [sequences()[0], sequences()[1][:4]]
    together = KalmanFilter(**MODEL).forecast(parts, 3)
    H, R = MODEL["H"], MODEL["R"]
    for i, y in enumerate(parts):
        mean, covariance, _ = condition(MODEL, np.concatenate([y, np.full((3, 2), np.nan)]))
        np.testing.assert_allclose(together.means[i], mean[-3:], atol=1e-8)
        last = covariance[-2:, -2:]
        np.testing.assert_allclose(together.covariances[i, -1], last, atol=1e-8)
        np.testing.assert_allclose(together.observation_means[i], mean[-3:] @ H.T, atol=1e-8)
        expected = H @ last @ H.T + R
        np.testing.assert_allclose(together.observation_covariances[i, -1], expected, atol=1e-8)
    alone = KalmanFilter(**MODEL).forecast(parts[1], 3)
    np.testing.assert_allclose(together.means[1], alone.means, rtol=1e-12)


def test_forecast_takes_parameters_of_the_steps_ahead_of_each_sequence(eager):
    model = random_model(5, steps=T + 2)
    found = KalmanFilter(**model).forecast([sequences()[0], sequences()[1][:4]], 2)
    longer = np.concatenate([sequences()[1][:4], np.full((2, 2), np.nan)])
    mean, covariance, _ = condition(model, longer)
    H, R, last = model["H"][5], model["R"][5], covariance[-2:, -2:]
    np.testing.assert_allclose(found.observation_means[1, -1], H @ mean[-1], atol=1e-8)
    np.testing.assert_allclose(found.observation_covariances[1, -1], H @ last @ H.T + R, atol=1e-8)


def test_sequences_of_unequal_length_are_answered_as_each_alone(eager):
    y, rng = sequences(gaps=False), np.random.default_rng(4)
    parts, u = [y[0], y[1][:3], y[2][:5]], rng.normal(size=(3, T, 1))
    kalman = KalmanFilter(**MODEL)
    alone = [condition(MODEL, part)[2] for part in parts]
    np.testing.assert_allclose(kalman.log_prob(parts), alone, rtol=1e-10)
    pushed = KalmanFilter(**MODEL, B=[[1.0], [-0.5]])
    pushes = [values @ [[1.0, -0.5]] for values in u]
    alone = [condition(MODEL, part, push)[2] for part, push in zip(parts, pushes, strict=True)]
    ended = [values[: len(part)] for part, values in zip(parts, u, strict=True)]
    np.testing.assert_allclose(pushed.log_prob(parts, ended), alone, rtol=1e-10)
    u[1, 3:], u[2, 5:] = np.nan, np.nan  # after the ends
    np.testing.assert_allclose(pushed.log_prob(parts, u), alone, rtol=1e-10)
    with pytest.raises(DataError, match=r"as long as their sequences, \[7, 3, 5\] steps"):
        pushed.filter(parts, [values[:4] for values in u[:2]] + [u[2]])
    u[2, 1] = np.nan
    with pytest.raises(DataError, match="Received: NaN at step 1 of sequence 2"):
        pushed.filter(parts, u)


def test_square_root_keeps_digits_where_the_plain_form_loses_them(eager):
    # the sum of two states is known to 1e-16 after the first step, their difference never
    model = {"A": np.eye(2), "H": [[1.0, 1.0]], "Q": np.zeros((2, 2)), "R": 1e-16}
    parts = {"m0": [0, 0], "P0": 1e4 * np.eye(2)}
    y = 3.0 + 1e-8 * np.random.default_rng(0).normal(size=6)
    expected, mean, variance = [], 0.0, 2e4  # the recursion of the sum
    for value in y:
        S = variance + 1e-16
        expected.append(-0.5 * (np.log(2 * np.pi * S) + (value - mean) ** 2 / S))
        mean, variance = mean + variance / S * (value - mean), variance * 1e-16 / S
    root, plain = (KalmanFilter(**model, **parts, square_root=flag).filter(y) for flag in (1, 0))
    np.testing.assert_allclose(root.increments, expected, rtol=1e-6)
    assert np.abs(plain.increments - expected).max() > 0.1
    assert np.linalg.eigvalsh(root.covariances).min() >= -1e-12


@pytest.mark.parametrize("steps", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_draws_have_the_moments_of_the_model(steps, eager):
    model = random_model(2, steps=steps)
    states, y = KalmanFilter(**model).sample(3, n=20_000, seed=4)
    mean, covariance, H, R = joint(model, 3)
    flat = states.reshape(len(states), -1)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(flat.mean(0) - mean) < 5 * scale / np.sqrt(len(flat))).all()
    tolerance = 6 * np.outer(scale, scale) / np.sqrt(len(flat))
    assert (np.abs(np.cov(flat.T) - covariance) < tolerance).all()
    seen = H @ covariance @ H.T + R
    scale = np.sqrt(np.diag(seen))
    flat = y.reshape(len(y), -1)
    assert (np.abs(np.cov(flat.T) - seen) < 6 * np.outer(scale, scale) / np.sqrt(len(flat))).all()


def test_paths_given_observations_have_the_moments_of_the_smoother(eager):
    y = sequences()[0]
    kalman = KalmanFilter(**MODEL)
    paths = kalman.sample_states(y, n=20_000, seed=5).reshape(20_000, -1)
    mean, covariance, _ = condition(MODEL, y)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(paths.mean(0) - mean.ravel()) < 5 * scale / np.sqrt(len(paths))).all()
    tolerance = 6 * np.outer(scale, scale) / np.sqrt(len(paths))
    assert (np.abs(np.cov(paths.T) - covariance) < tolerance).all()
    np.testing.assert_array_equal(
        kalman.sample_states(y, n=3, seed=5), kalman.sample_states(y, n=3, seed=5)
    )


def test_normalised_errors_and_innovations_are_those_of_the_right_model(eager):
    kalman = KalmanFilter(**MODEL)
    states, y = kalman.sample(30, n=200, seed=6)
    found = kalman.filter(y)
    error = states - found.means
    squares = np.einsum("nti,ntij,ntj->nt", error, np.linalg.inv(found.covariances), error)
    low, high = scipy.stats.chi2.ppf([1e-4, 1 - 1e-4], 2 * squares.shape[0])
    assert low < squares[:, -1].sum() < high  # sequences are independent, steps are not


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": np.ones((2, 3))}, r"A must be \[3, 3\].*\[2, 3\]"),
        ({"H": np.ones((2, 3))}, r"H must be \[any, 2\].*\[2, 3\]"),
        ({"Q": [[1.0, 0.5], [0.0, 1.0]]}, "Q must be symmetric"),
        ({"R": -np.eye(2)}, "R must have no negative eigenvalue.*-1"),
        ({"m0": [0.0]}, r"m0 must be \[2\].*\[1\]"),
        ({"P0": np.full((2, 2), np.nan)}, "P0 must be finite"),
        ({"A": [[1.0, 0.0], [1.0]]}, "A must be numbers in an array with rows of one length"),
        ({"m0": "zero"}, "m0 must be numbers.*'zero'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(change, message):
    with pytest.raises(OptionsError, match=message):
        KalmanFilter(**{**MODEL, **change})


def test_data_that_do_not_fit_are_refused(eager):
    kalman = KalmanFilter(**MODEL)
    with pytest.raises(DataError, match=r"\[T, 2\] for one sequence.*\[7, 3\]"):
        kalman.filter(np.zeros((7, 3)))
    with pytest.raises(DataError, match="takes no control input"):
        kalman.filter(np.zeros((7, 2)), np.zeros((7, 1)))
    with pytest.raises(DataError, match="takes a control input"):
        KalmanFilter(**MODEL, B=np.ones((2, 1))).filter(np.zeros((7, 2)))
    with pytest.raises(DataError, match="A varies with time and is given for 3 steps"):
        KalmanFilter(**{**MODEL, "A": np.zeros((3, 2, 2))}).filter(np.zeros((7, 2)))
    certain = {"R": np.zeros((2, 2)), "P0": np.zeros((2, 2))}
    with pytest.raises(DataError, match=r"must be positive definite.*at step 0"):
        KalmanFilter(**{**MODEL, **certain}).filter(np.zeros((7, 2)))
    certain["Q"] = np.zeros((2, 2))
    with pytest.raises(DataError, match=r"must be positive definite.*singular"):
        KalmanFilter(**{**MODEL, **certain}, parallel=True).filter(np.zeros((7, 2)))
    with pytest.raises(DataError, match=r"one sequence each, \[T_i, 2\].*shape \[2, 8, 2\]"):
        kalman.filter([np.zeros((2, 8, 2)), np.ones((3, 8, 2))])
    with pytest.raises(DataError, match="parts that are no arrays"):
        kalman.filter([[[1.0, 2.0], [3.0]], [[1.0, 2.0]]])
    with pytest.raises(DataError, match=r"Observations must be numbers.*'high'"):
        kalman.filter([["high", "low"]])
