"""A chart of a panel that can be clicked: where it was clicked, once for each click.

A browser tells which mark was clicked, not where; so marks that are not seen lie over the whole
chart, and the one that is next to the pointer shows itself.
"""

from __future__ import annotations

from typing import Any

PLACE, POINTER = "place", "pointer"
"""The names of the selections by clicks, and by the pointer alone."""

CELLS = (90, 54)
"""Steps between the places that can be told apart, along x and along y."""

Range = tuple[float, float]


def clicked(
    st: Any,
    chart: Any,
    x: Range,
    y: Range,
    *,
    key: str,
    titles: tuple[str, str] = ("x", "y"),
    cells: tuple[int, int] = CELLS,
) -> tuple[float, float] | None:
    """Draw a chart that can be clicked, and say where it just was.

    Args:
        st: Streamlit, as ``show`` gets it. To draw into a column, call it ``with`` that column.
        chart: An Altair chart of one plot, or layers of one, whose axes hold numbers. Its scales
            say what is seen; ``x`` and ``y`` should lie within.
        x: From where to where clicks count.
        y: Likewise.
        key: Of the chart, unique on the page.
        titles: Of the axes, as the chart calls them.
        cells: Steps along x and y. Each place is a mark, so they should be some thousands at most.

    Returns:
        The place in units of the axes, to the nearest step; None if there was no click since.

    Example:
        ```python
        def show(st, arrays):
            place = clicked(st, chart_of(arrays), (-3.0, 3.0), (-1.0, 1.0), key="points")
            return None if place is None else {"points": [*arrays["points"].tolist(), place]}
        ```
    """
    turn = st.session_state.get(f"{key}:turn", 0)
    seen, unseen = _places(x, y, cells, titles, turn)
    event = st.altair_chart(chart + seen + unseen, key=key, on_select="rerun", selection_mode=PLACE)
    # a selection stays until there is another: one of an earlier turn was answered before
    fresh = [mark for mark in event["selection"].get(PLACE) or () if mark.get("turn") == turn]
    if not fresh:
        return None
    st.session_state[f"{key}:turn"] = turn + 1
    row, column = divmod(int(fresh[-1]["cell"]), cells[0] + 1)
    if not 0 <= row <= cells[1]:  # what a browser says need not be true
        return None
    return _at(x, column / cells[0]), _at(y, row / cells[1])


def _places(
    x: Range, y: Range, cells: tuple[int, int], titles: tuple[str, str], turn: int
) -> tuple[Any, Any]:
    """The mark at the pointer, which is seen, and those all over the plot, made in the browser."""
    import altair as alt

    across, up = cells
    chosen = alt.selection_point(
        name=PLACE, fields=["cell", "turn"], nearest=True, on="click", toggle=False, clear=False
    )
    near = alt.selection_point(
        name=POINTER,
        fields=["cell"],
        nearest=True,
        on="pointermove",
        clear="pointerout",
        empty=False,
    )
    marks = (
        alt.Chart(alt.sequence(0, (across + 1) * (up + 1), as_="cell"))
        .transform_calculate(
            across=f"{x[0]} + {(x[1] - x[0]) / across} * (datum.cell % {across + 1})",
            up=f"{y[0]} + {(y[1] - y[0]) / up} * floor(datum.cell / {across + 1})",
            turn=str(turn),
        )
        .encode(x=alt.X("across:Q", title=titles[0]), y=alt.Y("up:Q", title=titles[1]))
    )
    tips = [
        alt.Tooltip(f"{name}:Q", title=title, format=".3~g")
        for name, title in zip(("across", "up"), titles, strict=True)
    ]
    # a layer of its own: a mark that changes has the neighbours of all marks found anew
    seen = marks.transform_filter(near).mark_point(
        shape="cross", filled=True, size=90, color="gray"
    )
    unseen = marks.mark_point(opacity=0.0, size=1).encode(tooltip=tips)
    return seen, unseen.add_params(chosen, near)


def _at(ends: Range, share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
