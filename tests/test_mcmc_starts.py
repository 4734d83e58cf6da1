"""Where chains begin."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import LinearModel, linear_data, network

import tfbdl
from tfbdl import errors
from tfbdl.inference.mcmc import FlatTarget
from tfbdl.inference.mcmc.starts import starting_points
from tfbdl.log_density import condition

tfb = tfp.bijectors
tfd = tfp.distributions

SCALES = np.array([0.1, 1.0, 3.0], "float32")
CENTRE = np.array([4.0, -7.0, 1.0], "float32")


@pytest.fixture(scope="module")
def target():
    """A normal far from where the model would begin, and a scale."""
    return FlatTarget(
        tfbdl.LogDensity(
            lambda x, s: (
                -0.5 * tf.reduce_sum(((x - CENTRE) / SCALES) ** 2) + tfd.Gamma(9.0, 3.0).log_prob(s)
            ),
            {"x": (3,), "s": ()},
            {"s": tfb.Exp()},
        )
    )


def test_the_models_own_start_is_near_zero(target):
    states = starting_points(target, "model", 4, seed=1)
    assert states.shape == (4, 4)
    assert np.abs(states).max() < 0.6  # standard deviation 0.1
    assert len(np.unique(states[:, 0])) == 4


def test_the_mode_is_that_of_the_unconstrained_density(target):
    states = starting_points(target, "mode", 3, seed=1).numpy()
    np.testing.assert_allclose(states[:, :3], np.tile(CENTRE, (3, 1)), atol=0.15)
    np.testing.assert_allclose(np.exp(states[:, 3]), 3.0, rtol=0.1)  # shape / rate, by Jacobian
    assert np.ptp(states, axis=0).min() > 0


def test_pathfinder_draws_from_the_normal_around_the_mode(target):
    states = starting_points(target, "pathfinder", 60, seed=1).numpy()
    spread = states.std(axis=0)
    np.testing.assert_allclose(spread[:3], SCALES, rtol=0.4)  # 60 draws: 9 %; ELBO of 16 draws
    assert np.all(np.abs(states[:, :3].mean(0) - CENTRE) < 0.6 * SCALES)
    assert spread[3] == pytest.approx(1 / 3.0, rel=0.4)  # the curvature of log Gamma(9)


def test_starts_are_a_function_of_the_seed(target):
    one, again, other = (starting_points(target, "mode", 2, seed).numpy() for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_the_prior_of_a_network_gives_each_chain_its_own_weights():
    model = network()
    x = tf.zeros((4, 2)), tf.zeros(4)
    target = FlatTarget(model, x)
    states = starting_points(target, "prior", 50, seed=2)
    values = target.constrain(states)
    weights = np.concatenate(
        [values[n].numpy().reshape(50, -1) for n in model.weight_sites()], axis=1
    )
    assert abs(weights.mean()) < 4 / np.sqrt(weights.size)
    assert weights.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * weights.size))
    log_scale = np.log(values["likelihood.scale"])  # LogNormal(0, 1)
    assert abs(log_scale.mean()) < 4 / np.sqrt(50)
    assert log_scale.std() == pytest.approx(1.0, abs=4 / np.sqrt(100))


def test_runs_with_neighbouring_seeds_share_no_start_from_the_prior():
    target = FlatTarget(network(), (tf.zeros((4, 2)), tf.zeros(4)))
    starts = [starting_points(target, "prior", 2, seed) for seed in (0, 1, 2**63 - 1)]
    assert len(np.unique(np.concatenate(starts)[:, 0])) == 6
    np.testing.assert_array_equal(starts[0], starting_points(target, "prior", 2, 0))


@pytest.mark.slow
def test_a_joint_distribution_is_drawn_from_its_prior_without_its_data():
    joint = tfd.JointDistributionSequentialAutoBatched(
        [
            tfd.Gamma(3.0, 1.0, name="rate"),
            lambda rate: tfd.Sample(tfd.Normal(rate, 0.1), 2, name="y"),
            lambda y: tfd.Normal(y[0], 0.1, name="next"),
        ]
    )
    target = FlatTarget(condition(joint, {"y": [50.0, 50.0]}))
    values = target.constrain(starting_points(target, "prior", 300, seed=2))
    assert set(values) == {"rate", "next"}
    error = np.sqrt(3.0 / 300)
    assert np.mean(values["rate"]) == pytest.approx(3.0, abs=4 * error)  # the prior: y is unread
    assert np.var(values["rate"]) == pytest.approx(3.0, rel=4 * np.sqrt((2 + 2) / 300))
    np.testing.assert_allclose(values["next"], 50.0, atol=0.6)  # given the observed y


def test_a_log_density_has_no_prior_to_draw_from(target):
    with pytest.raises(errors.ModelError, match=r"LogDensity cannot draw.*no sample_prior"):
        starting_points(target, "prior", 2, seed=0)


def test_a_model_that_cannot_draw_from_its_prior_says_so():
    target = FlatTarget(LinearModel(), tuple(map(tf.constant, linear_data())))
    with pytest.raises(errors.ModelError, match=r"LinearModel cannot draw.*start='model'"):
        starting_points(target, "prior", 2, seed=0)


def test_an_unknown_way_is_refused(target):
    with pytest.raises(errors.OptionsError, match="Did you mean 'pathfinder'"):
        starting_points(target, "pathfind", 2, seed=0)
