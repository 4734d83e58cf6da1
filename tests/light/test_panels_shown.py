"""What panels draw with, and that each draws arrays of its kind without TensorFlow."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tfbdl.pictures import image_grid, image_shape
from tfbdl.remembered import remember

RNG = np.random.default_rng(0)
PAGE = """
import numpy as np
import streamlit as st
from tfbdl.registry import resolve
with np.load({path!r}, allow_pickle=False) as stored:
    arrays = {{name: stored[name] for name in stored.files}}
resolve({show!r})(st, arrays)
"""


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((64,), (8, 8)),
        ((28, 28), (28, 28)),
        ((28, 28, 1), (28, 28)),
        ((32, 32, 3), (32, 32, 3)),
        ((10,), None),
        ((9,), None),
        ((3, 40), None),
        ((8, 8, 2), None),
    ],
)
def test_image_shape_tells_images_from_tables(
    row: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    assert image_shape(row) == expected


def test_flat_rows_of_named_columns_are_images_from_sixty_four_on() -> None:
    for size, side in ((16, 4), (25, 5), (36, 6), (49, 7)):
        assert image_shape((size,)) == (side, side)
        assert image_shape((size,), [f"c{i}" for i in range(size)]) is None
    assert image_shape((64,), [f"pixel {i}" for i in range(64)]) == (8, 8)


def test_image_grid_lays_images_out_by_rows_with_lines_between() -> None:
    images = np.stack([np.full((2, 2), value) for value in (0.0, 0.25, 1.0)])
    grid = image_grid(images, columns=2, side=5)
    assert grid.shape == (5, 5, 3)
    np.testing.assert_array_equal(grid[:2, :2], 0)
    np.testing.assert_array_equal(grid[:2, 3:], 64)
    np.testing.assert_array_equal(grid[3:, :2], 255)
    np.testing.assert_array_equal(grid[2], 128)
    np.testing.assert_array_equal(grid[3:, 3:], 128)  # no fourth image


def test_image_grid_blows_pixels_up_and_clips_to_the_given_range() -> None:
    grid = image_grid(np.array([[[-1.0, 0.5, 2.0, 0.5]]]), columns=1, low=0.0, high=1.0, side=8)
    assert grid.shape == (2, 8, 3)
    assert grid[0, :, 0].tolist() == [0, 0, 128, 128, 255, 255, 128, 128]


def test_image_grid_shows_what_is_no_number_as_black() -> None:
    grid = image_grid(np.array([[[np.nan, 2.0, 4.0]]]), columns=1, side=3)
    assert grid[0, :, 0].tolist() == [0, 0, 255]


def test_remember_computes_once_for_each_owner_and_name_and_frees_with_the_owner() -> None:
    class Owner:
        """A weak reference needs an object of a class of its own."""

    calls: list[str] = []
    first, second = Owner(), Owner()
    for owner, name in ((first, "a"), (first, "a"), (first, "b"), (second, "a")):
        assert remember(owner, name, lambda: calls.append("made") or len(calls)) > 0
    assert len(calls) == 3
    kept = weakref.ref(remember(first, "kept", Owner))
    assert remember(first, "kept", Owner) is kept()
    del first, owner
    gc.collect()
    assert kept() is None
    assert remember(second, "a", lambda: -1) == 3


def test_remember_forgets_what_was_not_asked_for_the_longest() -> None:
    class Owner:
        """A weak reference needs an object of a class of its own."""

    owner = Owner()
    for i in range(40):
        remember(owner, i, lambda i=i: i)
        remember(owner, "always", lambda i=i: i)
    assert remember(owner, "always", lambda: -1) == 0
    assert remember(owner, 39, lambda: -1) == 39
    assert remember(owner, 0, lambda: -1) == -1


def shown(show: str, arrays: dict[str, object], folder: Path) -> AppTest:
    """The page of a panel's arrays."""
    path = folder / "arrays.npz"
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
    page = AppTest.from_string(PAGE.format(path=str(path), show=show), default_timeout=30).run()
    assert not page.exception
    return page


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


PRUNING = {
    "removed": 75,
    "weights": 100,
    "ratio": np.logspace(-1, 1, 5),
    "density": RNG.uniform(size=(2, 5)),
    "cdf": np.linspace(0, 1, 5),
    "cut": 1.5,
    "layer": ["a.kernel", "a.bias"],
    "order": ["signal_to_noise", "magnitude", "reversed"],
    "chosen_order": "signal_to_noise",
}


def test_pruning_shows_the_figure_and_its_change(tmp_path: Path) -> None:
    figures = {
        "share": np.linspace(0, 1, 4),
        "figure": RNG.uniform(size=(3, 4)),
        "nll": RNG.uniform(size=(3, 4)),
        "now": [0.25, 1.5],
        "whole": [0.2, 1.25],
        "figure_name": "error",
        "rows_name": "test",
        "rows": 180,
    }
    page = shown("tfbdl_bbb.panel:show_pruning", PRUNING | figures, tmp_path)
    assert metrics(page) == {"Weights removed": "75 of 100", "error": "0.25", "nll": "1.5"}
    assert [metric.delta for metric in page.metric][1:] == ["+0.05", "+0.25"]
    assert "180 test rows" in page.caption[0].value


def test_pruning_without_data_says_why_there_are_no_figures(tmp_path: Path) -> None:
    page = shown("tfbdl_bbb.panel:show_pruning", PRUNING | {"cut": np.nan}, tmp_path)
    assert "are not stored with it" in page.info[0].value


def test_a_traversal_shows_which_latent_moves(tmp_path: Path) -> None:
    arrays = {
        "original": RNG.uniform(size=(1, 4, 4)),
        "walk": RNG.uniform(size=(11, 4, 4)),
        "overview": RNG.uniform(size=(3, 11, 4, 4)),
        "stops": np.linspace(-2, 2, 11),
        "dimension": 7,
        "place": 1,
        "dimensions": 10,
        "latent": [3, 7, 1],
        "row_index": 0,
        "unit": "the prior",
        "is_image": True,
    }
    page = shown("tfbdl_vae.panel:show_traversal", arrays, tmp_path)
    assert metrics(page)["Latent that moves"] == "z7"
    assert metrics(page)["Its place by use"] == "2 of 10"


def test_responsibilities_show_the_gain_of_a_step_for_each_row(tmp_path: Path) -> None:
    arrays = {
        "point": RNG.normal(size=(20, 2)),
        "share": RNG.dirichlet([1.0, 1.0], 20),
        "mean": RNG.normal(size=(2, 2)),
        "path": RNG.normal(size=(3, 2, 2)),
        "ellipse": RNG.normal(size=(2, 2, 61, 2)),
        "weight": np.array([[0.5, 0.5]] * 4),
        "value": [-80.0, -60.0, -50.0, -49.0],
        "objective": "log_likelihood",
        "rows": 20,
        "step": 2,
        "steps": 3,
        "kind": "em",
        "climbs": True,
        "axis": ["column 0", "column 1"],
    }
    page = shown("tfbdl_mixture.panel:show_responsibilities", arrays, tmp_path)
    assert metrics(page) == {
        "Step": "2 of 3",
        "Log likelihood per row": "-2.5",
        "Components in effect": "2.00 of 2",
    }
    assert page.metric[1].delta == "+0.5"
    assert "the objective never falls" in page.markdown[0].value
    page = shown("tfbdl_mixture.panel:show_responsibilities", arrays | {"climbs": False}, tmp_path)
    assert "the objective may fall" in page.markdown[0].value


def test_colours_of_rows_are_blended_by_their_shares() -> None:
    from tfbdl_mixture.panel import blended

    from tfbdl.pictures import COLOURS

    assert blended(np.array([[1.0, 0.0], [0.0, 1.0]])) == [
        COLOURS[0].lower(),
        COLOURS[1].lower(),
    ]
    middle = blended(np.array([[0.5, 0.5]]))[0]
    ends = [int(colour[1:3], 16) for colour in COLOURS[:2]]
    assert int(middle[1:3], 16) == pytest.approx(np.mean(ends), abs=1)


def test_sampler_paths_show_what_a_sampler_gets(tmp_path: Path) -> None:
    arrays = {
        "draw": RNG.normal(size=(4, 30, 2)),
        "contour": RNG.normal(size=(3, 2, 200, 2)),
        "mass": [0.5, 0.9, 0.99],
        "acceptance": np.nan,
        "ess": [40.4, 60.0],
        "r_hat": [1.02, 1.01],
        "evaluations": 1.0,
        "first": np.linspace(-2, 2, 8),
        "exact": np.ones(8),
        "drawn": np.ones(8),
        "sampler": "sgld",
    }
    page = shown("tfbdl_engines.panel:show_sampler_paths", arrays, tmp_path)
    assert metrics(page) == {
        "Acceptance": "nothing refused",
        "Effective draws": "40 of 120",
        "R-hat": "1.02",
        "Gradients a draw": "1.0",
    }
