"""Mean-field theory: fixed points by hand, published numbers, the edge of chaos."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats
from tfbdl_nngp import Kernel, MeanField, edge_of_chaos

from tfbdl import errors


def test_relu_has_the_fixed_points_of_its_formulas():
    field = MeanField("relu", weight_variance=1.5, bias_variance=0.2)
    q = 0.2 / (1.0 - 1.5 / 2.0)  # q = 1.5 q / 2 + 0.2
    assert field.variance == pytest.approx(q, rel=1e-9)
    assert field.slope == pytest.approx(1.5 / 2.0, rel=1e-12)
    assert field.variance_depth == pytest.approx(-1.0 / math.log(0.75), rel=1e-9)
    assert field.correlation == pytest.approx(1.0, abs=1e-6)


def test_erf_has_the_variance_and_correlation_where_its_maps_stand_still():
    weight, bias = 6.0, 0.3
    field = MeanField("erf", weight, bias)
    q, c = field.variance, field.correlation
    assert weight * 2.0 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + bias == pytest.approx(q)
    covariance = weight * 2.0 / np.pi * np.arcsin(2 * c * q / (1 + 2 * q)) + bias
    assert covariance / q == pytest.approx(c)
    assert field.slope > 1.0  # chaos: inputs that are alike are drawn apart
    assert 0.0 < c < 1.0


def test_slope_of_the_correlation_map_is_chi():
    field = MeanField("tanh", 1.5, 0.1)
    step = 1e-5
    slope = (1.0 - float(field.correlation_map(1.0 - step))) / step
    assert field.slope == pytest.approx(slope, rel=1e-4)
    q = field.variance

    def squared_slope(z):
        return stats.norm.pdf(z) * np.cosh(np.sqrt(q) * z) ** -4

    assert field.slope == pytest.approx(1.5 * integrate.quad(squared_slope, -12, 12)[0], rel=1e-7)


def test_depth_scales_are_the_rates_at_which_layers_forget():
    field = MeanField("erf", 1.0, 0.3)
    apart = 1.0 - field.correlations(0.2, 25)
    assert apart[-1] / apart[-2] == pytest.approx(
        math.exp(-1.0 / field.correlation_depth), rel=1e-3
    )
    far = abs(field.variances(3.0, 25) - field.variance)
    rate = math.exp(-1.0 / field.variance_depth)
    assert far[20] / far[19] == pytest.approx(rate, rel=1e-2)


@pytest.mark.slow
def test_deep_kernels_end_at_the_fixed_points():
    x = np.random.default_rng(0).normal(size=(4, 8))
    field = MeanField("erf", 4.0, 0.3)
    K = Kernel.mlp(60, "erf", 4.0, 0.3).nngp(x)
    np.testing.assert_allclose(np.diag(K), field.variance, rtol=1e-6)
    off = K[np.triu_indices(4, 1)] / field.variance
    np.testing.assert_allclose(off, field.correlation, rtol=1e-4)


@pytest.mark.slow
def test_edge_of_chaos_of_tanh_is_the_published_one():
    # Schoenholz et al. 2017 and Pennington et al. 2017: (1.76, 0.05) for tanh
    edge = edge_of_chaos("tanh", 0.05)
    assert edge == pytest.approx(1.76, abs=0.01)
    assert MeanField("tanh", edge, 0.05).slope == pytest.approx(1.0, abs=1e-8)
    assert (
        MeanField("tanh", edge - 0.1, 0.05).slope < 1.0 < MeanField("tanh", edge + 0.1, 0.05).slope
    )


@pytest.mark.parametrize("activation", ["tanh", "erf", "sin"])
def test_networks_next_to_the_edge_have_depths_too(activation):
    edge = edge_of_chaos(activation, 0.3)
    for beyond in (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4):
        field = MeanField(activation, edge + beyond, 0.3)
        assert 1.0 - 1e-3 < field.correlation <= 1.0
        assert field.correlation_depth > 1e3
    # 1 - c* is of the order of chi_1 - 1, and so is 1 less the slope there
    assert field.correlation_depth == pytest.approx(1.0 / (field.slope - 1.0), rel=0.01)


def test_edge_of_chaos_of_erf_without_biases_is_where_the_origin_loses_its_hold():
    # at q -> 0 phi' is 2 / sqrt(pi): chi = sigma_w^2 4 / pi
    assert edge_of_chaos("erf", 1e-8) == pytest.approx(np.pi / 4.0, rel=1e-2)


def test_dropout_takes_the_fixed_point_of_correlations_below_one():
    field = MeanField("erf", 1.0, 0.3, keep_prob=0.8)
    q = field.variance
    value = 2.0 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
    assert value / 0.8 + 0.3 == pytest.approx(q)
    assert float(field.correlation_map(1.0)) == pytest.approx((value + 0.3) / q)
    assert field.correlation < 1.0


def test_correlations_of_a_wide_random_layer_follow_the_map():
    rng, width, c = np.random.default_rng(1), 400_000, 0.4
    field = MeanField("gelu", 1.8, 0.2)
    q = 1.3
    z = rng.multivariate_normal([0.0, 0.0], [[q, c * q], [c * q, q]], size=width)
    a = z * special.ndtr(z)
    after = 1.8 * a.T @ a / width + 0.2
    error = 5.0 * 1.8 * np.std(a[:, 0] * a[:, 1]) / math.sqrt(width) / after[0, 0]
    found = after[0, 1] / math.sqrt(after[0, 0] * after[1, 1])
    assert float(field.correlation_map(c, q)) == pytest.approx(found, abs=2.0 * error)


def test_what_has_no_fixed_point_is_named():
    with pytest.raises(errors.ModelError, match="grow from layer to layer without an end"):
        _ = MeanField("relu", 3.0, 0.1).variance
    with pytest.raises(errors.ModelError, match="Variances vanish"):
        _ = MeanField("erf", 0.3, 0.0).variance
    with pytest.raises(errors.ModelError, match="chi_1 does not pass 1"):
        edge_of_chaos("tanh", 0.05, low=3.0, high=4.0)
    with pytest.raises(errors.ModelError, match=r"chi_1 is 0\.73.* beyond it variances grow"):
        edge_of_chaos("gelu", 0.05)
    with pytest.raises(errors.OptionsError, match="keep_prob must be in"):
        MeanField(keep_prob=0.0)
