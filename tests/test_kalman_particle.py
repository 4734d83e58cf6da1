"""Particle filters against the Kalman filter, integration over a grid, and their own theory."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from linear_gaussian_cases import condition, random_model
from scipy import stats
from tfbdl_kalman_lstm import KalmanFilter, ParticleFilter

from tfbdl.errors import DataError, OptionsError

tfd = tfp.distributions
T = 6
MODEL = random_model(2)
A, H = tf.constant(MODEL["A"]), tf.constant(MODEL["H"])


def move(x):
    return tf.linalg.matvec(A, x)


def see(x):
    return tf.linalg.matvec(H, x)


LINEAR = (move, see, MODEL["Q"], MODEL["R"], MODEL["m0"], MODEL["P0"])


def observations(seed=1):
    _, y = KalmanFilter(**MODEL).sample(T, seed=seed)
    y[0, 2], y[0, 4, 0] = np.nan, np.nan
    return y[0]


def deviations(covariances):
    return np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bootstrap", "auxiliary"])
def test_twenty_thousand_particles_are_close_to_the_kalman_filter(method):
    y, exact = observations(), KalmanFilter(**MODEL).filter(observations())
    found = ParticleFilter(*LINEAR, num_particles=20_000, method=method).filter(y, seed=1)
    # five standard errors of a mean of as many particles as the weights are worth
    error = 5 * deviations(exact.covariances) / np.sqrt(found.effective_sample_size)[:, None]
    assert (np.abs(found.means - exact.means) < error).all()
    scale = deviations(exact.covariances)
    allowed = (
        7 * scale[:, :, None] * scale[:, None] / np.sqrt(found.effective_sample_size)[:, None, None]
    )
    assert (np.abs(found.covariances - exact.covariances) < allowed).all()
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=0.2)
    assert found.effective_sample_size.max() <= 20_000 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("method", "resampling"),
    [
        pytest.param("bootstrap", "systematic", marks=pytest.mark.slow),
        ("auxiliary", "systematic"),
        ("bootstrap", "stratified"),
        pytest.param("bootstrap", "residual", marks=pytest.mark.slow),
        pytest.param("bootstrap", "multinomial", marks=pytest.mark.slow),
    ],
)
def test_estimate_of_the_likelihood_has_no_bias(method, resampling):
    y = observations()
    copies = np.broadcast_to(y, (1_000, *y.shape))  # each with particles of its own
    particles = ParticleFilter(*LINEAR, num_particles=30, method=method, resampling=resampling)
    ratio = np.exp(particles.log_prob(copies, seed=2) - condition(MODEL, y)[2])
    assert abs(ratio.mean() - 1.0) < 4 * ratio.std() / np.sqrt(len(ratio))
    assert 0.0 < ratio.std() < 3.0  # with few particles it does vary


def test_seed_decides_all_draws():
    particles, y = ParticleFilter(*LINEAR, num_particles=2_000), observations()
    first, again, other = (particles.particles(y, seed=s).states for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize(
    "options", [{"paths": 2_000}, {"method": "fixed_lag", "lag": T}], ids=["paths", "fixed_lag"]
)
def test_smoother_is_close_to_that_of_the_linear_model(options):
    y, exact = observations(), KalmanFilter(**MODEL).smooth(observations())
    found = ParticleFilter(*LINEAR, num_particles=2_000).smooth(y, seed=1, **options)
    scale = deviations(exact.covariances)
    # particles of the first steps are few once their descendants alone count
    assert (np.abs(found.means - exact.means) < 0.2 * scale).all()
    assert (
        np.abs(found.covariances - exact.covariances) < 0.3 * scale[:, :, None] * scale[:, None]
    ).all()
    between = scale[1:, :, None] * scale[:-1, None]
    assert (np.abs(found.lag_covariances - exact.lag_covariances) < 0.3 * between).all()


def test_control_inputs_move_the_particles():
    rng = np.random.default_rng(5)
    B, u = 3.0 * rng.normal(size=(2, 1)), rng.normal(size=(2, T, 1))
    kalman = KalmanFilter(**MODEL, B=B)
    _, y = kalman.sample(T, n=2, seed=1, u=u)

    def pushed(x, control):
        return move(x) + tf.linalg.matvec(tf.constant(B), control)

    particles = ParticleFilter(
        pushed, *LINEAR[1:], num_particles=2_000, method="auxiliary", threshold=1.0
    )
    found, exact = particles.filter(y, u, seed=1), kalman.filter(y, u)
    assert found.effective_sample_size.min() > 50
    error = 5 * deviations(exact.covariances) / np.sqrt(found.effective_sample_size)[..., None]
    assert (np.abs(found.means - exact.means) < error).all()
    np.testing.assert_allclose(found.log_likelihood, exact.log_likelihood, atol=0.5)


def test_paths_begin_and_end_where_particles_are():
    particles, y = ParticleFilter(*LINEAR, num_particles=2_000), observations()
    cloud, paths = particles.particles(y, seed=2), particles.sample_states(y, n=2_000, seed=2)
    assert paths.shape == (2_000, T, 2)
    for t in range(T):
        assert (paths[:, t, None] == cloud.states[t]).all(-1).any(-1).all()
    np.testing.assert_allclose(np.exp(cloud.log_weights).sum(-1), 1.0, rtol=1e-9)


@pytest.mark.slow
def test_forecast_is_close_to_that_of_the_linear_model():
    parts = [observations(), observations(2)[:3]]
    exact = KalmanFilter(**MODEL).forecast(parts, 2)
    found = ParticleFilter(*LINEAR, num_particles=20_000).forecast(parts, 2, seed=1)
    for name in ("covariances", "observation_covariances"):
        spread = getattr(exact, name)
        scale = deviations(spread)
        means = name.replace("covariances", "means")
        assert (np.abs(getattr(found, means) - getattr(exact, means)) < 0.05 * scale).all()
        allowed = 0.1 * scale[..., :, None] * scale[..., None, :]
        assert (np.abs(getattr(found, name) - spread) < allowed).all()


GRID = np.linspace(-6.0, 6.0, 1201)


def on_a_grid(log_seen, move_mean, move_sd, first_sd, y):
    """Filtered means, and ``log p(y)``, of a model of one number, by sums over a grid."""
    width = GRID[1] - GRID[0]
    belief = stats.norm.pdf(GRID, 0.0, first_sd)
    kernel = stats.norm.pdf(GRID[:, None], move_mean(GRID)[None], move_sd) * width
    means, total = [], 0.0
    for value in y:
        if not np.isnan(value):
            belief = belief * np.exp(log_seen(value))
        mass = belief.sum() * width
        total += np.log(mass)
        belief = belief / mass
        means.append((GRID * belief).sum() * width)
        belief = kernel @ belief
    return np.array(means), total


def counts_of(x):
    return tfd.Independent(tfd.Poisson(log_rate=x + 1.0), 1)


@pytest.mark.parametrize("method", ["bootstrap", pytest.param("auxiliary", marks=pytest.mark.slow)])
def test_any_distributions_are_filtered_as_sums_over_a_grid_say(method):
    one = tf.ones(1, tf.float64)
    counts = ParticleFilter.of(
        tfd.MultivariateNormalDiag(0.0 * one, one),
        lambda x: tfd.MultivariateNormalDiag(0.9 * x, 0.4 * one),
        counts_of,
        num_particles=5_000,
        method=method,
    )
    y = np.array([2.0, 0.0, np.nan, 7.0, 9.0])
    means, total = on_a_grid(
        lambda value: stats.poisson.logpmf(value, np.exp(GRID + 1.0)),
        lambda x: 0.9 * x,
        0.4,
        1.0,
        y,
    )
    found = counts.filter(y, seed=1)
    np.testing.assert_allclose(found.means[:, 0], means, atol=0.05)
    assert found.log_likelihood == pytest.approx(total, abs=0.15)


def test_two_humps_are_both_kept():
    # the square is seen, so the sign is never known: a Gaussian could not say so
    square = ParticleFilter(lambda x: x, lambda x: x**2, 0.01, 0.1, [0.0], 4.0, num_particles=5_000)
    cloud = square.particles(np.full(4, 4.0), seed=1)
    weights, states = np.exp(cloud.log_weights[-1]), cloud.states[-1, :, 0]
    assert 0.3 < weights[states > 0].sum() < 0.7
    assert (weights * (np.abs(np.abs(states) - 2.0) < 0.5)).sum() > 0.99
    states, y = square.sample(3, n=4, seed=1)
    assert states.shape == y.shape == (4, 3, 1)


@pytest.mark.slow
def test_draws_of_any_distributions_follow_them():
    one = tf.ones(1, tf.float64)
    chain = ParticleFilter.of(
        tfd.MultivariateNormalDiag(one, 0.1 * one),
        lambda x: tfd.MultivariateNormalDiag(2.0 * x, 0.1 * one),
        counts_of,
    )
    states, y = chain.sample(2, n=4_000, seed=1)
    assert states[:, 1].mean() == pytest.approx(2.0, abs=5 * np.sqrt(0.05 / 4_000))
    assert y[:, 0].mean() == pytest.approx(np.exp(2.0 + 0.005), abs=5 * np.sqrt(8.0 / 4_000))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(OptionsError, match="R must be positive definite"):
        ParticleFilter(*LINEAR[:3], np.zeros((2, 2)), *LINEAR[4:])
    with pytest.raises(OptionsError, match=r"Did you mean 'auxiliary'"):
        ParticleFilter(*LINEAR, method="auxilary")
    with pytest.raises(OptionsError, match=r"resampling must be one of.*'stratified'"):
        ParticleFilter(*LINEAR, resampling="strattified")
    with pytest.raises(OptionsError, match=r"threshold must be from 0 to 1. Received: 2"):
        ParticleFilter(*LINEAR, threshold=2)
    still = ParticleFilter(*LINEAR[:2], np.zeros((2, 2)), *LINEAR[3:])
    with pytest.raises(OptionsError, match=r"a Q that is positive definite.*fixed_lag"):
        still.sample_states(observations())
    normal, one = tfd.MultivariateNormalDiag, tf.ones(1, tf.float64)
    with pytest.raises(OptionsError, match=r"initial must lead to.*event shape \[any\]"):
        ParticleFilter.of(tfd.Normal(0.0, 1.0), counts_of, counts_of)
    with pytest.raises(OptionsError, match=r"transition must have the event shape \[1\].*\[2\]"):
        ParticleFilter.of(
            normal(one, one),
            lambda x: normal(tf.concat([x, x], -1), tf.ones(2, x.dtype)),
            counts_of,
        )
    with pytest.raises(OptionsError, match=r"initial must be in float64. Received: float32"):
        ParticleFilter.of(normal([0.0], [1.0]), counts_of, counts_of)


def test_data_that_do_not_fit_are_refused():
    one = tf.ones(2, tf.float64)
    normal = tfd.MultivariateNormalDiag
    flat = ParticleFilter.of(
        normal(0.0 * one, one),
        lambda x: normal(x, one),
        lambda x: tfd.Independent(tfd.Uniform(x - 1.0, x + 1.0), 1),
        num_particles=20,
    )
    with pytest.raises(DataError, match=r"as a whole.*at step 1 of sequence 0"):
        flat.filter([[0.0, 0.0], [0.0, np.nan]])
    with pytest.raises(DataError, match=r"particles lost the state.*at step 1 of sequence 0"):
        flat.filter([[0.0, 0.0], [99.0, 0.0]])
    with pytest.raises(DataError, match="takes no control input"):
        flat.filter([[0.0, 0.0]], [[1.0]])
