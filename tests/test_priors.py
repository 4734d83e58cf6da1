"""Priors: densities against SciPy and quadrature, gradients, draws, and E_q[log p(w)]."""

from __future__ import annotations

import itertools
import math
import types

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tfbdl_priors import config, tfbdl_priors
from tfbdl_priors.empirical_normal import EmpiricalNormal
from tfbdl_priors.horseshoe import FLOOR, Horseshoe
from tfbdl_priors.laplace import Laplace
from tfbdl_priors.layerwise import Layerwise
from tfbdl_priors.normal import Normal
from tfbdl_priors.scale_mixture import ScaleMixture
from tfbdl_priors.student_t import StudentT

from tfbdl import distributions, registry
from tfbdl.config import make
from tfbdl.errors import ModelError, OptionsError, SpecError, UnknownNameError
from tfbdl.specs import PriorSpec

layers = keras.layers


def horseshoe_log_density(w, tau):
    """Carvalho, Polson and Scott 2010, with SciPy's exponential integral and its asymptotics."""
    u = np.square(np.asarray(w, np.float64) / tau) / 2
    series = 1 / u * (1 - 1 / u + 2 / u**2 - 6 / u**3 + 24 / u**4)
    with np.errstate(over="ignore", invalid="ignore"):
        exp_e1 = np.where(u < 600, np.exp(np.minimum(u, 600)) * scipy.special.exp1(u), series)
    return np.log(exp_e1) - 0.5 * np.log(2 * np.pi**3) - np.log(tau)


def mixture_log_density(w, pi, sigma1, sigma2):
    """Blundell et al. 2015, eq. 7."""
    components = scipy.stats.norm.logpdf(np.asarray(w)[..., None], 0, [sigma1, sigma2])
    return scipy.special.logsumexp(components + np.log([pi, 1 - pi]), axis=-1)


# A prior for each line, with the log density that it must have.
CASES = {
    "normal": (
        Normal(config.NormalOptions(scale=0.7, loc=0.3)),
        scipy.stats.norm(0.3, 0.7).logpdf,
    ),
    "laplace": (Laplace(config.LaplaceOptions(scale=0.7)), scipy.stats.laplace(0, 0.7).logpdf),
    "student_t": (
        StudentT(config.StudentTOptions(df=2.5, scale=0.7)),
        scipy.stats.t(2.5, 0, 0.7).logpdf,
    ),
    "scale_mixture": (
        ScaleMixture(config.ScaleMixtureOptions(pi=0.25, sigma1=0.8)),
        lambda w: mixture_log_density(w, 0.25, 0.8, math.exp(-6)),
    ),
    "scale_mixture_narrow_first": (
        ScaleMixture(config.ScaleMixtureOptions(pi=0.25, sigma1=0.01, sigma2=2.0)),
        lambda w: mixture_log_density(w, 0.25, 0.01, 2.0),
    ),
    "horseshoe": (
        Horseshoe(config.HorseshoeOptions(scale=0.7)),
        lambda w: horseshoe_log_density(w, 0.7),
    ),
    "empirical_normal": (
        EmpiricalNormal(config.EmpiricalNormalOptions(initial=0.4)),
        scipy.stats.norm(0, 0.4).logpdf,
    ),
    "layerwise": (
        Layerwise(config.LayerwiseOptions(gain=3.0, scale=0.6)),
        scipy.stats.norm(0, 0.6).logpdf,
    ),
}
# 0 is left out: two of the densities are not smooth there.
POINTS = np.concatenate([s * np.geomspace(1e-4, 30.0, 60) for s in (-1, 1)])
cases = pytest.mark.parametrize(("prior", "log_density"), CASES.values(), ids=CASES)


@cases
def test_log_prob_is_the_log_density(prior, log_density):
    expected = log_density(POINTS)
    double = prior.distribution((), "float64")
    np.testing.assert_allclose(double.log_prob(POINTS), expected, rtol=1e-10, atol=1e-10)
    single = prior.distribution((), "float32").log_prob(POINTS.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)


@cases
def test_density_integrates_to_one(prior, log_density):
    # w = sinh(v)**3 spreads the peak at zero and reaches 1e19.
    v = np.linspace(-15, 15, 400_002)
    w = np.sinh(v) ** 3
    density = np.exp(prior.distribution((), "float64").log_prob(w).numpy())
    total = scipy.integrate.simpson(density * 3 * np.sinh(v) ** 2 * np.cosh(v), x=v)
    assert abs(total - 1) < 1e-6


@cases
def test_gradient_is_that_of_the_density(prior, log_density):
    def gradient(dtype):
        w = tf.constant(POINTS, dtype)
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = prior.distribution((), dtype).log_prob(w)
        return tape.gradient(value, w).numpy()

    step = 1e-4 * np.abs(POINTS)
    differences = (
        8 * (log_density(POINTS + step) - log_density(POINTS - step))
        - (log_density(POINTS + 2 * step) - log_density(POINTS - 2 * step))
    ) / (12 * step)
    np.testing.assert_allclose(gradient("float64"), differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient("float32"), differences, rtol=2e-4, atol=2e-5)


@cases
def test_distribution_has_the_shape_and_dtype_asked_for(prior, log_density):
    for dtype in ("float32", "float64"):
        for shape in ((3, 2), (), (4,)):
            p = prior.distribution(shape, dtype, "dense.kernel")
            assert p.event_shape == shape
            assert p.batch_shape == ()
            assert p.dtype.name == dtype
            w = p.sample(5, seed=(1, 2))
            assert w.shape == (5, *shape)
            assert w.dtype.name == dtype
            assert p.log_prob(w).shape == (5,)


@cases
def test_log_prob_sums_over_the_tensor(prior, log_density):
    p = prior.distribution((4,), "float64")
    w = np.array([0.3, -0.02, 1.7, 5.0])
    np.testing.assert_allclose(p.log_prob(w), log_density(w).sum(), rtol=1e-9)


@cases
def test_draws_follow_the_density(prior, log_density):
    w = prior.distribution((), "float64").sample(20_000, seed=(3, 4)).numpy()
    edges = np.array([-2.0, -0.9, -0.3, -0.05, -0.003, 0.0, 0.003, 0.05, 0.3, 0.9, 2.0])
    expected = np.array(
        [
            scipy.integrate.quad(lambda x: np.exp(log_density(x)), a, b, limit=200)[0]
            for a, b in itertools.pairwise(edges)
        ]
    )
    counts = np.histogram(w, edges)[0] / len(w)
    sigma = np.sqrt(expected * (1 - expected) / len(w))
    assert np.all(np.abs(counts - expected) < 4 * sigma + 1e-5)


@pytest.mark.parametrize(
    ("name", "mean", "variance"),
    [
        ("normal", 0.3, 0.49),
        ("laplace", 0.0, 2 * 0.49),
        ("student_t", 0.0, 2.5 / 0.5 * 0.49),
        ("scale_mixture", 0.0, 0.25 * 0.64 + 0.75 * math.exp(-12)),
        ("empirical_normal", 0.0, 0.16),
        ("layerwise", 0.0, 0.36),
    ],
)
def test_moments_are_those_of_the_distribution(name, mean, variance):
    p = CASES[name][0].distribution((2,), "float64")
    np.testing.assert_allclose(p.mean(), [mean, mean], rtol=1e-12)
    np.testing.assert_allclose(p.variance(), [variance, variance], rtol=1e-12)
    draws = p.sample(50_000, seed=(5, 6)).numpy()
    assert abs(draws.mean() - mean) < 4 * math.sqrt(variance / draws.size)
    if name != "student_t":  # with 2.5 degrees of freedom its fourth moment does not exist
        kurtosis = np.mean((draws - mean) ** 4) / variance**2
        error = variance * math.sqrt((kurtosis - 1) / draws.size)
        assert abs(draws.var() - variance) < 4 * error


def test_horseshoe_is_right_from_its_floor_to_the_far_tail():
    tau = 0.7
    w = tau * np.sqrt(2 * np.geomspace(2 * FLOOR, 1e24, 4001))
    expected = horseshoe_log_density(w, tau)
    prior = CASES["horseshoe"][0]
    np.testing.assert_allclose(
        prior.distribution((), "float64").log_prob(w), expected, rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(
        prior.distribution((), "float32").log_prob(w.astype(np.float32)),
        expected,
        rtol=1e-5,
        atol=1e-5,
    )


def test_horseshoe_is_finite_at_zero():
    for dtype in ("float32", "float64"):
        w = tf.zeros((), dtype)
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = CASES["horseshoe"][0].distribution((), dtype).log_prob(w)
        expected = horseshoe_log_density(0.7 * math.sqrt(2 * FLOOR), 0.7)
        assert value.numpy() == pytest.approx(expected, rel=1e-6)
        assert tape.gradient(value, w).numpy() == 0.0


def test_densities_are_equal_under_xla():
    w = tf.constant(POINTS, tf.float32)

    def step(w):
        values = [prior.distribution(w.shape).log_prob(w) for prior, _ in CASES.values()]
        return tf.stack(values), tf.gradients(tf.add_n(values), w)[0]

    graph = tf.function(step, autograph=False)(w)
    compiled = tf.function(step, jit_compile=True, autograph=False)(w)
    np.testing.assert_allclose(graph[0], compiled[0], rtol=1e-5)
    np.testing.assert_allclose(graph[1], compiled[1], rtol=1e-4)


@pytest.mark.parametrize("hyperprior", ["half_cauchy", "log_normal"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_empirical_normal_learns_one_scale_for_each_tensor(hyperprior, dtype):
    prior = EmpiricalNormal(config.EmpiricalNormalOptions(hyperprior=hyperprior, hyper_scale=2.0))
    (name, scale) = next(iter(prior.parameters((3, 2), "dense.kernel", dtype).items()))
    assert (name, scale.shape, scale.initial) == ("scale", (), 1.0)
    value = tf.constant(0.5, dtype)
    assert scale.bijector.forward(scale.bijector.inverse(value)).numpy() == pytest.approx(0.5)
    expected = {
        "half_cauchy": scipy.stats.halfcauchy(0, 2.0),
        "log_normal": scipy.stats.lognorm(2.0),
    }[hyperprior].logpdf(0.5)
    assert scale.prior.log_prob(value).numpy() == pytest.approx(expected, rel=1e-6)
    w = tf.constant([[0.2, -0.4, 1.0]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(value)
        log_prob = prior.distribution((1, 3), dtype, scale=value).log_prob(w)
    # d/ds sum(-w^2 / (2 s^2) - log s) = sum(w^2) / s^3 - n / s
    assert tape.gradient(log_prob, value).numpy() == pytest.approx(1.2 / 0.125 - 6, rel=1e-5)


def test_distribution_refuses_an_unknown_parameter():
    with pytest.raises(ModelError, match=r"no parameter 'scales'. Did you mean 'scale'"):
        CASES["empirical_normal"][0].distribution((), scales=tf.constant(1.0))
    with pytest.raises(ModelError, match=r"no parameter 'scale'. Known: none"):
        CASES["normal"][0].distribution((), scale=tf.constant(1.0))


def test_distribution_refuses_half_precision_and_unknown_shapes():
    with pytest.raises(OptionsError, match=r"float32 or float64. Received: bfloat16"):
        CASES["normal"][0].distribution((), "bfloat16")
    with pytest.raises(ModelError, match="whole shape"):
        CASES["normal"][0].distribution((None, 2))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("normal", {"scale": 0.0}),
        ("laplace", {"scale": -1.0}),
        ("student_t", {"df": 0.0}),
        ("scale_mixture", {"pi": 1.0}),
        ("scale_mixture", {"sigma2": 0.0}),
        ("horseshoe", {"scale": 0.0}),
        ("empirical_normal", {"initial": 0.0}),
        ("empirical_normal", {"hyperprior": "normal"}),
        ("layerwise", {"gain": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    spec = next(spec for spec in tfbdl_priors() if spec.name == name)
    (option,) = options
    with pytest.raises(OptionsError, match=f"'{option}' of the .* must be .* Received: "):
        make(spec.config, options)


def test_each_spec_points_to_its_prior():
    for spec in tfbdl_priors():
        prior = registry.resolve(spec.factory)(spec.config())
        assert isinstance(prior, distributions.Prior)
        assert prior.Options is spec.config


@pytest.fixture
def installed(monkeypatch):
    """A registry that holds the priors of this plugin and one that makes no prior."""
    broken = PriorSpec(name="broken", summary="Makes a number", factory=lambda options: 3)
    provider = registry.Provider("priors", "tfbdl", "1.0")
    entries = {spec.name: (spec, provider) for spec in (*tfbdl_priors(), broken)}
    priors = registry.Catalog("prior", entries)
    monkeypatch.setattr(registry, "registry", lambda: types.SimpleNamespace(priors=priors))


@pytest.mark.usefixtures("installed")
def test_prior_is_made_by_name_and_made_again_from_name_and_options():
    prior = distributions.prior("scale_mixture", pi=0.25)
    assert (distributions.name_of(prior), prior.options.pi) == ("scale_mixture", 0.25)
    again = distributions.get(distributions.name_of(prior), prior.options.model_dump(mode="json"))
    assert again.options == prior.options
    assert type(again) is type(prior)
    assert distributions.get(prior) is prior
    assert repr(prior).startswith("scale_mixture(pi=0.25, sigma1=1.0, ")


@pytest.mark.usefixtures("installed")
def test_prior_refuses_what_it_cannot_make():
    with pytest.raises(UnknownNameError, match="Did you mean 'horseshoe'"):
        distributions.prior("horse_shoe")
    with pytest.raises(OptionsError, match=r"prior 'normal' have no 'scal'. Did you mean 'scale'"):
        distributions.prior("normal", scal=1.0)
    with pytest.raises(SpecError, match=r"factory of prior 'broken' must return .* Received: 3"):
        distributions.prior("broken")
    with pytest.raises(OptionsError, match="prior_options go with a prior's name"):
        distributions.get(distributions.prior("normal"), {"scale": 2.0})
    with pytest.raises(OptionsError, match=r"must be a name or a tfbdl.distributions.Prior"):
        distributions.get(1.0)
    with pytest.raises(ModelError, match="no registered name"):
        distributions.name_of(CASES["normal"][0])


def test_a_prior_that_overrides_nothing_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="must override element"):
        distributions.Prior(config.NormalOptions()).distribution(())


def test_expected_log_prob_of_a_normal_is_exact():
    mean, stddev = np.array([[0.3, -1.0], [2.0, 0.0]]), np.array([[0.1, 0.5], [1.5, 0.0]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    normal = scipy.stats.norm(0.3, 0.7)
    expected = sum(
        weights @ normal.logpdf(m + s * nodes) / weights.sum()
        for m, s in zip(mean.ravel(), stddev.ravel(), strict=True)
    )
    sample = tf.constant(np.full([2, 2], 99.0))
    independent = tfd.Independent(tfd.Normal(tf.fill([2, 2], tf.constant(0.3, tf.float64)), 0.7), 2)
    for p in (CASES["normal"][0].distribution((2, 2), "float64"), independent):
        assert distributions.has_closed_form(p)
        value = distributions.expected_log_prob(p, sample, mean, stddev)
        assert value.numpy() == pytest.approx(expected, rel=1e-12)
    p = CASES["normal"][0].distribution((2, 2), "float64")
    batch = distributions.expected_log_prob(p, sample, np.stack([mean, mean]), stddev)
    np.testing.assert_allclose(batch, [expected, expected], rtol=1e-12)
    scalar = distributions.expected_log_prob(
        CASES["normal"][0].distribution((), "float64"), 99.0, np.float64(2.0), np.float64(1.5)
    )
    assert scalar.numpy() == pytest.approx(normal.logpdf(2.0) - 0.5 * (1.5 / 0.7) ** 2, rel=1e-12)


@pytest.mark.parametrize("name", ["laplace", "student_t", "scale_mixture", "horseshoe"])
def test_expected_log_prob_of_another_prior_is_that_of_the_draw(name):
    prior, log_density = CASES[name]
    p = prior.distribution((2,), "float64")
    assert not distributions.has_closed_form(p)
    w = np.array([0.3, -0.01])
    value = distributions.expected_log_prob(p, tf.constant(w), np.zeros(2), np.ones(2))
    assert value.numpy() == pytest.approx(log_density(w).sum(), rel=1e-9)
