"""The Kalman filter and smoother against conditioning of the joint normal, TFP and Riccati."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import tensorflow_probability as tfp
from linear_gaussian_cases import condition, joint, random_model
from tfbdl_kalman_lstm import KalmanFilter

from tfbdl.errors import DataError, OptionsError

T = 7
MODEL = random_model(0)
FORMS = {"plain": {}, "square_root": {"square_root": True}, "parallel": {"parallel": True}}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def sequences(seed=1, n=3, m=2, gaps=True):
    y = np.random.default_rng(seed).normal(size=(n, T, m))
    if gaps:
        y[0, 2], y[1, 4, 0], y[2, 0, 1], y[2, T - 1] = np.nan, np.nan, np.nan, np.nan
    return y


@forms
@pytest.mark.parametrize("gaps", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("steps", [None, T])
def test_filter_and_smoother_are_exact_conditioning(form, gaps, steps):
    model, y = random_model(2, steps=steps), sequences(gaps=gaps)
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


def test_filter_and_smoother_equal_tfp():
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
def test_covariance_settles_at_the_solution_of_the_riccati_equation(form):
    found = KalmanFilter(**MODEL, **form).filter(np.zeros((200, 2)))
    A, H, Q, R = (MODEL[name] for name in "AHQR")
    settled = scipy.linalg.solve_discrete_are(A.T, H.T, Q, R)
    np.testing.assert_allclose(found.predicted_covariances[-1], settled, rtol=1e-9)


def test_control_inputs_and_offsets_move_the_mean():
    rng = np.random.default_rng(3)
    B, u, y = rng.normal(size=(2, 3)), rng.normal(size=(T, 3)), sequences()[0]
    expected = condition(MODEL, y, u @ B.T)
    found = KalmanFilter(**MODEL, B=B).smooth(y, u)
    np.testing.assert_allclose(found.means, expected[0], atol=1e-8)
    assert found.log_likelihood == pytest.approx(expected[2], abs=1e-8)
    offset = np.array([0.3, -2.0])
    expected = condition(MODEL, y, np.tile(offset, (T, 1)))
    np.testing.assert_allclose(KalmanFilter(**MODEL, B=offset).smooth(y).means, expected[0])


def test_forecast_is_the_joint_normal_of_later_steps():
    y = sequences()[0]
    found = KalmanFilter(**MODEL).forecast(y, 3)
    longer = np.concatenate([y, np.full((3, 2), np.nan)])
    mean, covariance, _ = condition(MODEL, longer)
    np.testing.assert_allclose(found.means, mean[T:], atol=1e-8)
    last = covariance[-2:, -2:]
    np.testing.assert_allclose(found.covariances[-1], last, atol=1e-8)
    H, R = MODEL["H"], MODEL["R"]
    np.testing.assert_allclose(found.observation_means, mean[T:] @ H.T, atol=1e-8)
    np.testing.assert_allclose(found.observation_covariances[-1], H @ last @ H.T + R, atol=1e-8)


def test_sequences_of_unequal_length_are_answered_as_each_alone():
    y = sequences(gaps=False)
    kalman = KalmanFilter(**MODEL)
    together = kalman.log_prob([y[0], y[1][:3], y[2][:5]])
    alone = [kalman.log_prob(part) for part in (y[0], y[1][:3], y[2][:5])]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_square_root_keeps_digits_where_the_plain_form_loses_them():
    # one coordinate is known to 1e-16 after the first step, the other stays unknown
    model = {"A": np.eye(2), "H": [[1.0, 1.0]], "Q": np.zeros((2, 2)), "R": 1e-16}
    kalman = KalmanFilter(**model, m0=[0, 0], P0=1e4 * np.eye(2), square_root=True)
    found = kalman.filter(np.full(20, 3.0))
    along = np.array([1.0, 1.0])
    expected = 1e-16 / np.arange(1, 21)  # of the sum, after t observations
    np.testing.assert_allclose(along @ found.covariances @ along, expected, rtol=0.05, atol=1e-12)
    assert np.linalg.eigvalsh(found.covariances).min() >= -1e-12


@pytest.mark.slow
def test_draws_have_the_moments_of_the_model():
    states, y = KalmanFilter(**MODEL).sample(3, n=20_000, seed=4)
    mean, covariance, H, R = joint(MODEL, 3)
    flat = states.reshape(len(states), -1)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(flat.mean(0) - mean) < 5 * scale / np.sqrt(len(flat))).all()
    tolerance = 6 * np.outer(scale, scale) / np.sqrt(len(flat))
    assert (np.abs(np.cov(flat.T) - covariance) < tolerance).all()
    seen = H @ covariance @ H.T + R
    scale = np.sqrt(np.diag(seen))
    flat = y.reshape(len(y), -1)
    assert (np.abs(np.cov(flat.T) - seen) < 6 * np.outer(scale, scale) / np.sqrt(len(flat))).all()


def test_paths_given_observations_have_the_moments_of_the_smoother():
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


def test_normalised_errors_and_innovations_are_those_of_the_right_model():
    kalman = KalmanFilter(**MODEL)
    states, y = kalman.sample(100, n=200, seed=6)
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
    ],
)
def test_parameters_that_do_not_fit_are_refused(change, message):
    with pytest.raises(OptionsError, match=message):
        KalmanFilter(**{**MODEL, **change})


def test_data_that_do_not_fit_are_refused():
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
