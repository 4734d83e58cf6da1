"""The panel of infinitely wide networks, against the textbook's formulas."""

import numpy as np
import pytest
from scipy import stats
from tfbdl_nngp.network_shown import wide_network
from tfbdl_nngp.panel import CURVE, NetworkControls


def erf_kernel(x, depth, weight, bias):
    K = bias + weight * np.outer(x, x)
    for _ in range(depth):
        scale = np.sqrt(np.outer(1.0 + 2.0 * np.diag(K), 1.0 + 2.0 * np.diag(K)))
        K = bias + weight * 2.0 / np.pi * np.arcsin(2.0 * K / scale)
    return K


def test_prior_is_the_kernel_and_its_draws_have_its_spread():
    said = wide_network(None, NetworkControls(points=None, depth=2))
    variance = np.diag(erf_kernel(said["grid"], 2, 4.0, 0.3))
    np.testing.assert_allclose(said["mean"], 0.0)
    np.testing.assert_allclose(said["sd"] ** 2, variance, rtol=1e-10)
    np.testing.assert_allclose(said["prior_sd"], said["sd"])
    # eight functions, each of three free numbers at the least: five deviations of their squares
    ratio = float((said["line"] ** 2 / variance).mean())
    assert 0.1 < ratio < 1.0 + 5.0 * np.sqrt(2.0 / 24)


@pytest.mark.parametrize("points", [CURVE[:4], [(0.25, -3.5)], [(-1.0, 1.0), (1.0, -2.0)]])
def test_posterior_is_that_of_the_points_clicked(points):
    said = wide_network(None, NetworkControls(depth=1, points=points, noise=0.05))
    np.testing.assert_array_equal(np.stack([said["x"], said["y"]], axis=1), points)
    x, n = np.concatenate([said["x"], said["grid"]]), len(points)
    K = erf_kernel(x, 1, 4.0, 0.3)
    A = np.linalg.inv(K[:n, :n] + 0.05 * np.eye(n))
    np.testing.assert_allclose(said["mean"], K[n:, :n] @ A @ said["y"], atol=1e-8)
    spread = np.diag(K)[n:] - np.einsum("ij,jk,ik->i", K[n:, :n], A, K[n:, :n])
    np.testing.assert_allclose(said["sd"] ** 2, spread, atol=1e-8)
    np.testing.assert_allclose(said["prior_sd"] ** 2, np.diag(K)[n:], rtol=1e-10)
    joint = stats.multivariate_normal(np.zeros(n), K[:n, :n] + 0.05 * np.eye(n))
    assert said["log_evidence"] == pytest.approx(joint.logpdf(said["y"]))


def test_point_more_leaves_no_more_doubt_anywhere():
    before, after = (wide_network(None, NetworkControls(points=CURVE[:n])) for n in (3, 4))
    assert (after["sd"] <= before["sd"] + 1e-9).all()
    here = np.abs(after["grid"] - CURVE[3][0]).argmin()
    assert after["sd"][here] < 0.2 < before["sd"][here]


def test_two_answers_at_one_place_without_noise_are_still_drawn():
    controls = NetworkControls(points=[(0.5, 1.0), (0.5, -1.0)], noise=0.0)
    said = wide_network(None, controls)
    assert np.isfinite(said["mean"]).all()
    assert np.isfinite(said["line"]).all()


@pytest.mark.parametrize(("weight", "ends"), [(0.5, "alike"), (8.0, "apart")])
def test_depth_draws_inputs_together_in_order_and_apart_in_chaos(weight, ends):
    values = wide_network(None, NetworkControls(weight_variance=weight))["correlation"]
    assert len(values) == 31
    assert values[0] == 0.5
    assert (values[-1] > 0.99) == (ends == "alike")


@pytest.mark.parametrize("activation", ["sin", "tanh"])
def test_variances_that_vanish_leave_correlations_that_are_numbers(activation):
    controls = NetworkControls(activation=activation, weight_variance=0.2, bias_variance=0.0)
    values = wide_network(None, controls)["correlation"]
    assert np.isfinite(values).all()
    # near 0 both are linear, which leaves correlations as they are
    np.testing.assert_allclose(values[-5:], values[-6], atol=1e-4)
