"""Diagnostics of chains whose truth is known: independent, AR(1), shifted and stuck."""

from __future__ import annotations

import arviz_stats.base
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import xarray as xr

from tfbdl import diagnostics
from tfbdl.errors import DataError, OptionsError


def autoregression(rho, chains=4, draws=5000, seed=0, shape=()):
    """A stationary AR(1) process of variance 1."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws, *shape)) * np.sqrt(1 - rho**2)
    noise[:, 0] /= np.sqrt(1 - rho**2)
    return scipy.signal.lfilter([1.0], [1.0, -rho], noise, axis=1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_ess_bulk_is_that_of_an_autoregression(rho):
    x = autoregression(rho, shape=(5,))
    expected = 20_000 * (1 - rho) / (1 + rho)
    # the relative error of one estimate is a few per cent; the mean of five is looked at
    assert diagnostics.ess_bulk(x).mean() == pytest.approx(expected, rel=0.1)
    # the mean's standard error is sd / sqrt(ess)
    assert diagnostics.mcse_mean(x).mean() == pytest.approx(1 / np.sqrt(expected), rel=0.1)


def test_ess_tail_of_independent_draws_is_their_number():
    x = autoregression(0.0, shape=(5,))
    assert diagnostics.ess_tail(x).mean() == pytest.approx(20_000, rel=0.1)
    # x and -x have the same tails
    np.testing.assert_allclose(diagnostics.ess_tail(x), diagnostics.ess_tail(-x), rtol=0.02)


def test_r_hat_is_one_for_chains_that_agree_and_large_for_shifted_ones():
    x = autoregression(0.3, draws=2000)
    assert diagnostics.r_hat(x) == pytest.approx(1.0, abs=0.01)
    shifted = x + np.array([0.0, 0.0, 0.0, 1.5])[:, None]
    assert diagnostics.r_hat(shifted) > 1.1
    # equal means and unequal scales are found by folding
    assert diagnostics.r_hat(x * np.array([1.0, 1.0, 1.0, 3.0])[:, None]) > 1.1


def test_r_hat_of_identical_chains_is_near_one():
    x = np.repeat(autoregression(0.0, chains=1, draws=2000), 4, axis=0)
    assert diagnostics.r_hat(x) == pytest.approx(1.0, abs=0.01)


def test_r_hat_of_one_chain_compares_its_halves():
    x = autoregression(0.0, chains=1, draws=2000)
    assert diagnostics.r_hat(x) == pytest.approx(1.0, abs=0.01)
    assert diagnostics.r_hat(x + np.linspace(0, 4, 2000)) > 1.1


def test_r_hat_is_that_of_arviz():
    x = autoregression(0.8, draws=101, shape=(2, 3)) + np.arange(4)[:, None, None, None] * 0.2
    peer = arviz_stats.base.array_stats.rhat(x, chain_axis=0, draw_axis=1, method="rank")
    np.testing.assert_allclose(diagnostics.r_hat(x), peer, rtol=1e-10)
    counts = np.random.default_rng(0).poisson(2.0, (4, 100, 3))  # with ties
    peer = arviz_stats.base.array_stats.rhat(counts, chain_axis=0, draw_axis=1, method="rank")
    np.testing.assert_allclose(diagnostics.r_hat(counts), peer, rtol=1e-10)


def test_r_hat_of_a_fair_coin_is_near_one():
    x = np.tile([0, 1], (4, 500))  # folding at the median of 0.5 leaves a constant
    assert diagnostics.r_hat(x) == pytest.approx(1.0, abs=0.01)


def test_statistics_are_nan_where_they_are_undefined():
    x = autoregression(0.0, draws=100, shape=(3,))
    x[..., 1] = 2.0
    x[0, 0, 2] = np.inf
    for statistic in (
        diagnostics.r_hat,
        diagnostics.ess_bulk,
        diagnostics.ess_tail,
        diagnostics.mcse_mean,
    ):
        np.testing.assert_array_equal(np.isnan(statistic(x)), [False, True, True])
        assert np.isnan(statistic(x[:, :3])).all()


def test_hdi_is_the_shortest_interval():
    rng = np.random.default_rng(0)
    low, high = diagnostics.hdi(rng.normal(size=(4, 25_000)), 0.9)
    z = scipy.stats.norm.ppf(0.95)
    assert (low, high) == pytest.approx((-z, z), abs=0.1)
    low, high = diagnostics.hdi(rng.exponential(size=(4, 25_000)), 0.9)
    assert (low, high) == pytest.approx((0.0, np.log(10)), abs=0.05)
    assert diagnostics.hdi(np.zeros((2, 5, 3, 2))).shape == (3, 2, 2)


def test_summary_names_rows_and_columns():
    draws = {"tau": np.exp(autoregression(0.0)), "w": 3 + 2 * autoregression(0.0, shape=(2, 2))}
    table = diagnostics.summary(draws, hdi_prob=0.8)
    assert list(table.index) == ["tau", "w[0, 0]", "w[0, 1]", "w[1, 0]", "w[1, 1]"]
    columns = ["mean", "sd", "hdi_low", "hdi_high", "ess_bulk", "ess_tail", "r_hat"]
    assert list(table.columns) == columns
    row = table.loc["w[1, 0]"]
    z = scipy.stats.norm.ppf(0.9)
    assert row["mean"] == pytest.approx(3, abs=4 * 2 / np.sqrt(20_000))
    assert row["sd"] == pytest.approx(2, rel=0.03)
    assert (row["hdi_low"], row["hdi_high"]) == pytest.approx((3 - 2 * z, 3 + 2 * z), abs=0.2)
    assert row["mean"] == pytest.approx(draws["w"][..., 1, 0].mean(), rel=1e-12)
    assert row["r_hat"] == pytest.approx(1.0, abs=0.01)
    assert table.attrs["notes"] == []


def test_summary_of_a_large_site_says_what_it_left_out():
    x = np.broadcast_to(np.arange(20_000.0).reshape(100, 200), (2, 4, 100, 200))
    table = diagnostics.summary({"kernel": x}, max_elements=10)
    assert len(table) == 10
    assert table.attrs["notes"] == ["kernel: 10 of 20,000 elements, evenly spaced."]
    assert table.index[1] == "kernel[10, 0]"
    assert table["mean"].iloc[1] == 2000.0


def test_summary_takes_discrete_and_empty_sites():
    rng = np.random.default_rng(0)
    draws = {"subset": rng.uniform(size=(2, 500, 3)) < 0.3, "none": np.zeros((2, 500, 0))}
    table = diagnostics.summary(draws)
    assert list(table.index) == ["subset[0]", "subset[1]", "subset[2]"]
    np.testing.assert_allclose(table["mean"], 0.3, atol=4 * np.sqrt(0.21 / 1000))
    assert diagnostics.summary({}).empty


def test_verdicts_are_silent_for_good_draws():
    stats = {
        "diverging": np.zeros((4, 2000), bool),
        "energy": np.random.default_rng(0).normal(size=(4, 2000)),
        "reached_max_treedepth": np.zeros((4, 2000), bool),
    }
    assert diagnostics.verdicts({"w": autoregression(0.0, draws=2000, shape=(3,))}, stats) == []


def test_verdicts_name_the_worst_element():
    x = autoregression(0.0, draws=2000, shape=(5,))
    x[3, :, 3] += 1.5
    x[3, :, 4] += 0.5
    found = diagnostics.verdicts({"w": x, "tau": autoregression(0.0, draws=2000)})
    assert found[0].startswith("R-hat 1.")
    assert found[0].endswith("> 1.01 for w[3] and 1 more of 5 looked at: do not use")
    assert not any("tau" in verdict for verdict in found)


def test_verdicts_tell_small_samples_stuck_and_broken_elements():
    x = autoregression(0.99, draws=1000, shape=(3,))
    found = " | ".join(diagnostics.verdicts({"w": x}))
    assert "bulk ESS" in found
    assert "< 400 for w[" in found
    still = autoregression(0.0, draws=1000, shape=(3,))
    still[..., 1] = 7.0
    assert diagnostics.verdicts({"w": still[..., 1]}) == [
        "no movement at all for w: all draws are equal"
    ]
    still[2, 5, 1] = np.nan
    assert diagnostics.verdicts({"w": still}) == ["draws that are not finite for w[1]: do not use"]


def test_a_constant_among_moving_elements_is_not_judged():
    factor = autoregression(0.0, draws=1000, shape=(2, 2))
    factor[..., 0, 0], factor[..., 0, 1] = 1.0, 0.0  # a Cholesky factor of a correlation matrix
    assert diagnostics.verdicts({"L": factor}) == []
    factor[..., 0, 1] = np.arange(4.0)[:, None]  # each chain stuck at a value of its own
    assert diagnostics.verdicts({"L": factor})[0] == ("R-hat inf > 1.01 for L[0, 1]: do not use")


def test_verdicts_find_chains_stuck_at_places_of_their_own():
    x = np.repeat(np.arange(4.0)[:, None], 100, axis=1)
    found = diagnostics.verdicts({"w": x})
    assert found[0] == "R-hat inf > 1.01 for w: do not use"


def test_verdicts_on_a_single_chain_and_too_few_draws():
    found = diagnostics.verdicts({"w": autoregression(0.0, chains=1, draws=2000)})
    assert found == [
        "1 chain: R-hat compares its halves alone; run 4 chains to see whether they agree"
    ]
    found = diagnostics.verdicts({"w": np.zeros((4, 3))})
    assert found == ["3 draws for each chain: too few to tell; 4 is the least"]


def test_verdicts_read_what_the_sampler_recorded():
    draws = {"w": autoregression(0.0, draws=1000)}
    diverging = np.zeros((4, 1000), bool)
    diverging[1, :7] = True
    depth = np.zeros((4, 1000), bool)
    depth[:, :100] = True
    energy = np.random.default_rng(0).normal(size=(4, 1000))
    energy[2] = np.cumsum(energy[2])  # steps of variance 1, a variance far above
    stats = {"diverging": diverging, "reached_max_treedepth": depth, "energy": energy}
    found = diagnostics.verdicts(draws, stats)
    assert found[0].startswith("7 divergent of 4,000 transitions")
    assert found[1].startswith("E-BFMI 0.0")
    assert "in chain 2" in found[1]
    assert found[2].startswith("10.0% of transitions ended at the greatest tree depth")
    assert len(found) == 3


def test_to_datatree_has_the_groups_of_arviz(tmp_path):
    x = autoregression(0.0, chains=3, draws=2, shape=(2,))
    stats = {"diverging": np.zeros((3, 2), bool)}
    tree = diagnostics.to_datatree({"dense.kernel": x}, stats, {"y": np.arange(5.0)})
    assert isinstance(tree, xr.DataTree)
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data"}
    variable = tree["posterior"]["dense.kernel"]
    assert variable.dims[:2] == ("chain", "draw")
    np.testing.assert_array_equal(variable.values, x)
    assert tree["observed_data"]["y"].shape == (5,)
    tree.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(again["posterior"]["dense.kernel"].values, x)
    assert set(diagnostics.to_datatree({"w": x}).children) == {"posterior"}


def test_what_is_no_set_of_draws_is_refused():
    with pytest.raises(DataError, match=r"\[chain, draw, \.\.\.\]. Received: 'x' of shape \(5,\)"):
        diagnostics.r_hat(np.zeros(5))
    with pytest.raises(DataError, match=r"Received: a \(2, 5\), b \(2, 6\)"):
        diagnostics.summary({"a": np.zeros((2, 5)), "b": np.zeros((2, 6))})
    with pytest.raises(DataError, match=r"equal numbers of chains and draws"):
        diagnostics.to_datatree({"a": np.zeros((2, 5))}, {"diverging": np.zeros((2, 6))})
    with pytest.raises(OptionsError, match=r"share of an interval must be in"):
        diagnostics.hdi(np.ones((2, 5)), 1.0)
    with pytest.raises(OptionsError, match=r"'max_elements' must be at least 1"):
        diagnostics.summary({"a": np.zeros((2, 5))}, max_elements=0)
