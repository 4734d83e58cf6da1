"""The panel of infinitely wide networks, against the textbook's formulas."""

import numpy as np
import pytest
from tfbdl_nngp.network_shown import wide_network
from tfbdl_nngp.panel import NetworkControls


def erf_kernel(x, depth, weight, bias):
    K = bias + weight * np.outer(x, x)
    for _ in range(depth):
        scale = np.sqrt(np.outer(1.0 + 2.0 * np.diag(K), 1.0 + 2.0 * np.diag(K)))
        K = bias + weight * 2.0 / np.pi * np.arcsin(2.0 * K / scale)
    return K


def test_prior_is_the_kernel_and_its_draws_have_its_spread():
    said = wide_network(None, NetworkControls(depth=2))
    variance = np.diag(erf_kernel(said["grid"], 2, 4.0, 0.3))
    np.testing.assert_allclose(said["mean"], 0.0)
    np.testing.assert_allclose(said["sd"] ** 2, variance, rtol=1e-10)
    # eight functions, each of three free numbers at the least: five deviations of their squares
    ratio = float((said["line"] ** 2 / variance).mean())
    assert 0.1 < ratio < 1.0 + 5.0 * np.sqrt(2.0 / 24)


def test_posterior_is_that_of_the_points_shown():
    said = wide_network(None, NetworkControls(depth=1, points=4, noise=0.05))
    x, n = np.concatenate([said["x"], said["grid"]]), 4
    K = erf_kernel(x, 1, 4.0, 0.3)
    A = np.linalg.inv(K[:n, :n] + 0.05 * np.eye(n))
    np.testing.assert_allclose(said["mean"], K[n:, :n] @ A @ said["y"], atol=1e-8)
    spread = np.diag(K)[n:] - np.einsum("ij,jk,ik->i", K[n:, :n], A, K[n:, :n])
    np.testing.assert_allclose(said["sd"] ** 2, spread, atol=1e-8)


@pytest.mark.parametrize(("weight", "ends"), [(0.5, "alike"), (8.0, "apart")])
def test_depth_draws_inputs_together_in_order_and_apart_in_chaos(weight, ends):
    values = wide_network(None, NetworkControls(weight_variance=weight))["correlation"]
    assert len(values) == 31
    assert values[0] == 0.5
    assert (values[-1] > 0.99) == (ends == "alike")
