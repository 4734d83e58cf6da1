"""LogDensity and joint distributions as models."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import errors
from tfbdl.log_density import condition, unconstrained_shape

tfb = tfp.bijectors
tfd = tfp.distributions


def density(mu, tau):
    return tf.reduce_sum(tfd.Normal(0.0, tau).log_prob(mu)) + tfd.Gamma(2.0, 1.0).log_prob(tau)


def make_target(**changes):
    arguments = {"shapes": {"mu": (3,), "tau": ()}, "bijectors": {"tau": tfb.Exp()}, **changes}
    return tfbdl.LogDensity(density, **arguments)


def regression():
    return tfd.JointDistributionNamedAutoBatched(
        {
            "slope": tfd.Normal(0.0, 1.0),
            "noise": tfd.HalfNormal(1.0),
            "y": lambda slope, noise: tfd.Normal(slope * tf.linspace(0.0, 1.0, 4), noise),
        }
    )


def test_sites_carry_constrained_shapes_bijectors_and_dtype():
    target = make_target(dtype="float32")
    assert [(s.name, s.shape, s.dtype) for s in target.sites] == [
        ("mu", (3,), "float32"),
        ("tau", (), "float32"),
    ]
    assert target.sites[0].bijector is None
    assert isinstance(target.sites[1].bijector, tfb.Exp)


def test_log_joint_is_the_function_of_one_state_without_jacobians():
    params = {"mu": tf.constant([1.0, -1.0, 0.5]), "tau": tf.constant(2.0)}
    normal = -0.5 * (1.0 + 1.0 + 0.25) / 4.0 - 3 * np.log(2.0 * np.sqrt(2 * np.pi))
    gamma = np.log(2.0) - 2.0  # tau exp(-tau) / Gamma(2)
    assert float(make_target().log_joint(params)) == pytest.approx(normal + gamma, rel=1e-6)


def test_a_vectorized_density_takes_one_state_or_many():
    def many(mu, tau):
        return tf.reduce_sum(tfd.Normal(0.0, tau[:, None]).log_prob(mu), -1) - tau

    target = make_target_of(many)
    states = [target.init(seed) for seed in range(4)]
    together = target.log_joints({k: tf.stack([s[k] for s in states]) for k in states[0]})
    for state, value in zip(states, together, strict=True):
        expected = scipy.stats.norm(0.0, state["tau"]).logpdf(state["mu"]).sum() - state["tau"]
        np.testing.assert_allclose([value, target.log_joint(state)], expected, rtol=1e-5)


def make_target_of(fn):
    shapes = {"mu": (3,), "tau": ()}
    return tfbdl.LogDensity(fn, shapes, {"tau": tfb.Exp()}, vectorized=True)


def test_a_vectorized_density_that_mixes_its_states_is_refused():
    with pytest.raises(errors.ModelError, match=r"one number for each state.*shape \(\)"):
        make_target_of(lambda mu, tau: tf.reduce_sum(mu) - tf.reduce_sum(tau))
    with pytest.raises(errors.ModelError, match="must treat its states apart"):
        make_target_of(lambda mu, tau: tf.reduce_sum(mu**2) - tau)


def test_init_depends_on_the_seed_alone_and_lies_within_the_range():
    target = make_target()
    first, again, other = target.init(1), target.init(1), target.init(2)
    np.testing.assert_array_equal(first["mu"], again["mu"])
    assert not np.array_equal(first["mu"], other["mu"])
    assert np.abs(first["mu"]).max() < 1.0
    assert float(first["tau"]) > 0.0


def test_init_takes_the_start_that_is_given():
    target = make_target(initial={"tau": 3.0})
    assert float(target.init(5)["tau"]) == pytest.approx(3.0)


def test_unconstrained_shape_is_that_of_the_bijectors_input():
    target = tfbdl.LogDensity(
        lambda w: tf.reduce_sum(tf.math.log(w)),
        {"w": (4,)},
        {"w": tfb.IteratedSigmoidCentered()},
    )
    assert unconstrained_shape(target.sites[0]) == (3,)
    assert float(tf.reduce_sum(target.init(0)["w"])) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": {}}, "at least one site"),
        ({"bijectors": {"tua": tfb.Exp()}}, "Did you mean 'tau'"),
        ({"initial": {"mo": 1.0}}, "Did you mean 'mu'"),
        ({"shapes": {"mu": (0,), "tau": ()}}, "'mu' must be whole numbers of at least 1"),
        ({"shapes": {"mu": (3,), "sigma": ()}, "bijectors": None}, "mu, sigma as keywords"),
        ({"initial": {"tau": -1.0}}, "outside its range"),
    ],
)
def test_a_wrong_argument_is_refused(changes, message):
    with pytest.raises(errors.ModelError, match=message):
        make_target(**changes)


def test_a_density_that_is_no_scalar_is_refused():
    with pytest.raises(errors.ModelError, match=r"must be a scalar.*shape \(3,\)"):
        tfbdl.LogDensity(lambda mu: -(mu**2), {"mu": (3,)})


def test_condition_makes_the_other_parts_sites():
    y = np.array([0.1, 0.4, 0.2, 0.9], "float32")
    target = condition(regression(), {"y": y})
    assert {site.name for site in target.sites} == {"slope", "noise"}
    slope, noise = 0.7, 0.5
    expected = (
        -0.5 * slope**2 - 0.5 * np.log(2 * np.pi)
        + np.log(2.0) - 0.5 * noise**2 - 0.5 * np.log(2 * np.pi)
        + np.sum(-0.5 * ((y - slope * np.linspace(0, 1, 4)) / noise) ** 2)
        - 4 * np.log(noise * np.sqrt(2 * np.pi))
    )  # fmt: skip
    value = target.log_joint({"slope": tf.constant(slope), "noise": tf.constant(noise)})
    assert float(value) == pytest.approx(expected, rel=1e-5)


def coroutine():
    @tfd.JointDistributionCoroutineAutoBatched
    def joint():
        mean = yield tfd.Normal(0.0, 1.0, name="mean")
        weights = yield tfd.Dirichlet(tf.ones(3), name="weights")
        yield tfd.Normal(mean + weights[0], tf.ones(5), name="y")

    return joint


def sequential():
    return tfd.JointDistributionSequential(
        [
            tfd.Normal(0.0, 1.0, name="mean"),
            lambda mean: tfd.Independent(tfd.Normal(mean * tf.ones(5), 1.0), 1, name="y"),
        ]
    )


@pytest.mark.parametrize("make", [coroutine, sequential])
def test_condition_takes_every_kind_of_joint_distribution(make):
    target = condition(make(), {"y": np.zeros(5)})
    state = target.init(0)
    assert float(state["mean"]) == pytest.approx(0.0, abs=1.0)
    assert np.isfinite(target.log_joint(state))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"yy": np.zeros(4)}, "no part 'yy'. Did you mean 'y'"),
        ({"y": np.zeros(3)}, r"must have the shape \(4,\).*Received: \(3,\)"),
        ({"y": [0.0, 1.0, np.nan, 2.0]}, "NaN or infinite"),
        ({"y": np.zeros(4), "slope": 0.0, "noise": 1.0}, "All parts .* are observed"),
        ([1.0, 2.0], "by name, as a mapping"),
    ],
)
def test_condition_refuses_data_that_do_not_fit(data, message):
    with pytest.raises(errors.DataError, match=message):
        condition(regression(), data)


def test_condition_refuses_a_range_that_depends_on_another_part():
    joint = tfd.JointDistributionNamed(
        {"bound": tfd.Gamma(2.0, 1.0), "x": lambda bound: tfd.Uniform(0.0, bound)}
    )
    with pytest.raises(errors.ModelError, match="range of the part 'x' depends"):
        condition(joint, None)


def test_condition_refuses_a_discrete_part_that_is_not_observed():
    joint = tfd.JointDistributionNamed(
        {"z": tfd.Bernoulli(0.5), "x": lambda z: tfd.Normal(tf.cast(z, "float32"), 1.0)}
    )
    with pytest.raises(errors.ModelError, match="'z' is discrete"):
        condition(joint, {"x": 0.3})


def test_condition_refuses_a_joint_whose_density_is_no_scalar():
    joint = tfd.JointDistributionNamed(
        {"m": tfd.Normal(0.0, 1.0), "y": lambda m: tfd.Normal(m * tf.ones(5), 1.0)}
    )
    with pytest.raises(errors.ModelError, match="must be a scalar"):
        condition(joint, {"y": np.zeros(5)})


@pytest.mark.parametrize("make", [make_target, regression])
def test_the_default_engine_is_named_where_it_is_not_installed(make):
    if "nuts" in tfbdl.engines:
        assert tfbdl.plan(make()).engine.name == "nuts"
        return
    with pytest.raises(errors.UnknownNameError, match=r"'nuts'.*Known: .*variational"):
        tfbdl.plan(make())


def test_a_log_density_takes_no_data():
    with pytest.raises(errors.DataError, match="holds its data itself"):
        tfbdl.fit(make_target(), (np.zeros((3, 1)), np.zeros(3)), engine="variational")


def test_an_unknown_observed_part_is_refused_by_fit():
    with pytest.raises(errors.DataError, match="Did you mean 'y'"):
        tfbdl.fit(regression(), {"yy": np.zeros(4)}, engine="variational")
