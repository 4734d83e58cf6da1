"""The page of runs: their table, comparison of several, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import streamlit as st

from tfbdl.errors import RunError
from tfbdl.metric_names import meaning
from tfbdl.specs import RunSpec
from tfbdl_dashboard import app, course, curves, run_index, run_tables, state
from tfbdl_dashboard.plain_text import escaped, without_paths
from tfbdl_dashboard.run_index import Row

SELECTED = "selected runs"
CONFIRMING = "to be confirmed"
ARCHIVED = "archived last"
EVERY = 2.0
"""Seconds between two looks at the runs while any is at work."""
MOST_COMPARED = 8
POINTS = 500
FIVE_DIGITS = {
    name: st.column_config.NumberColumn(name, format="%.5g")
    for name in ("value", "last", "least", "greatest")
}


def show() -> None:
    """Draw the page."""
    root = state.runs_root()
    st.title("Runs")
    rows = run_index.rows(root)
    _say_what_was_done()
    show_undo(root)
    if rows:
        active = any(row.standing is not None and row.standing.active for row in rows)
        # polls only while a run is at work, and draws the table alone
        st.fragment(watch_table, run_every=EVERY if active else None)(root, _states(rows))
        selected = st.session_state[SELECTED]
        chosen = [row for row in rows if row.id in selected]
        if chosen:
            show_actions(root, chosen)
            show_selection(root, chosen)
    else:
        st.info("There is no run yet. Start one from the page New run.")
    show_archive(root)
    if CONFIRMING in st.session_state:
        _confirm(root, *st.session_state[CONFIRMING])


def watch_table(root: Path, before: list[tuple[str, str]]) -> None:
    """Draw the table; the whole page anew if other runs are selected, or one began or ended.

    Args:
        root: Of the runs.
        before: Ids and states when the whole page was drawn.
    """
    rows = run_index.rows(root)
    asking = CONFIRMING in st.session_state  # what is asked about stays as it is meanwhile
    if not asking and _states(rows) != before:
        st.rerun()
    selected = {row.id for row in rows} & set(st.session_state.get(SELECTED, []))
    if {row.id for row in show_table(rows)} != selected and not asking:
        st.rerun()


def show_undo(root: Path) -> None:
    """The way back for the runs that were archived last."""
    kept = run_index.archived(root)
    ids = [name for name in st.session_state.get(ARCHIVED, []) if name in kept]
    if not ids:
        st.session_state.pop(ARCHIVED, None)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{ids[0] if len(ids) == 1 else f'{len(ids)} runs'}: put into the archive.")
        if st.button("Undo", icon=":material/undo:"):
            _each(lambda name: run_index.restore(root, name), ids, "taken back")


def show_table(rows: list[Row]) -> list[Row]:
    """The table; gives the rows that are selected."""
    frame = run_tables.runs_table(rows)
    ids = [row.id for row in rows]
    before = st.session_state.get(SELECTED, [])
    picked = st.dataframe(
        frame,
        hide_index=True,
        column_config=_columns(frame.columns),
        on_select="rerun",
        selection_mode="multi-row",
        # by position: another set of runs is another table, which begins with the same runs
        key=f"runs-{hash(tuple(ids))}",
        selection_default={
            "selection": {"rows": [ids.index(name) for name in before if name in ids]}
        },
    )
    chosen = [rows[i] for i in picked["selection"]["rows"] if i < len(rows)]
    st.session_state[SELECTED] = [row.id for row in chosen]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Table as CSV",
            lambda: frame.to_csv(index=False),
            "runs.csv",
            "text/csv",
            icon=":material/download:",
        )
        if not chosen:
            st.text("Select rows to open, compare, download, archive or delete runs.")
    return chosen


def show_actions(root: Path, chosen: list[Row]) -> None:
    """Buttons for the runs that are selected."""
    ids = [row.id for row in chosen]
    with st.container(horizontal=True):
        if len(chosen) == 1:
            for page, (title, _) in app.RUN_PAGES.items():
                if st.button(title, key=f"open-{page}"):
                    state.open_run(ids[0], page)
        st.download_button(
            "Curves as CSV",
            lambda: run_tables.curves_csv(_curves(root, ids)),
            "curves.csv",
            "text/csv",
            icon=":material/download:",
        )
        if st.button("Archive", icon=":material/archive:"):
            _each(lambda name: run_index.archive(root, name), ids, "archived")
        if st.button("Delete", icon=":material/delete:"):
            st.session_state[CONFIRMING] = ("delete", ids)


def show_selection(root: Path, chosen: list[Row]) -> None:
    """One run in detail, or several side by side."""
    if len(chosen) == 1:
        show_one(root, chosen[0])
        return
    compared = chosen[:MOST_COMPARED]
    st.subheader(f"{len(compared)} runs compared")
    if len(chosen) > MOST_COMPARED:
        st.caption(f"The first {MOST_COMPARED} of {len(chosen)}: more cannot be told apart.")
    ids = [row.id for row in compared]
    known = run_index.folders(root)
    names = run_tables.shared_first([known[name].last_metrics() for name in ids if name in known])
    if names:
        metric = st.selectbox("Curve", names)
        found = _curves(root, ids, [metric], POINTS)
        series = {name: curve[metric] for name, curve in found if metric in curve}
        whole = st.toggle("Show the first steps too", key="whole-comparison")
        st.altair_chart(curves.curve_chart(series, metric, whole=whole))
        st.caption(escaped(meaning(metric)))
    st.dataframe(run_tables.comparison(compared, _specs(root, ids)), hide_index=True)


def show_one(root: Path, row: Row) -> None:
    """Figures and options of one run."""
    folder = run_index.find(root, row.id)
    if folder is None:
        return
    st.subheader(escaped(f"{row.id}: {row.state}"))
    if row.message:
        st.text(row.message)
    if row.standing is None:
        return
    if row.figures:
        st.dataframe(
            run_tables.figures_table(row.figures), hide_index=True, column_config=FIVE_DIGITS
        )
    last = folder.summarise_metrics()
    if last:
        with st.expander("Curves of this run", expanded=not row.figures):
            st.dataframe(run_tables.extents_table(last), hide_index=True, column_config=FIVE_DIGITS)
    with st.expander("Options of this run"):
        st.code(run_tables.options_text(folder.read_spec()), language="json")


def show_archive(root: Path) -> None:
    """Runs that were put away, and the way back."""
    kept = list(run_index.archived(root))
    if not kept:
        return
    with st.expander(f"Archive ({len(kept)})"):
        picked = st.multiselect("Archived runs", kept, key="archived")
        with st.container(horizontal=True):
            if st.button("Take back", disabled=not picked, icon=":material/unarchive:"):
                _each(lambda name: run_index.restore(root, name), picked, "taken back")
            if st.button("Delete for good", disabled=not picked, icon=":material/delete_forever:"):
                st.session_state[CONFIRMING] = ("delete", picked)


def _forget_question() -> None:
    st.session_state.pop(CONFIRMING, None)


@st.dialog("Delete runs", on_dismiss=_forget_question)
def _confirm(root: Path, what: str, ids: Sequence[str]) -> None:
    st.write(f"{len(ids)} {'run' if len(ids) == 1 else 'runs'} will be deleted for good:")
    st.text("\n".join(ids))
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key="confirm-delete"):
            _forget_question()
            _each(lambda name: run_index.delete(root, name), ids, "deleted")
        if st.button("Keep", key="confirm-keep"):
            _forget_question()
            st.rerun()


def _each(action: Callable[[str], None], ids: Sequence[str], done: str) -> None:
    """Do it to each run, say what could not be done, and draw the page anew."""
    problems = []
    for name in ids:
        try:
            action(name)
        except RunError as error:
            problems.append(without_paths(error))
    st.session_state["said"] = (len(ids) - len(problems), done, problems)
    st.session_state[ARCHIVED] = list(ids) if done == "archived" else []
    st.rerun()


def _say_what_was_done() -> None:
    count, done, problems = st.session_state.pop("said", (0, "", []))
    if count:
        st.toast(f"{count} {'run' if count == 1 else 'runs'} {done}.")
    for problem in problems:
        st.error(escaped(problem))


def _states(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row.id, row.state) for row in rows]


def _curves(
    root: Path, ids: Sequence[str], names: Sequence[str] | None = None, most: int | None = None
) -> Iterator[tuple[str, Mapping[str, course.Curve]]]:
    """Id, and metric -> curve, of the runs that still are; one is read after the other."""
    known = run_index.folders(root)
    for name in ids:
        if name in known:
            yield name, known[name].read_metrics(names=names, most=most)


def _specs(root: Path, ids: Sequence[str]) -> dict[str, RunSpec]:
    known = run_index.folders(root)
    found = {}
    for name in ids:
        try:
            found[name] = known[name].read_spec()
        except (RunError, KeyError):
            continue
    return found


def _columns(names: Iterable[str]) -> dict[str, object]:
    special = {
        "created": st.column_config.DatetimeColumn("created", format="YYYY-MM-DD HH:mm"),
        "run": st.column_config.TextColumn("run", width="medium", pinned=True),
        "message": st.column_config.TextColumn("message", width="medium"),
        "objective": st.column_config.TextColumn(
            "objective", width=110, help="The curve of which the best and the last value follow."
        ),
        "seconds": st.column_config.NumberColumn("seconds", format="%.0f"),
    }
    plain = {
        name: st.column_config.NumberColumn(name, format="%.4g", help=meaning(name) or None)
        for name in ("best", "last", *run_tables.COLUMNS)
    }
    return {name: column for name, column in (plain | special).items() if name in names}
