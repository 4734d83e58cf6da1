"""Charts keep peaks, densities integrate to one, images keep their place; draws are found."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from tfbdl_dashboard import chain_charts, charts, draws, posterior_charts

from tfbdl.diagnostics import to_datatree
from tfbdl.errors import OptionsError, RunError


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9000), st.integers(2, 400), st.integers(0, 2**31 - 1))
def test_thinned_keeps_the_extremes_and_the_order(size: int, most: int, seed: int) -> None:
    y = np.random.default_rng(seed).standard_cauchy(size)
    x = np.arange(size) * 0.5
    xs, ys = charts.thinned(x, y, most)
    assert len(xs) <= max(most, 2)
    assert (np.diff(xs) > 0).all()
    assert (ys.min(), ys.max()) == (y.min(), y.max())
    assert (y[(xs / 0.5).astype(int)] == ys).all()


def test_thinned_keeps_a_single_spike_of_a_hundred_thousand_points() -> None:
    y = np.zeros(100_000)
    y[54_321] = 7.0
    xs, ys = charts.thinned(np.arange(y.size), y)
    assert len(xs) <= 2000
    assert xs[ys == 7.0] == [54_321]


def test_thinned_leaves_out_what_is_not_finite() -> None:
    xs, ys = charts.thinned([0, 1, 2, 3], [1.0, np.nan, np.inf, 2.0])
    assert (xs.tolist(), ys.tolist()) == ([0.0, 3.0], [1.0, 2.0])


def test_density_is_that_of_the_normal_the_draws_are_of() -> None:
    values = scipy.stats.norm(2.0, 3.0).ppf((np.arange(20_000) + 0.5) / 20_000)
    grid, dense = charts.density(values, -10.0, 14.0)
    # the kernel widens the variance by its own: 0.9 n^-0.2 sd = 0.12 sd, at most 1 % of a peak
    assert np.abs(dense - scipy.stats.norm(2.0, 3.0).pdf(grid)).max() < 0.01 * dense.max()
    assert np.trapezoid(dense, grid) == pytest.approx(1.0, abs=2e-3)


def test_density_of_equal_draws_is_unknown_and_of_none_is_zero() -> None:
    assert np.isnan(charts.density(np.ones(10), 0.0, 2.0)[1]).all()
    assert (charts.density([], 0.0, 2.0)[1] == 0).all()


def test_lines_hold_at_most_two_thousand_points_a_series() -> None:
    x = np.arange(30_000)
    chart = charts.lines({"a": (x, np.sin(x)), "b": (x, x)}, x_title="step", y_title="nats")
    spec = json.loads(chart.to_json())
    rows = pd.DataFrame(next(iter(spec["datasets"].values())))
    assert rows.groupby("series").size().max() <= 2000
    assert set(rows["series"]) == {"a", "b"}
    assert spec["layer"][0]["encoding"]["y"]["title"] == "nats"


def test_dashed_line_shares_the_legend_of_the_colours() -> None:
    pair = ([0.0, 1.0], [1.0, 1.0])
    drawn = {"prior": pair, "N(0, 1)": pair}
    chart = charts.lines(drawn, x_title="x", y_title="y", dashed=["N(0, 1)"])
    encoding = chart.to_dict()["layer"][0]["encoding"]
    colour, dash = encoding["color"], encoding["strokeDash"]
    assert (colour["field"], colour["legend"]) == (dash["field"], dash["legend"])
    assert dash["scale"]["domain"] == colour["scale"]["domain"] == ["prior", "N(0, 1)"]
    assert [len(set(mark)) > 1 and 0 not in mark for mark in dash["scale"]["range"]] == [
        False,
        True,
    ]
    plain = charts.lines(drawn, x_title="x", y_title="y").to_dict()
    assert "strokeDash" not in plain["layer"][0]["encoding"]


def test_lines_with_a_logarithmic_axis_leave_out_what_is_not_positive() -> None:
    chart = charts.lines({"a": ([0, 1, 2], [-1.0, 0.0, 5.0])}, x_title="x", y_title="y", log_y=True)
    spec = json.loads(chart.to_json())
    assert [row["y"] for row in next(iter(spec["datasets"].values()))] == [5.0]


def test_colours_keep_known_names_and_repeat_no_other() -> None:
    scale = charts.colours(["prior", "a", "posterior", "b"], {"posterior": charts.POSTERIOR})
    by_name = dict(zip(scale.domain, scale.range, strict=True))
    assert by_name["posterior"] == charts.POSTERIOR
    assert len(set(scale.range)) == 4


def test_scatter_takes_names_that_vega_would_read_as_paths() -> None:
    frame = pd.DataFrame({"dense.kernel[0, 1]": [1.0, 2.0], "b": [3.0, 4.0]})
    spec = json.loads(charts.scatter(frame, "dense.kernel[0, 1]", "b").to_json())
    encoding = spec["layer"][0]["encoding"]
    assert encoding["x"]["field"] == "c0"
    assert encoding["x"]["title"] == "dense.kernel[0, 1]"


def test_histogram_counts_every_value_once() -> None:
    chart = charts.histogram([0.05, 0.15, 0.15, np.nan, 0.95], x_title="x", bins=10, limits=(0, 1))
    rows = next(iter(json.loads(chart.to_json())["datasets"].values()))
    assert [row["count"] for row in rows] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of draws: a scalar, a matrix, statistics of a sampler."""
    rng = np.random.default_rng(0)
    kernel = rng.normal([[0.0, 5.0], [1.0, -9.0]], 1.0, (2, 50, 2, 2)).astype("float32")
    sites = {"scale": rng.gamma(2.0, size=(2, 50)), "dense.kernel": kernel}
    to_datatree(sites, {"diverging": rng.random((2, 50)) < 0.1}).to_netcdf(
        tmp_path / "posterior.nc", engine="h5netcdf"
    )
    return tmp_path / "posterior.nc"


def test_draws_are_read_by_site_and_by_label(path: Path) -> None:
    found = draws.read(path)
    assert (found.num_chains, found.num_draws, found.num_elements) == (2, 50, 5)
    assert found.element("dense.kernel[1, 0]") == pytest.approx(
        found.sites["dense.kernel"][..., 1, 0]
    )
    assert found.element("scale").shape == (2, 50)
    labels = [f"dense.kernel[{i}, {j}]" for i in (0, 1) for j in (0, 1)]
    assert found.find() == ["scale", *labels]
    assert found.find("KERNEL[1,") == labels[2:]
    assert found.find(site="scale") == ["scale"]


def test_draws_rank_elements_by_their_distance_from_zero(path: Path) -> None:
    found = draws.read(path)
    assert found.most_certain(site="dense.kernel", most=2) == [
        "dense.kernel[1, 1]",
        "dense.kernel[0, 1]",
    ]
    assert found.most_certain("[1, 0]") == ["dense.kernel[1, 0]"]


def test_draws_find_no_element_of_a_large_site_by_a_text_that_no_index_has() -> None:
    sites = {"w": np.broadcast_to(0.0, (1, 2, 10**6)), "scale": np.ones((1, 2))}
    large = draws.Draws(sites=sites, stats={})
    start = time.process_time()
    assert large.find("nothing like it") == large.most_certain("nothing like it") == []
    assert large.find("sca") == large.most_certain("SCA") == ["scale"]
    assert large.find("w[7", most=3) == ["w[7]", "w[70]", "w[71]"]
    assert time.process_time() - start < 0.5  # a million labels take more


def test_draws_rank_their_elements_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = draws.read(path)
    first = found.most_certain()
    monkeypatch.setattr(np, "argsort", None)
    assert found.most_certain() == first


@pytest.mark.parametrize(
    "label",
    [
        "dense.kernel",
        *(f"dense.kernel[{index}]" for index in ("2, 0", ",", "0 1", " ", "-1, 0")),
        *(f"scale[{index}]" for index in ("0", ",", "", "9" * 5000)),
    ],
)
def test_draws_refuse_an_element_that_is_not_there(path: Path, label: str) -> None:
    with pytest.raises(OptionsError, match=r"has the shape \["):
        draws.read(path).element(label)


def test_draws_name_the_nearest_site(path: Path) -> None:
    with pytest.raises(OptionsError, match="Did you mean 'scale'"):
        draws.read(path).element("scael")


def test_draws_that_were_cut_short_are_refused_without_their_path(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError) as caught:
        draws.read(path)
    assert "cut short" in str(caught.value)
    assert str(path.parent) not in str(caught.value)


def test_intervals_are_the_central_quantiles(path: Path) -> None:
    found = draws.read(path)
    row = posterior_charts.intervals(found, ["scale"]).iloc[0]
    flat = np.sort(found.sites["scale"].reshape(-1))
    assert row["mean"] == pytest.approx(flat.mean())
    assert (flat <= row["low_90"]).mean() == pytest.approx(0.05, abs=0.01)
    assert (flat <= row["high_50"]).mean() == pytest.approx(0.75, abs=0.01)


def test_pair_frame_keeps_divergent_draws_on_top(path: Path) -> None:
    found = draws.read(path)
    count = int(found.stats["diverging"].sum())
    frame, divergent = posterior_charts.pair_frame(found, ["scale", "dense.kernel[0, 0]"], most=30)
    assert (divergent, len(frame)) == (count, 30)
    assert (frame["draw"].tail(min(count, 15)) == posterior_charts.DIVERGENT).all()
    assert (frame["draw"] == posterior_charts.DIVERGENT).sum() == min(count, 15)


def test_rank_counts_of_separate_chains_fill_their_own_halves() -> None:
    values = np.stack([np.arange(100.0), np.arange(100.0) + 1000.0])
    counts = chain_charts.rank_counts(values, bins=10)
    assert counts.tolist() == [[20] * 5 + [0] * 5, [0] * 5 + [20] * 5]


def test_rank_band_holds_the_counts_of_chains_that_agree() -> None:
    values = np.random.default_rng(1).normal(size=(4, 500))
    low, high = chain_charts.rank_band(4, 500)
    counts = chain_charts.rank_counts(values)
    inside = ((counts >= low) & (counts <= high)).mean()
    # 80 counts, each inside with 95 % or a little more: 0.86 is four standard deviations below
    assert inside > 0.86
    assert low < 25 < high


def test_rank_counts_of_equal_draws_do_not_tell_the_chains_apart() -> None:
    counts = chain_charts.rank_counts(np.zeros((4, 500)))
    low, high = scipy.stats.hypergeom(2000, 100, 500).ppf([1e-6, 1 - 1e-6])
    assert (counts.sum(axis=1) == 500).all()
    assert ((counts >= low) & (counts <= high)).all()
    np.testing.assert_array_equal(counts, chain_charts.rank_counts(np.zeros((4, 500))))


def test_e_bfmi_compares_changes_with_the_spread() -> None:
    rng = np.random.default_rng(2)
    energies = rng.normal(size=(2, 4000))

    def shown(energy: np.ndarray) -> list[float]:
        return chain_charts.by_chain({"energy": energy})["E-BFMI"].tolist()

    # of independent draws the mean squared change is twice the variance
    assert shown(energies) == pytest.approx([2.0, 2.0], rel=0.1)
    assert max(shown(np.cumsum(0.01 * energies, axis=1))) < 0.05
    assert np.isnan(shown(np.ones((1, 5)))).all()
