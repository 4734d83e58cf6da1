"""Stochastic gradients: unbiased, with and without control variates, of any chain."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import PRECISION, Line, correlated_gaussian, linear_data
from tfbdl_engines.sgmcmc import Sghmc
from tfbdl_engines.sgmcmc_config import SghmcOptions

import tfbdl
from tfbdl import random
from tfbdl.inference import sgmcmc
from tfbdl.protocols import Context

tfb = tfp.bijectors
tfd = tfp.distributions


def linear_density(**options):
    rows = tuple(tf.constant(part) for part in linear_data())
    return sgmcmc.StochasticDensity(Line(), rows, **options)


def test_minibatch_gradient_is_unbiased():
    density = linear_density(batch_size=1)
    states = {"w": tf.fill((60,), 0.7)}
    each = density.estimate(states, tf.range(60)[:, tf.newaxis])  # a row to each chain
    whole = density.full_gradient({"w": tf.constant([0.7])})["w"]
    x, y = (part.astype("float64") for part in linear_data())
    truth = np.sum(x[:, 0] * (y - 0.7 * x[:, 0])) - 0.7
    np.testing.assert_allclose(np.mean(each.gradient["w"]), truth, rtol=1e-5)
    np.testing.assert_allclose(whole, [truth], rtol=1e-5)


def test_full_gradient_in_blocks_is_the_gradient_of_all_rows(monkeypatch):
    monkeypatch.setattr(sgmcmc.density, "BLOCK", 25)  # 25, 25 and 10 rows
    density = linear_density(batch_size=8)
    x, y = (part.astype("float64") for part in linear_data())
    for w, found in zip(
        [0.7, -2.0], density.full_gradient({"w": tf.constant([0.7, -2.0])})["w"], strict=True
    ):
        truth = np.sum(x[:, 0] * (y - w * x[:, 0])) - w
        assert float(found) == pytest.approx(truth, rel=1e-5)


def test_minibatches_are_uniform_and_differ_by_chain_and_step():
    density = linear_density(batch_size=20)
    keys = random.split(random.key(2), 3)
    rows = np.stack([density.rows(keys, tf.constant(step)) for step in range(200)])
    assert rows.shape == (200, 3, 20)
    counts = np.bincount(rows.ravel(), minlength=60)
    assert counts.size == 60
    chi_square = np.sum((counts - 200.0) ** 2 / 200.0)  # 59 degrees of freedom: sd 10.9
    assert 25 < chi_square < 105
    assert not np.array_equal(rows[0, 0], rows[0, 1])
    assert not np.array_equal(rows[0, 0], rows[1, 0])


def test_control_variate_is_unbiased_and_lowers_the_variance_near_the_mode():
    density = linear_density(batch_size=1)
    x, y = (part.astype("float64") for part in linear_data())
    mode = np.sum(x[:, 0] * y) / (np.sum(x[:, 0] ** 2) + 1.0)
    near = mode + 1.0 / np.sqrt(np.sum(x[:, 0] ** 2) + 1.0)  # a posterior deviation away
    states, anchor = ({"w": tf.fill((60,), tf.constant(v, "float32"))} for v in (near, mode))
    rows = tf.range(60)[:, tf.newaxis]
    plain = density.estimate(states, rows).gradient["w"].numpy()
    controlled = density.controlled(states, rows, anchor, density.full_gradient(anchor))
    gradient = controlled.gradient["w"].numpy()
    np.testing.assert_allclose(gradient.mean(), plain.mean(), rtol=1e-3, atol=1e-3)
    # of row i: N x_i (y_i - w x_i) - w; the control variate leaves N x_i^2 (mode - w)
    expected = np.var(60 * x[:, 0] ** 2 * (mode - near)) / np.var(
        60 * x[:, 0] * (y - near * x[:, 0])
    )
    assert gradient.var() / plain.var() == pytest.approx(expected, rel=1e-3)
    assert gradient.var() / plain.var() < 0.1


def test_curvature_is_the_diagonal_of_the_hessian_in_the_mean_over_signs():
    density = sgmcmc.StochasticDensity(correlated_gaussian())
    states = {"x": tf.constant([[0.3, -1.0]] * 4, "float64")}
    probes = {"x": tf.constant([[1, 1], [1, -1], [-1, 1], [-1, -1]], "float64")}
    curvature = density.estimate(states, None, probes).curvature["x"]
    np.testing.assert_allclose(np.mean(curvature, 0), -np.diag(PRECISION), rtol=1e-9)


def test_chains_one_by_one_have_the_gradients_of_chains_at_once():
    states = {"w": tf.constant([0.1, -0.4, 2.0])}
    rows = tf.constant([[0, 5], [7, 7], [59, 1]])
    both = [
        tf.function(linear_density(batch_size=2, vectorize=v).estimate, jit_compile=True)(
            states, rows
        )
        for v in (True, False)
    ]
    np.testing.assert_allclose(both[0].gradient["w"], both[1].gradient["w"], rtol=1e-6)
    np.testing.assert_allclose(both[0].log_joint, both[1].log_joint, rtol=1e-6)


def test_constrained_site_is_sampled_with_its_jacobian():
    target = tfbdl.LogDensity(
        lambda tau: tfd.Gamma(tf.constant(4.0, "float64"), 2.0).log_prob(tau),
        shapes={"tau": ()},
        bijectors={"tau": tfb.Exp()},
        dtype="float64",
    )
    options = SghmcOptions(chains=64, warmup=500, draws=2000, thin=8, step_size=0.01, friction=0.1)
    draws = Sghmc(options).fit(target, None, Context(seed=2)).posterior.draws["tau"]
    assert draws.min() > 0.0
    # without the Jacobian the mean would be 3/2
    np.testing.assert_allclose([draws.mean(), draws.var()], [2.0, 1.0], rtol=0.04)
