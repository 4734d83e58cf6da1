"""Extended and unscented filters against the linear filter, sums over points, and maximisation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
from linear_gaussian_cases import condition, joint, random_model
from tfbdl_kalman_lstm import ExtendedKalmanFilter, KalmanFilter, UnscentedKalmanFilter
from tfbdl_kalman_lstm.dynamics import lorenz
from tfbdl_kalman_lstm.extended import Taylor
from tfbdl_kalman_lstm.nonlinear_model import StateFunction
from tfbdl_kalman_lstm.unscented import SigmaPoints

from tfbdl.errors import DataError, OptionsError

T = 7
MODEL = random_model(2)
A, H = tf.constant(MODEL["A"]), tf.constant(MODEL["H"])


def move(x):
    return tf.linalg.matvec(A, x)


def see(x):
    return tf.linalg.matvec(H, x)


LINEAR = (move, see, MODEL["Q"], MODEL["R"], MODEL["m0"], MODEL["P0"])
FILTERS = {
    "extended": lambda *args: ExtendedKalmanFilter(*args),
    "iterated": lambda *args: ExtendedKalmanFilter(*args, iterations=2),
    "unscented": lambda *args: UnscentedKalmanFilter(*args),
    "scaled": lambda *args: UnscentedKalmanFilter(*args, alpha=0.5, beta=1.0, kappa=1.0),
}
SLOW = pytest.mark.slow
two = pytest.mark.parametrize("name", ["extended", "unscented"])
one = pytest.mark.parametrize("name", ["extended", pytest.param("unscented", marks=SLOW)])


def sequences(seed=1, n=3):
    y = np.random.default_rng(seed).normal(size=(n, T, 2))
    y[0, 2], y[1, 4, 0], y[2, 0, 1], y[2, T - 1] = np.nan, np.nan, np.nan, np.nan
    return y


def assert_same(found, expected, atol=1e-10):
    for name in vars(expected):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol)


@pytest.mark.parametrize(
    "name",
    [n if n in ("extended", "unscented") else pytest.param(n, marks=SLOW) for n in FILTERS],
)
def test_linear_functions_give_the_kalman_filter(name):
    y, nonlinear, exact = sequences(), FILTERS[name](*LINEAR), KalmanFilter(**MODEL)
    assert_same(nonlinear.filter(y), exact.filter(y))
    np.testing.assert_allclose(nonlinear.log_prob(y), exact.log_prob(y), atol=1e-10)


@two
def test_linear_functions_give_the_smoother_and_its_neighbours(name):
    y, nonlinear = sequences(), FILTERS[name](*LINEAR)
    assert_same(nonlinear.smooth(y), KalmanFilter(**MODEL).smooth(y))


@one
def test_forecast_of_linear_functions_is_the_joint_normal_of_later_steps(name):
    parts, seen = [sequences()[0], sequences()[1][:4]], MODEL["H"]
    found = FILTERS[name](*LINEAR).forecast(parts, 3)
    for i, y in enumerate(parts):  # each goes on from its own end
        mean, covariance, _ = condition(MODEL, np.concatenate([y, np.full((3, 2), np.nan)]))
        np.testing.assert_allclose(found.means[i], mean[-3:], atol=1e-10)
        last = covariance[-2:, -2:]
        np.testing.assert_allclose(found.covariances[i, -1], last, atol=1e-10)
        np.testing.assert_allclose(found.observation_means[i], mean[-3:] @ seen.T, atol=1e-10)
        expected = seen @ last @ seen.T + MODEL["R"]
        np.testing.assert_allclose(found.observation_covariances[i, -1], expected, atol=1e-10)


@one
def test_noise_that_varies_and_control_inputs_are_those_of_the_linear_filter(name):
    rng, varying = np.random.default_rng(3), random_model(4, steps=T)
    B, u, y = rng.normal(size=(2, 3)), rng.normal(size=(T, 3)), sequences()[0]

    def pushed(x, control):
        return move(x) + tf.linalg.matvec(tf.constant(B), control)

    model = {**MODEL, "Q": varying["Q"], "R": varying["R"]}
    args = (pushed, see, model["Q"], model["R"], model["m0"], model["P0"])
    found = FILTERS[name](*args).filter([y, y[:4]], [u, u[:4]])
    assert_same(found, KalmanFilter(**model, B=B).filter([y, y[:4]], [u, u[:4]]))


def test_sequences_of_unequal_length_are_answered_as_each_alone():
    y, nonlinear = np.nan_to_num(sequences()), ExtendedKalmanFilter(*LINEAR)
    parts = [y[0], y[1][:3]]
    alone = [condition(MODEL, part)[2] for part in parts]
    np.testing.assert_allclose(nonlinear.log_prob(parts), alone, atol=1e-10)


def test_states_without_spread_stay_where_they_are_known():
    certain = {**MODEL, "P0": np.zeros((2, 2)), "Q": np.diag([0.0, 1.0])}
    args = (move, see, certain["Q"], MODEL["R"], MODEL["m0"], certain["P0"])
    assert_same(
        UnscentedKalmanFilter(*args).filter(sequences()),
        KalmanFilter(**certain).filter(sequences()),
    )


def bent(x):
    return [x[0] * x[1], tf.sin(x[1]) + x[2] ** 2, tf.exp(0.3 * x[0] - x[2]), x[1]]


def bent_numpy(x):
    return np.array([x[0] * x[1], np.sin(x[1]) + x[2] ** 2, np.exp(0.3 * x[0] - x[2]), x[1]])


def belief(seed=5, d=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    return rng.normal(size=d), root @ root.T + 0.3 * np.eye(d)


def affine(rule, g, size, mean, covariance):
    made = StateFunction.of("g", g, size)
    run = tf.function(lambda m, P: rule.affine(made, m, P, None))
    found = run(tf.constant(mean)[tf.newaxis], tf.constant(covariance)[tf.newaxis])
    return [part.numpy()[0] for part in found]


def test_jacobian_is_that_of_finite_differences():
    mean, covariance = belief()
    slope, value, noise = affine(Taylor(), bent, 4, mean, covariance)
    step = 1e-6
    numeric = np.stack(
        [(bent_numpy(mean + e) - bent_numpy(mean - e)) / (2 * step) for e in step * np.eye(3)], -1
    )
    np.testing.assert_allclose(slope, numeric, atol=1e-8)
    np.testing.assert_allclose(value, bent_numpy(mean), atol=1e-12)
    assert not noise.any()


@pytest.mark.parametrize(("alpha", "beta", "kappa"), [(1.0, 2.0, 0.0), (0.6, 2.0, 1.0)])
def test_moments_are_the_weighted_sums_over_the_sigma_points(alpha, beta, kappa):
    mean, covariance = belief()
    slope, value, noise = affine(SigmaPoints(alpha, beta, kappa), bent, 4, mean, covariance)
    d = 3
    lam = alpha**2 * (d + kappa) - d  # as Wan & van der Merwe write the weights
    values, vectors = np.linalg.eigh((d + lam) * covariance)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    points = np.vstack([mean, mean + root, mean - root])
    weights = np.full(2 * d + 1, 0.5 / (d + lam))
    weights[0] = lam / (d + lam)
    images = np.stack([bent_numpy(point) for point in points])
    expected = weights @ images
    np.testing.assert_allclose(value, expected, atol=1e-10)
    weights[0] += 1 - alpha**2 + beta
    away = images - expected
    spread = (weights * away.T) @ away
    np.testing.assert_allclose(slope @ covariance @ slope.T + noise, spread, atol=1e-9)
    np.testing.assert_allclose(
        covariance @ slope.T, (weights * (points - mean).T) @ away, atol=1e-9
    )


def test_sigma_points_have_the_exact_moments_of_a_square():
    # d = 1 and kappa = 2 match the fourth moment of a Gaussian: Var[x^2] = 4 m^2 P + 2 P^2
    slope, value, noise = affine(SigmaPoints(1.0, 0.0, 2.0), lambda x: x**2, 1, [0.7], [[0.5]])
    assert value[0] == pytest.approx(0.7**2 + 0.5, abs=1e-12)
    assert (slope * 0.5 * slope + noise)[0, 0] == pytest.approx(4 * 0.49 * 0.5 + 0.5, abs=1e-12)


def test_iterated_update_finds_the_most_probable_state():
    m0, P0, R, seen = np.array([1.0, 0.5]), np.diag([0.4, 0.3]), 0.3, 4.0

    def radius(x):
        return tf.reshape(x[0] ** 2 + tf.exp(x[1]), [1])

    def objective(x):
        away = (x - m0) @ np.linalg.solve(P0, x - m0)
        return 0.5 * away + 0.5 * (seen - x[0] ** 2 - np.exp(x[1])) ** 2 / R

    best = scipy.optimize.minimize(objective, m0, tol=1e-12).x
    args = (lambda x: x, radius, np.eye(2), R, m0, P0)
    once, often = (ExtendedKalmanFilter(*args, iterations=k).filter([seen]) for k in (1, 4))
    np.testing.assert_allclose(often.means[0], best, atol=3e-4)
    assert np.abs(once.means[0] - best).max() > 0.03
    assert once.log_likelihood == pytest.approx(often.log_likelihood, abs=1e-12)


def test_draws_have_the_moments_of_the_model():
    states, y = ExtendedKalmanFilter(*LINEAR).sample(3, n=20_000, seed=4)
    mean, covariance, seen, R = joint(MODEL, 3)
    for drawn, centre, spread in (
        (states, mean, covariance),
        (y, seen @ mean, seen @ covariance @ seen.T + R),
    ):
        flat, scale = drawn.reshape(len(drawn), -1), np.sqrt(np.diag(spread))
        assert (np.abs(flat.mean(0) - centre) < 5 * scale / np.sqrt(len(flat))).all()
        tolerance = 6 * np.outer(scale, scale) / np.sqrt(len(flat))
        assert (np.abs(np.cov(flat.T) - spread) < tolerance).all()


@pytest.mark.slow
def test_paths_given_observations_have_the_moments_of_the_smoother():
    y = sequences()[0]
    paths = UnscentedKalmanFilter(*LINEAR).sample_states(y, n=5_000, seed=5).reshape(5_000, -1)
    mean, covariance, _ = condition(MODEL, y)
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(paths.mean(0) - mean.ravel()) < 5 * scale / np.sqrt(len(paths))).all()
    tolerance = 6 * np.outer(scale, scale) / np.sqrt(len(paths))
    assert (np.abs(np.cov(paths.T) - covariance) < tolerance).all()


def test_functions_are_traced_once_for_a_shape():
    traced = []

    def counted(x):
        traced.append(1)
        return 0.5 * x

    def filtered(n):
        args = (counted, lambda x: x, np.eye(2), np.eye(2), np.zeros(2), np.eye(2))
        return ExtendedKalmanFilter(counted, counted, *args[2:]).log_prob(np.ones((n, 4, 2)))

    filtered(2)
    first = len(traced)
    filtered(2)
    assert len(traced) == first + 2  # the checks of shapes call f and h once each
    filtered(3)
    assert len(traced) > first + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 3.0}, "f must be a function of one state. Received: float"),
        ({0: lambda a, b, c: a}, "a function of 3 arguments: a, b, c"),
        ({0: lambda x: x[:1]}, r"f must give \[2\] for a state \[2\]. Received: \[1\]"),
        ({1: lambda x: tf.cast(x, tf.float32)}, "h must be a TensorFlow function that keeps"),
        ({2: np.eye(3)}, r"Q must be \[2, 2\]"),
        ({3: -np.eye(2)}, "R must have no negative eigenvalue"),
        ({5: np.zeros((4, 2, 2))}, "P0 must be one matrix"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    with pytest.raises(OptionsError, match=message):
        ExtendedKalmanFilter(*(change.get(i, part) for i, part in enumerate(LINEAR)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"kappa": -2.0}, "kappa must be above -2"),
    ],
)
def test_sigma_points_that_do_not_exist_are_refused(change, message):
    with pytest.raises(OptionsError, match=message):
        UnscentedKalmanFilter(*LINEAR, **change)


def test_data_that_do_not_fit_are_refused():
    nonlinear = ExtendedKalmanFilter(*LINEAR)
    with pytest.raises(DataError, match=r"\[T, 2\] for one sequence.*\[7, 3\]"):
        nonlinear.filter(np.zeros((7, 3)))
    with pytest.raises(DataError, match="takes no control input"):
        nonlinear.filter(np.zeros((7, 2)), np.zeros((7, 1)))
    steered = ExtendedKalmanFilter(lambda x, u: x + u[0], *LINEAR[1:])
    with pytest.raises(DataError, match="takes a control input"):
        steered.filter(np.zeros((7, 2)))
    with pytest.raises(DataError, match=r"Control inputs must be \[7, u\]"):
        steered.filter(np.zeros((7, 2)), np.zeros((6, 1)))
    with pytest.raises(DataError, match="Received: NaN at step 0 of sequence 0"):
        steered.filter(np.zeros((7, 2)), np.full((7, 1), np.nan))
    with pytest.raises(DataError, match=r"lost the state.*step 1 of sequence 0"):
        ExtendedKalmanFilter(lambda x: x / 0.0, *LINEAR[1:]).filter(np.zeros((3, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(("r2", "expected"), [(100, 9.73), (10, -0.35), (1, -10.32), (0.1, -20.35)])
def test_lorenz_error_is_that_of_the_field(r2, expected):
    # 0.11 dB is the spread over seeds of 200 sequences; a Jacobian that is not the true one
    # costs 0.5 dB (F(x) for f'(x)), so the mean of eight seeds tells them apart
    extended = ExtendedKalmanFilter(*lorenz(q2=r2 / 100, r2=r2))
    unscented = UnscentedKalmanFilter(*lorenz(q2=r2 / 100, r2=r2))
    errors = []
    for seed in range(8):
        states, y = extended.sample(100, n=200, seed=seed)
        assert 10 * np.log10(np.mean((y - states) ** 2)) == pytest.approx(
            10 * np.log10(r2), abs=0.1
        )
        both = [nonlinear.filter(y).means for nonlinear in (extended, unscented)]
        errors.append([np.mean((states - means) ** 2) for means in both])
    decibels = 10 * np.log10(errors).mean(axis=0)
    assert decibels[0] == pytest.approx(expected, abs=0.25)
    assert decibels[1] == pytest.approx(expected, abs=0.4)
