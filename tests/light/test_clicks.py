"""A chart that can be clicked: what it draws, and that each click is told once."""

from __future__ import annotations

from typing import Any

import pytest

from tfbdl.clicks import PLACE, POINTER, clicked

alt = pytest.importorskip("altair")
X, Y = (-3.0, 3.0), (0.0, 10.0)
CELLS = (6, 5)


class FakeStreamlit:
    """Gives the selection of a browser, as Streamlit does, and keeps what was drawn."""

    def __init__(self, *marks: dict[str, Any]) -> None:
        self.session_state: dict[str, Any] = {}
        self.marks = list(marks)
        self.drawn: list[tuple[Any, dict[str, Any]]] = []

    def altair_chart(self, chart: Any, **options: Any) -> dict[str, Any]:
        self.drawn.append((chart, options))
        return {"selection": {PLACE: self.marks} if self.marks else {}}


def ask(st: FakeStreamlit) -> tuple[float, float] | None:
    chart = alt.Chart(alt.sequence(3)).mark_line().encode(x="data:Q", y="data:Q")
    return clicked(st, chart, X, Y, key="picture", titles=("in", "out"), cells=CELLS)


def test_nothing_is_told_without_a_click() -> None:
    assert ask(FakeStreamlit()) is None


@pytest.mark.parametrize(
    ("cell", "place"),
    [(0, (-3.0, 0.0)), (6, (3.0, 0.0)), (7, (-3.0, 2.0)), (3 * 7 + 2, (-1.0, 6.0)), (41, (3, 10))],
)
def test_click_is_told_in_units_of_the_axes(cell: int, place: tuple[float, float]) -> None:
    assert ask(FakeStreamlit({"cell": cell, "turn": 0})) == pytest.approx(place)


def test_click_is_told_once_and_the_next_one_in_the_same_place_too() -> None:
    st = FakeStreamlit({"cell": 8, "turn": 0})
    first = ask(st)
    assert first is not None
    assert ask(st) is None  # the selection stays, and is answered
    st.marks = [{"cell": 8, "turn": 1}]
    assert ask(st) == first
    assert ask(st) is None


@pytest.mark.parametrize("cell", [-1, 42, 10_000])
def test_place_outside_of_the_chart_is_none(cell: int) -> None:
    assert ask(FakeStreamlit({"cell": cell, "turn": 0})) is None


def test_chart_reports_clicks_alone_under_one_key() -> None:
    st = FakeStreamlit({"cell": 8, "turn": 0})
    ask(st)
    ask(st)
    options = {"key": "picture", "on_select": "rerun", "selection_mode": PLACE}
    assert [options] * 2 == [drawn for _, drawn in st.drawn]
    drawn = st.drawn[1][0].to_dict()
    line, seen, marks = drawn["layer"]
    assert line["mark"]["type"] == "line"
    assert seen["transform"][-1] == {"filter": {"param": POINTER, "empty": False}}
    assert marks["data"]["sequence"] == {"as": "cell", "start": 0, "stop": 42}
    sums = {part["as"]: part["calculate"] for part in marks["transform"]}
    assert sums["turn"] == "1"
    places = {param["name"]: param for param in drawn["params"]}
    assert places[PLACE]["select"]["fields"] == ["cell", "turn"]
    assert all(param["select"]["nearest"] for param in places.values())
    assert marks["encoding"]["x"]["title"] == "in"
    assert marks["encoding"]["y"]["title"] == "out"


def test_marks_lie_where_their_numbers_say() -> None:
    """The browser computes places by these expressions; Python must mean the same."""
    st = FakeStreamlit()
    ask(st)
    marks = st.drawn[0][0].to_dict()["layer"][-1]
    sums = {part["as"]: part["calculate"] for part in marks["transform"]}
    for cell in (0, 6, 7, 23, 41):
        values = [_as_javascript(sums[name], cell) for name in ("across", "up")]
        assert ask(FakeStreamlit({"cell": cell, "turn": 0})) == pytest.approx(tuple(values))


def _as_javascript(expression: str, cell: int) -> float:
    """Of numbers from 0 on, ``%`` and ``floor`` mean in Python what they mean there."""
    text = expression.replace("datum.cell", str(cell)).replace("floor", "int")
    return float(eval(text, {"int": int}))
