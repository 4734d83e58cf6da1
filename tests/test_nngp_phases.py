"""Phases of many networks at once, their edge, and the panel and the figure of them."""

import numpy as np
import pytest
import tensorflow as tf
from tfbdl_nngp import MeanField, edge_curve, edge_of_chaos, mean_field_figure, phases
from tfbdl_nngp.depth_charts import BIAS, WEIGHT
from tfbdl_nngp.depth_panel import DepthControls
from tfbdl_nngp.depth_shown import depth_of_networks, landscape
from tfbdl_nngp.duals import get
from tfbdl_nngp.duals.traced import traced

from tfbdl import errors


@pytest.mark.parametrize("keep_prob", [1.0, 0.8])
@pytest.mark.parametrize("activation", ["tanh", "erf", "gelu", "sin", "relu", "abs"])
def test_many_networks_are_as_each_by_itself(activation, keep_prob):
    rng = np.random.default_rng(3)
    w, b = rng.uniform(0.1, 5.0, 12), rng.uniform(0.0, 1.0, 12)
    b[0] = 0.0
    found = phases(activation, w, b, keep_prob)
    for i in range(len(w)):
        field = MeanField(activation, w[i], b[i], keep_prob)
        try:
            variance = field.variance
        except errors.ModelError:
            assert np.isnan([part[i] for part in found]).all()
            continue
        assert found.variance[i] == pytest.approx(variance, rel=1e-8)
        assert found.correlation[i] == pytest.approx(field.correlation, abs=1e-6)
        assert found.slope[i] == pytest.approx(field.slope, rel=1e-8)
        assert found.depth[i] == pytest.approx(field.correlation_depth, rel=1e-4)


def test_phases_of_the_sine_stand_still_under_its_closed_form():
    # E[sin u sin v] = exp(-q) sinh(k), E[cos u cos v] = exp(-q) cosh(k)
    w, b = np.meshgrid(np.linspace(0.2, 6.0, 9), np.linspace(0.05, 1.0, 7))
    q, c, slope, depth = phases("sin", w, b)
    np.testing.assert_allclose(w * np.exp(-q) * np.sinh(q) + b, q, rtol=1e-10)
    np.testing.assert_allclose(w * np.exp(-q) * np.sinh(c * q) + b, c * q, rtol=1e-10)
    np.testing.assert_allclose(slope, w * np.exp(-q) * np.cosh(q), rtol=1e-10)
    np.testing.assert_array_equal(c == 1.0, slope <= 1.0)
    rate = w * np.exp(-q) * np.cosh(c * q)
    np.testing.assert_allclose(depth, -1.0 / np.log(rate), rtol=1e-6)


def test_relu_has_the_depth_of_its_formula_and_no_chaos():
    # chi_1 = sigma_w^2 / 2; beyond 2 variances grow
    weights = np.array([0.5, 1.0, 1.9, 2.5])
    found = phases("relu", weights, 0.1)
    np.testing.assert_allclose(found.slope[:3], weights[:3] / 2.0)
    np.testing.assert_allclose(found.depth[:3], -1.0 / np.log(weights[:3] / 2.0), rtol=1e-9)
    assert np.isnan(found.depth[3])


def test_odd_activation_without_biases_ends_uncorrelated_in_chaos():
    found = phases("erf", 4.0, 0.0)
    assert found.correlation == 0.0
    assert found.slope > 1.0


def test_edge_is_that_of_the_closed_form_and_of_the_search():
    # sin: w = 2 / (1 + exp(-2 q)), b = q - tanh(q)
    q = np.array([0.3, 1.0, 2.0])
    weight, bias = edge_curve("sin", q)
    np.testing.assert_allclose(weight, 2.0 / (1.0 + np.exp(-2.0 * q)), rtol=1e-12)
    np.testing.assert_allclose(bias, q - np.tanh(q), rtol=1e-12)
    for w, b in zip(*edge_curve("tanh", [0.3, 0.57, 2.0]), strict=True):
        assert edge_of_chaos("tanh", b) == pytest.approx(w, rel=1e-7)
        assert phases("tanh", w, b).slope == pytest.approx(1.0, abs=1e-8)


def test_edge_of_what_scales_is_a_single_network():
    weight, bias = edge_curve("relu", np.logspace(-3, 3, 9))
    np.testing.assert_allclose(weight, 2.0)  # He et al. 2015
    np.testing.assert_allclose(bias, 0.0, atol=1e-12)


def test_edge_leaves_out_what_variances_never_come_to():
    q = np.logspace(-3, 2, 80)
    weight, bias = edge_curve("gelu", q)
    assert 0 < len(weight) < 80
    for w, b in zip(weight[::10], bias[::10], strict=True):
        assert MeanField("gelu", w, b).slope == pytest.approx(1.0, abs=1e-4)


def test_dropout_leaves_no_edge():
    weight, bias = edge_curve("tanh", [0.3, 1.0])
    assert (phases("tanh", weight, bias, keep_prob=0.9).correlation < 0.99).all()
    assert np.isfinite(phases("tanh", weight, bias, keep_prob=0.9).depth).all()
    assert len(landscape("tanh", 1.5, 0.1, keep_prob=0.9)["edge"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tanh", 0.0, 0.1), "Every weight_variance must be above 0"),
        (("tanh", [1.0, 2.0], [-0.1, 0.1]), "every bias_variance at least 0"),
        (("tanh", "wide", 0.1), "weight_variance must be finite numbers. Received: 'wide'"),
        (("tanh", 1.0, np.nan), "bias_variance must be finite numbers"),
        (("tahn", 1.0, 0.1), "Did you mean 'tanh'"),
        (("tanh", 1.0, 0.1, 1.5), r"keep_prob must be in \(0, 1\]. Received: 1.5"),
    ],
)
def test_networks_that_are_none_are_refused(arguments, message):
    with pytest.raises(errors.OptionsError, match=message):
        phases(*arguments)


def test_edge_needs_variances_above_zero():
    with pytest.raises(errors.OptionsError, match="Every variance must be above 0"):
        edge_curve("tanh", [0.0, 1.0])


@pytest.mark.parametrize("activation", [pytest.param("tanh", marks=pytest.mark.slow), "gelu"])
def test_traced_dual_is_the_dual_with_its_gradient(activation):
    rng = np.random.default_rng(4)
    q = tf.constant(rng.uniform(0.1, 2.0, 5))
    grid = tf.constant(rng.uniform(-0.1, 0.1, (5, 5)))
    for arguments in ((0.5 * q, q, q), (grid, q[:, None], q[None]), (q[0] / 2.0, q[0], q[1])):
        for found, expected in zip(
            traced(activation)(*arguments), get(activation)(*arguments), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-13)
    slopes = []
    for dual in (traced(activation), get(activation)):
        with tf.GradientTape() as tape:
            tape.watch(q)
            value = dual(q, q, q)[0]
        slopes.append(tape.gradient(value, q).numpy())
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def test_panel_shows_the_network_of_its_theory():
    said = depth_of_networks(None, DepthControls(activation="erf", weight_variance=4.0))
    w, b = 4.0, 0.1
    q, c = said["variance"], said["correlation"]
    assert w * 2.0 / np.pi * np.arcsin(2.0 * q / (1.0 + 2.0 * q)) + b == pytest.approx(float(q))

    def mapped(values):
        return (w * 2.0 / np.pi * np.arcsin(2.0 * values * q / (1.0 + 2.0 * q)) + b) / q

    np.testing.assert_allclose(said["correlation_map"], mapped(said["c"]), rtol=1e-10)
    assert mapped(c) == pytest.approx(float(c))
    path = said["correlation_path"]
    np.testing.assert_allclose(path[:, 1:], mapped(path[:, :-1]), rtol=1e-10)
    np.testing.assert_allclose(path[:-1, -1], c, atol=1e-3)
    qs = said["q"]
    expected = w * 2.0 / np.pi * np.arcsin(2.0 * qs / (1.0 + 2.0 * qs)) + b
    np.testing.assert_allclose(said["variance_map"], expected, rtol=1e-9)
    rate = (path[3, 16] - c) / (path[3, 15] - c)
    assert -1.0 / np.log(rate) == pytest.approx(float(said["correlation_depth"]), rel=0.02)


def test_diagram_is_deepest_along_the_edge():
    said = landscape("tanh", 1.5, 0.1)
    row = 20
    edge = edge_of_chaos("tanh", said["bias"][row])
    deepest = said["weight"][np.argmax(said["depth"][row])]
    assert deepest == pytest.approx(edge, abs=said["weight"][1] - said["weight"][0])
    np.testing.assert_array_equal(said["chaos"][row], said["weight"] > edge)
    inside = said["edge"][said["edge"][:, 1] <= BIAS[1]]
    assert np.interp(said["bias"][row], inside[:, 1], inside[:, 0]) == pytest.approx(edge, rel=1e-3)
    assert WEIGHT[0] < said["weight"][0] < said["weight"][-1] < WEIGHT[1]


@pytest.mark.parametrize(
    ("activation", "weight", "bias", "said"),
    [("relu", 3.0, 0.1, "grow"), ("sin", 0.3, 0.0, "vanish"), ("abs", 5.0, 1.0, "grow")],
)
def test_network_without_a_fixed_variance_is_still_shown(activation, weight, bias, said):
    found = landscape(activation, weight, bias)
    assert said in str(found["why"])
    assert np.isnan(found["variance"])
    for name in ("variance_map", "correlation_map", "correlation_path"):
        assert np.isfinite(found[name]).all(), name
    assert (np.abs(found["correlation_path"]) <= 1.0).all()


def test_figure_holds_the_diagram_the_maps_and_the_layers(tmp_path):
    figure = mean_field_figure("tanh", 1.76, 0.05)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title] == [
        "All networks",
        "Pairs of inputs by layer",
        "Map of the variance q",
        "Map of the correlation",
    ]
    assert "edge of chaos" in figure.get_suptitle()
    chosen = next(line for line in figure.axes[0].lines if line.get_label() == "this network")
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (1.76, 0.05)
    edge = next(line for line in figure.axes[0].lines if line.get_label() == "edge of chaos")
    nearest = np.abs(edge.get_ydata() - 0.05).argmin()
    assert edge.get_xdata()[nearest] == pytest.approx(1.76, abs=0.05)
    figure.savefig(tmp_path / "edge.png")
    assert (tmp_path / "edge.png").stat().st_size > 10_000


def test_figure_makes_room_for_a_network_beyond_the_diagram():
    plot = mean_field_figure("erf", 12.0, 3.0).axes[0]
    assert plot.get_xlim()[1] > 12.0
    assert plot.get_ylim()[1] > 3.0


def test_figure_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(errors.MissingDependencyError, match=r"pip install 'tfbdl\[plots\]'"):
        mean_field_figure()
