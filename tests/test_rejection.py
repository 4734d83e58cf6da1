"""Rejection and adaptive rejection: exact draws, bounds that are checked, few evaluations."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import tfbdl
from tfbdl import errors
from tfbdl.inference.monte_carlo import adaptive_rejection_sampling, rejection_sampling
from tfbdl.inference.monte_carlo.hull import Hull

tfb = tfp.bijectors
tfd = tfp.distributions
INF = np.inf
ONE = tf.ones((), tf.float64)


# -- rejection -------------------------------------------------------------------------------


def half_circle(z):
    """Wigner's density without its constant ``2 / pi``, zero outside (-1, 1)."""
    inside = tf.maximum(1.0 - z**2, 0.0)
    return 0.5 * tf.math.log(inside)


def test_draws_follow_the_density_and_one_in_m_is_taken():
    uniform = tfd.Uniform(-1.0 * ONE, ONE)
    found = rejection_sampling(half_circle, uniform, np.log(2.0), 10_000, seed=1)
    assert stats.kstest(found.draws, stats.semicircular.cdf).pvalue > 1e-3
    share = np.pi / 4.0  # Z / M with Z = pi / 2, M = 2
    error = np.sqrt(share * (1 - share) / found.candidates)
    assert found.acceptance_rate == pytest.approx(share, abs=4 * error)
    assert found.log_evidence == pytest.approx(np.log(np.pi / 2.0), abs=4 * error / share)
    again = rejection_sampling(half_circle, uniform, np.log(2.0), 100, seed=1).draws
    np.testing.assert_array_equal(again, found.draws[:100])  # more draws go on from fewer


def test_normal_from_cauchy_has_the_known_acceptance():
    log_bound = 0.5 * np.log(2.0 * np.pi) - 0.5  # log of sqrt(2 pi / e), at z = 1 and -1
    found = rejection_sampling(
        tfd.Normal(0.0 * ONE, ONE).log_prob, tfd.Cauchy(0.0 * ONE, ONE), log_bound, 10_000, seed=2
    )
    assert stats.kstest(found.draws, stats.norm.cdf).pvalue > 1e-3
    assert found.acceptance_rate == pytest.approx(np.exp(-log_bound), abs=0.02)
    assert found.log_evidence == pytest.approx(0.0, abs=0.02)


def test_a_density_above_its_bound_is_an_error():
    uniform = tfd.Uniform(-1.0 * ONE, ONE)
    with pytest.raises(errors.TfbdlError, match=r"above its bound.*log_bound=0\.5.*0\.69"):
        rejection_sampling(half_circle, uniform, 0.5, 10_000)


def test_bad_arguments_of_rejection_are_refused():
    uniform = tfd.Uniform(-1.0 * ONE, ONE)
    with pytest.raises(errors.OptionsError, match="log_bound must be a finite number"):
        rejection_sampling(half_circle, uniform, INF, 10)
    with pytest.raises(errors.OptionsError, match="n must be"):
        rejection_sampling(half_circle, uniform, 1.0, 0)
    with pytest.raises(errors.ModelError, match="must be a number below infinity"):
        rejection_sampling(lambda z: tf.math.log(z), uniform, 9.0, 10)
    with pytest.raises(errors.ModelError, match=r"Of 2,000 candidates .* too far"):
        rejection_sampling(half_circle, uniform, 20.0, 10, max_candidates=2_000)
    with pytest.raises(errors.ModelError, match="one distribution"):
        rejection_sampling(half_circle, tfd.Uniform([0.0], [1.0]), 1.0, 10)


def gamma_poisson(shape, rate):
    """A Gamma posterior of a positive number, normalised."""
    constant = shape * np.log(rate) - special.gammaln(shape)

    def fn(lam):
        return constant + (shape - 1.0) * tf.math.log(lam) - rate * lam

    return tfbdl.LogDensity(fn, {"lam": ()}, {"lam": tfb.Exp()}, dtype="float64")


def test_the_engine_draws_exactly_and_finds_its_bound():
    fit = tfbdl.fit(
        gamma_poisson(4.0, 2.0), None, engine="rejection", engine_options={"draws": 4_000}, seed=1
    )
    draws = fit.posterior.draws["lam"]
    assert draws.shape == (1, 4_000)
    assert stats.kstest(draws[0], stats.gamma(4.0, scale=0.5).cdf).pvalue > 1e-3
    assert fit.metrics["log_evidence"] == pytest.approx(0.0, abs=0.02)
    share = np.exp(-fit.metrics["log_bound"])  # 1 / M of a density that is normalised
    assert fit.metrics["acceptance_rate"] == pytest.approx(share, rel=0.05)
    assert fit.diagnostics() is None
    with pytest.raises(errors.ModelError, match="above its bound"):
        tfbdl.fit(
            gamma_poisson(4.0, 2.0), None, engine="rejection", engine_options={"log_bound": -1.0}
        )


# -- adaptive rejection ----------------------------------------------------------------------

CASES = {
    "normal": (lambda x: -0.5 * x**2, (-INF, INF), stats.norm, 0.5 * np.log(2 * np.pi)),
    "gamma": (lambda x: 2.0 * tf.math.log(x) - x, (0.0, INF), stats.gamma(3), np.log(2.0)),
    "logistic": (lambda x: -x - 2 * tf.math.softplus(-x), (-INF, INF), stats.logistic, 0.0),
}
MORE = {
    "far": (lambda x: -0.5 * ((x - 1e4) / 3e-3) ** 2, (-INF, INF), stats.norm(1e4, 3e-3)),
    "laplace": (lambda x: -tf.abs(x - 0.3), (-INF, INF), stats.laplace(0.3)),
    "uniform": (lambda x: 0.0 * x, (2.0, 5.0), stats.uniform(2.0, 3.0)),
    "exponential": (lambda x: -x, (0.0, INF), stats.expon),
    "beta": (lambda x: tf.math.log(x) + 3 * tf.math.log1p(-x), (0.0, 1.0), stats.beta(2, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_thousand_draws_take_fewer_than_sixty_evaluations(name):
    log_density, bounds, law, log_integral = CASES[name]
    looks = []

    def counted(x):
        tf.py_function(lambda: looks.append(1), [], [])
        return log_density(x)

    found = adaptive_rejection_sampling(counted, 10_000, seed=1, bounds=bounds)
    assert stats.kstest(found.draws, law.cdf).pvalue > 1e-3
    assert found.evaluations < 60
    assert len(looks) == found.evaluations
    assert found.squeezed > 9_900  # were taken without a look
    low, high = found.log_bounds
    assert low <= log_integral <= high
    assert high - low < 0.01


@pytest.mark.parametrize("name", MORE)
def test_draws_follow_densities_of_all_shapes(name):
    log_density, bounds, law = MORE[name]
    found = adaptive_rejection_sampling(log_density, 4_000, seed=2, bounds=bounds)
    assert stats.kstest(found.draws, law.cdf).pvalue > 1e-3
    assert found.evaluations < 100


def test_a_density_that_ends_above_is_drawn_from():
    found = adaptive_rejection_sampling(lambda x: x, 4_000, seed=3, bounds=(-INF, 0.0))
    assert stats.kstest(-found.draws, stats.expon.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    "log_density",
    [
        lambda x: tf.reduce_logsumexp(tf.stack([-0.5 * (x - 2) ** 2, -0.5 * (x + 2) ** 2])),
        lambda x: -2.0 * tf.math.log1p(x**2),  # a Student t
        lambda x: 0.3 * tf.sin(4.0 * x) - 0.5 * x**2,
    ],
    ids=["two modes", "heavy tails", "ripples"],
)
def test_a_density_that_is_not_log_concave_is_an_error(log_density):
    with pytest.raises(errors.TfbdlError, match="logarithm is concave"):
        adaptive_rejection_sampling(log_density, 10_000)


def test_bad_arguments_of_adaptive_rejection_are_refused():
    with pytest.raises(errors.ModelError, match="not proper"):
        adaptive_rejection_sampling(lambda x: 0.0 * x, 10)
    with pytest.raises(errors.ModelError, match="finite between its bounds"):
        adaptive_rejection_sampling(tf.math.log, 10, bounds=(-3.0, 3.0))
    with pytest.raises(errors.OptionsError, match="bounds must be ascending"):
        adaptive_rejection_sampling(lambda x: -(x**2), 10, bounds=(1.0, 1.0))
    with pytest.raises(errors.OptionsError, match="between the bounds"):
        adaptive_rejection_sampling(lambda x: -(x**2), 10, bounds=(0.0, 1.0), start=[2.0])


def test_the_hull_encloses_the_density_and_is_its_own_sampler():
    hull = Hull((-INF, INF))
    for x in (-1.0, 0.3, 2.0):
        hull.insert(x, -0.5 * x**2, -x)
    x = np.linspace(-5.0, 5.0, 1_001)
    assert (hull.lower(x) <= -0.5 * x**2 + 1e-12).all()
    assert (hull.upper(x) >= -0.5 * x**2 - 1e-12).all()
    draws = hull.sample(np.random.default_rng(0).uniform(size=(20_000, 2)))
    fine = np.linspace(-30.0, 30.0, 600_001)
    mass = np.cumsum(np.exp(hull.upper(fine))) * (fine[1] - fine[0])
    assert hull.log_areas()[1] == pytest.approx(np.log(mass[-1]), abs=1e-4)
    assert stats.kstest(draws, lambda q: np.interp(q, fine, mass / mass[-1])).pvalue > 1e-3
    inner = np.linspace(-1.0, 2.0, 300_001)
    below = np.exp(hull.lower(inner)).mean() * 3.0
    assert hull.log_areas()[0] == pytest.approx(np.log(below), abs=1e-4)


def test_the_engine_draws_one_parameter_independently():
    fit = tfbdl.fit(
        gamma_poisson(3.0, 2.0),
        None,
        engine="adaptive_rejection",
        engine_options={"draws": 1_000},
        seed=1,
    )
    draws = fit.posterior.draws["lam"]
    assert draws.shape == (4, 1_000)
    assert stats.kstest(draws.ravel(), stats.gamma(3.0, scale=0.5).cdf).pvalue > 1e-3
    assert fit.metrics["log_evidence"] == pytest.approx(0.0, abs=0.02)
    assert fit.metrics["evaluations"] < 60
    assert fit.posterior.independent


def test_the_space_decides_what_is_log_concave():
    target = gamma_poisson(0.5, 1.0)  # infinite at zero; its logarithm has a concave density
    with pytest.raises(errors.ModelError, match="logarithm is concave"):
        tfbdl.fit(target, None, engine="adaptive_rejection")
    options = {"space": "unconstrained", "draws": 1_000}
    fit = tfbdl.fit(target, None, engine="adaptive_rejection", engine_options=options, seed=1)
    draws = fit.posterior.draws["lam"].ravel()
    assert stats.kstest(draws, stats.gamma(0.5).cdf).pvalue > 1e-3


def test_several_parameters_are_drawn_in_turn():
    precision = np.array([[2.0, -1.2], [-1.2, 1.0]])
    covariance = np.linalg.inv(precision)

    def fn(x, s):  # s, of a Gamma, stands alone
        return -0.5 * tf.reduce_sum(x * tf.linalg.matvec(precision, x)) + tf.math.log(s) - s

    target = tfbdl.LogDensity(fn, {"x": (2,), "s": ()}, {"s": tfb.Softplus()}, dtype="float64")
    options = {"chains": 20, "warmup": 10, "draws": 25}
    fit = tfbdl.fit(target, None, engine="adaptive_rejection", engine_options=options, seed=1)
    x, s = fit.posterior.draws["x"], fit.posterior.draws["s"]
    assert x.shape == (20, 25, 2)
    # chains are independent: five standard errors by their means
    for values, mean in (
        (x, 0.0),
        (s, 2.0),
        (x[..., 0] * x[..., 1], covariance[0, 1]),
        (s**2, 6.0),
    ):
        own = values.mean(axis=1)
        assert (np.abs(own.mean(0) - mean) < 5 * own.std(0) / np.sqrt(20)).all()
    assert 2.0 < fit.metrics["evaluations_mean"] < 8.0


def test_sites_without_intervals_are_refused():
    target = tfbdl.LogDensity(
        lambda p: tf.reduce_sum(tf.math.log(p)), {"p": (3,)}, {"p": tfb.IteratedSigmoidCentered()}
    )
    with pytest.raises(errors.ModelError, match=r"interval for each number of the site 'p'"):
        tfbdl.fit(target, None, engine="adaptive_rejection")
