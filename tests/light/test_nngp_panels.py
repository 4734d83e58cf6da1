"""The panels of infinitely wide networks without TensorFlow: controls, clicks, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_nngp.depth_panel import DepthControls, number, phase
from tfbdl_nngp.panel import CURVE, MOST, NetworkControls, after_click

from tfbdl.config import fields_of, make
from tfbdl.errors import OptionsError

GROUP = "controls of panel 'wide_network'"
PAGE = """
import numpy as np
import streamlit as st
from tfbdl.registry import resolve
with np.load({path!r}, allow_pickle=False) as stored:
    arrays = {{name: stored[name] for name in stored.files}}
st.session_state["returned"] = resolve({show!r})(st, arrays)
"""


def shown(show: str, arrays: dict[str, Any], folder: Path) -> AppTest:
    path = folder / "arrays.npz"
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
    page = AppTest.from_string(PAGE.format(path=str(path), show=show), default_timeout=30).run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> Any:
    """What show returns when a button is pressed."""
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page.session_state["returned"]


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def network(points: Any = CURVE[:3], **changes: Any) -> dict[str, Any]:
    """Arrays of the shapes that compute gives."""
    grid = np.linspace(-3.0, 3.0, 7)
    rows = np.reshape(np.asarray(points, float), (-1, 2))
    return {
        "grid": grid,
        "prior_sd": np.ones(7),
        "mean": np.sin(grid),
        "sd": np.full(7, 0.5),
        "line": np.zeros((2, 7)),
        "x": rows[:, 0],
        "y": rows[:, 1],
        "log_evidence": -1.5,
        "depth": 2,
        "correlation": np.linspace(0.5, 1.0, 5),
        **changes,
    }


def test_points_are_set_by_the_picture_alone_and_some_are_seen_at_first() -> None:
    found = {field.name: field for field in fields_of(NetworkControls)}
    assert [name for name, field in found.items() if field.set_by_show] == ["points"]
    assert np.shape(NetworkControls().points) == (3, 2)
    assert found["depth"].low == 0


@pytest.mark.parametrize("given", [None, [], (), [[0.0, 1.0]], [(-3, -4), (3, 4)], [[0, 0]] * MOST])
def test_points_within_the_picture_are_admitted(given: Any) -> None:
    made = make(NetworkControls, {"points": given}, GROUP)
    assert made.points == (tuple(map(tuple, given)) if given else None)
    again = make(NetworkControls, made.model_dump(mode="json"), GROUP)
    assert again == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], r"Expected pairs of numbers; the shape is \[2\]"),
        ([[1.0, 2.0, 3.0]], r"the shape is \[1, 3\]"),
        ([[0.0, 4.5]], r"outputs from -4 to 4; one point is \(0, 4.5\)"),
        ([[0.0, 0.0], [-3.1, 0.0]], r"inputs from -3 to 3 .* one point is \(-3.1, 0\)"),
        ([[0.0, 0.0]] * (MOST + 1), "at most 40 points; there are 41"),
        ([[0.0, float("nan")]], "Expected finite numbers"),
        ([[0.0, 1.0], [0.0]], "lists of equal lengths"),
        ("here", "'points' of the controls of panel 'wide_network'"),
    ],
)
def test_other_points_are_refused(given: Any, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make(NetworkControls, {"points": given}, GROUP)


def test_click_on_a_point_takes_the_nearest_away_and_elsewhere_adds_one() -> None:
    points = [(0.0, 0.0), (0.1, 0.0), (2.0, 1.0)]
    assert after_click(points, (0.08, 0.01)) == [(0.0, 0.0), (2.0, 1.0)]
    assert after_click(points, (2.0, 1.25)) == [(0.0, 0.0), (0.1, 0.0)]
    assert after_click(points, (2.0, 1.5)) == [*points, (2.0, 1.5)]
    assert after_click([], (1.0, 1.0)) == [(1.0, 1.0)]
    assert len(points) == 3


def test_buttons_add_a_point_of_the_curve_and_take_points_away(tmp_path: Path) -> None:
    points = [CURVE[0], (1.0, 1.0)]
    page = shown("tfbdl_nngp.panel:show_network", network(points), tmp_path)
    assert page.session_state["returned"] is None
    assert metrics(page)["Points seen"] == "2"
    assert press(page, "Add a point of a curve") == {"points": [*points, CURVE[1]]}
    assert press(page, "Take the last away") == {"points": [CURVE[0]]}
    assert press(page, "Clear") == {"points": []}


def test_prior_has_no_evidence_and_nothing_to_take_away(tmp_path: Path) -> None:
    page = shown("tfbdl_nngp.panel:show_network", network(()), tmp_path)
    assert metrics(page)["Log evidence"] == "none"
    idle = {button.label for button in page.button if button.disabled}
    assert idle == {"Take the last away", "Clear"}
    assert len(page.caption) == 1


def test_full_picture_takes_no_more_points(tmp_path: Path) -> None:
    page = shown("tfbdl_nngp.panel:show_network", network([[0.0, 0.0]] * MOST), tmp_path)
    assert page.button[0].disabled
    assert any("more would hide the picture" in caption.value for caption in page.caption)


def test_functions_larger_than_the_picture_are_said(tmp_path: Path) -> None:
    arrays = network((), prior_sd=np.full(7, 3.0))
    page = shown("tfbdl_nngp.panel:show_network", arrays, tmp_path)
    assert any("larger than the picture" in caption.value for caption in page.caption)


DEPTH: dict[str, Any] = {
    "chosen": [1.5, 0.1],
    "keep_prob": 1.0,
    "variance": 0.5,
    "correlation": 1.0,
    "slope": 0.9,
    "variance_depth": 2.0,
    "correlation_depth": 9.5,
    "why": "",
    "q": np.linspace(0.0, 1.5, 5),
    "variance_map": np.linspace(0.1, 0.8, 5),
    "variance_path": np.geomspace(1.5, 0.5, 6),
    "c": np.linspace(0.0, 1.0, 5),
    "correlation_map": np.linspace(0.2, 1.0, 5),
    "correlation_path": np.sort(np.random.default_rng(0).uniform(size=(3, 6)), axis=1),
    "weight": np.linspace(0.2, 4.9, 8),
    "bias": np.linspace(0.1, 0.9, 4),
    "depth": np.random.default_rng(1).uniform(1.0, 50.0, size=(4, 8)),
    "chaos": np.arange(8) > np.full((4, 1), 3),
    "edge": [[1.0, 0.0], [2.0, 0.5], [3.0, 1.0]],
}
NOWHERE = dict.fromkeys(
    ("variance", "correlation", "slope", "variance_depth", "correlation_depth"), np.nan
)


def charts(page: AppTest) -> str:
    return "".join(chart.proto.spec for chart in page.get("vega_lite_chart"))


def test_depth_names_the_phase_and_its_figures(tmp_path: Path) -> None:
    page = shown("tfbdl_nngp.depth_panel:show_depth", DEPTH, tmp_path)
    assert metrics(page) == {
        "Phase": "order",
        "Fixed variance q*": "0.5",
        "Fixed correlation c*": "1",
        "Slope at 1, chi_1": "0.9",
        "Depth scale xi_c": "9.5 layers",
    }
    assert page.session_state["returned"] is None
    assert not page.info
    assert len(page.get("vega_lite_chart")) == 4


def test_network_without_a_fixed_variance_says_why(tmp_path: Path) -> None:
    arrays = DEPTH | NOWHERE | {"why": "Variances grow.", "edge": np.zeros((0, 2))}
    arrays["depth"] = np.where(np.arange(8) > 4, np.nan, DEPTH["depth"])
    page = shown("tfbdl_nngp.depth_panel:show_depth", arrays, tmp_path)
    assert page.info[0].value == "Variances grow."
    assert set(metrics(page).values()) == {"no fixed point", "none"}


def test_edge_of_a_single_network_is_a_ring(tmp_path: Path) -> None:
    def strokes(edge: Any) -> int:
        page = shown("tfbdl_nngp.depth_panel:show_depth", DEPTH | {"edge": edge}, tmp_path)
        return charts(page).count('"strokeWidth": 3') + charts(page).count('"strokeWidth":3')

    assert strokes([[2.0, 0.0]]) == strokes(DEPTH["edge"]) + 1


@pytest.mark.parametrize(
    ("slope", "keep_prob", "word"),
    [
        (0.9, 1.0, "order"),
        (1.1, 1.0, "chaos"),
        (1.001, 1.0, "edge of chaos"),
        (0.999, 0.9, "order"),
        (np.nan, 1.0, "no fixed point"),
    ],
)
def test_phase_is_told_by_the_slope(slope: float, keep_prob: float, word: str) -> None:
    assert phase({"slope": np.array(slope), "keep_prob": np.array(keep_prob)}) == word


def test_figures_may_be_infinite_or_none() -> None:
    assert number(np.array(np.inf), " layers") == "infinite"
    assert number(np.array(np.nan)) == "none"
    assert number(np.array(12.345), " layers") == "12.3 layers"


def test_depth_controls_are_within_the_diagram() -> None:
    with pytest.raises(OptionsError, match="at most 5"):
        make(DepthControls, {"weight_variance": 5.1})
    with pytest.raises(OptionsError, match="of at least 0 and at most 1"):
        make(DepthControls, {"bias_variance": -0.1})
