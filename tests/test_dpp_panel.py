"""The panel of DPPs, and k diverse items by one command."""

from __future__ import annotations

import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from streamlit.testing.v1 import AppTest
from tfbdl_dpp.kernels import rbf
from tfbdl_dpp.panel import SubsetControls
from tfbdl_dpp.selection import read, select
from tfbdl_dpp.subset_shown import diverse_subset

import tfbdl
from tfbdl.errors import DataError, OptionsError
from tfbdl.fitted import Fit

PAGE = """
import numpy as np
import streamlit as st
from tfbdl_dpp.panel import show_subset
with np.load({path!r}) as stored:
    show_subset(st, dict(stored))
"""
RNG = np.random.default_rng(0)
GROUPS = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], [40, 3, 3], axis=0)
X = GROUPS + 0.1 * RNG.normal(size=(46, 2))


@pytest.fixture(scope="module")
def k_dpp() -> Fit:
    return tfbdl.fit("k_dpp", X, model_options={"k": 3, "length_scale": 1.0})


def test_the_panels_subset_is_one_of_the_process_with_its_volume(k_dpp: Fit) -> None:
    said = diverse_subset(k_dpp, SubsetControls(seed=4))
    np.testing.assert_array_equal(said["chosen"], k_dpp.model.process.sample(1, seed=4)[0])
    L = rbf((X - X.mean(axis=0)) / X.std(axis=0))
    block = L[np.ix_(said["chosen"], said["chosen"])]
    np.testing.assert_allclose(said["chosen_kernel"], block, rtol=1e-5)  # float32 rows
    assert said["chosen_volume"] == pytest.approx(np.log(np.linalg.det(block)), rel=1e-6)
    assert said["random_volume"].shape == (200,)
    assert said["drawn_volume"].shape == (60,)
    assert said["drawn_volume"].mean() > said["random_volume"].mean()
    assert len(np.unique(said["random"])) == 3
    np.testing.assert_allclose(said["point"], X[said["item"]], rtol=1e-6)


def test_the_greedy_choice_has_an_item_of_each_group(k_dpp: Fit) -> None:
    said = diverse_subset(k_dpp, SubsetControls(how="greedy"))
    assert len(np.unique(GROUPS[said["chosen"]], axis=0)) == 3
    assert (said["random_volume"] < said["chosen_volume"]).mean() > 0.95


def test_the_greedy_choice_of_a_dpp_is_as_large_as_its_subsets_are() -> None:
    fit = tfbdl.fit("dpp", X)
    said = diverse_subset(fit, SubsetControls(how="greedy"))
    assert len(said["chosen"]) == round(fit.model.process.expected_size) > 0


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_length_scale_must_be_above_zero(scale: float) -> None:
    for how in ("draw", "greedy"):
        with pytest.raises(OptionsError, match="length_scale must be above 0"):
            select(X, 3, how=how, length_scale=scale)


def test_the_page_shows_how_many_random_subsets_have_less_volume(
    k_dpp: Fit, tmp_path: Path
) -> None:
    said = diverse_subset(k_dpp, SubsetControls(how="greedy"))
    said |= {f"{name}_image": np.zeros((3, 8, 8)) for name in ("chosen", "random")}
    np.savez(tmp_path / "arrays.npz", **said)
    page = AppTest.from_string(PAGE.format(path=str(tmp_path / "arrays.npz")), default_timeout=120)
    page.run()
    assert not page.exception
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Items chosen"] == "3 of 46"
    below = np.mean(said["random_volume"] < said["chosen_volume"])
    assert shown["Random subsets of less volume"] == f"{below:.0%}"


def test_images_of_labelled_data_are_shown_as_images() -> None:
    options = {"k": 5, "kernel": "linear", "ignore_targets": True}
    fit = tfbdl.fit("k_dpp", "digits", model_options=options)
    said = diverse_subset(fit, SubsetControls())
    assert said["chosen_image"].shape == (5, 8, 8)
    np.testing.assert_array_equal(
        said["chosen_image"].reshape(5, -1), fit.model.params["items"][said["chosen"]]
    )


def test_a_kernel_without_items_has_axes_of_its_own() -> None:
    fit = tfbdl.fit("dpp", None, model_options={"L": rbf(X[38:]).tolist()})
    said = diverse_subset(fit, SubsetControls(seed=1))
    assert said["point"].shape == (8, 2)
    assert "chosen_image" not in said
    assert said["chosen"].size == said["random"].size


def test_labels_that_are_no_subsets_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="ignore_targets=True"):
        tfbdl.fit("k_dpp", "iris", model_options={"k": 3})


def test_select_draws_from_the_k_dpp_or_takes_the_furthest() -> None:
    sets = [select(X, 3, length_scale=0.5, seed=seed) for seed in range(40)]
    found = [len(np.unique(GROUPS[rows], axis=0)) for rows in sets]
    # Two items of the crowded group are 0.05 sd apart: together they have a determinant of some
    # 0.01, and there are 780 pairs of them against 40 * 9 triples of three groups.
    assert np.mean(np.array(found) == 3) > 0.5
    assert len({tuple(rows) for rows in sets}) > 20
    greedy = select(X, 3, how="greedy")
    assert len(np.unique(GROUPS[greedy], axis=0)) == 3
    np.testing.assert_array_equal(greedy, select(X, 3, how="greedy", seed=9))


def test_select_of_many_items_needs_no_kernel_matrix() -> None:
    x = RNG.normal(size=(20_000, 3))
    for how in ("draw", "greedy"):
        assert len(set(select(x, 8, how=how))) == 8
    with pytest.raises(OptionsError, match="at most 46"):
        select(X, 47)


def run(*arguments: str) -> int:
    """The command's exit code."""
    before = sys.argv
    sys.argv = ["tfbdl_dpp", *arguments]
    try:
        runpy.run_module("tfbdl_dpp", run_name="__main__")
    except SystemExit as done:
        return int(done.code or 0)
    finally:
        sys.argv = before
    return 0


def test_one_command_shows_diverse_rows_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"item {i}" for i in range(len(X))]
    frame = pd.DataFrame({"name": names, "a": X[:, 0], "b": X[:, 1]})
    frame.to_csv(tmp_path / "items.csv", index=False)
    out = tmp_path / "selected.csv"
    assert run(str(tmp_path / "items.csv"), "-k", "3", "--how", "greedy", "--out", str(out)) == 0
    chosen = pd.read_csv(out)
    printed = capsys.readouterr().out
    assert list(chosen["name"]) == [names[i] for i in chosen["row"]]
    assert len(np.unique(GROUPS[chosen["row"]], axis=0)) == 3
    assert all(name in printed for name in chosen["name"])
    assert "3 of 46 items, told apart by a, b." in printed
    assert run(str(tmp_path / "item.csv")) == 2
    assert "Did you mean 'items.csv'" in capsys.readouterr().err


def test_one_command_shows_diverse_images_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        level = 250 if i == 5 else 10 + i
        pixels = tf.fill([12, 10, 3], tf.constant(level, tf.uint8))
        (tmp_path / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    assert run(str(tmp_path), "-k", "2", "--how", "greedy") == 0
    printed = capsys.readouterr().out
    assert "5.png" in printed
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        read(tmp_path)


def test_a_table_without_numbers_or_with_gaps_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,a\nx,1\ny,\n")
    with pytest.raises(DataError, match="missing ones in a"):
        read(path)
    with pytest.raises(DataError, match=r"no column 'aa'.*Did you mean 'a'"):
        read(path, ["aa"])
    with pytest.raises(DataError, match="must hold numbers"):
        read(path, ["name"])
    path.write_text("name\nx\n")
    with pytest.raises(DataError, match="columns of numbers"):
        read(path)
    np.savez(tmp_path / "a.npz", z=np.zeros(3))
    with pytest.raises(DataError, match=r"must hold an array x\. Received: z"):
        read(tmp_path / "a.npz")


def test_arrays_show_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X.reshape(46, 2, 1), y=np.arange(46))
    items = read(tmp_path / "a.npz")
    assert items.features.shape == (46, 2)
    assert list(pd.read_csv(io.StringIO(items.table.to_csv(index=False)))["y"]) == list(range(46))
