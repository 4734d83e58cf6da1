"""What a session looks at: where the runs are, and which of them is chosen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from tfbdl.runs import RunFolder
from tfbdl_dashboard import run_index
from tfbdl_dashboard.plain_text import escaped, without_paths

RUNS_VARIABLE = "TFBDL_RUNS"
"""The environment variable that names the folder of runs; the server sets it."""

RUN = "run"
"""The query parameter, and the session's memory, of the chosen run."""

AGAIN = "again"
"""The query parameter that names a run whose choices the form of a new run shows at first."""

_PAGES = "pages of the navigation"


def runs_root() -> Path:
    """The folder whose runs are shown; it may be missing yet."""
    return Path(os.environ.get(RUNS_VARIABLE, "runs"))


def chosen_run() -> RunFolder | None:
    """The run that the address names, or else the one that this session chose last.

    The address keeps it, so that a page may be reloaded, kept as a bookmark or opened twice. An
    id that the index does not hold chooses nothing.
    """
    asked = st.query_params.get(RUN)
    wanted = st.session_state.get(RUN) if asked is None else asked
    folder = None if wanted is None else run_index.find(runs_root(), wanted)
    if folder is None:
        return None
    st.session_state[RUN] = wanted
    if asked is None:
        st.query_params[RUN] = wanted
    return folder


def forget() -> None:
    """Choose no run any more."""
    st.session_state.pop(RUN, None)
    if RUN in st.query_params:
        del st.query_params[RUN]


def open_run(run_id: str, page: str | None = None) -> None:
    """Look at a run.

    Args:
        run_id: As the index names it.
        page: The page to go to, such as ``live``; None stays here.
    """
    st.session_state[RUN] = run_id
    target = pages().get(page) if page is not None else None
    if target is None:
        st.query_params[RUN] = run_id
        st.rerun()
    st.switch_page(target, query_params={RUN: run_id})


def begin_again(run_id: str) -> None:
    """Go to the form of a new run, with the choices of this one."""
    target = pages().get("new_run")
    if target is not None:
        st.switch_page(target, query_params={RUN: run_id, AGAIN: run_id})


def pages() -> Mapping[str, Any]:
    """Name -> page of this session's navigation; empty where a page runs by itself."""
    return st.session_state.get(_PAGES, {})


def keep_pages(pages: Mapping[str, Any]) -> None:
    """Take note of the pages that there are, so that ``open_run`` can go to them."""
    st.session_state[_PAGES] = dict(pages)


def run_or_hint() -> RunFolder | None:
    """The chosen run; without one the page says how to choose it."""
    folder = chosen_run()
    if folder is None:
        asked = st.query_params.get(RUN)
        if not asked:
            st.info("No run is chosen. Open one from the page of runs, or start a new one.")
        elif asked in run_index.archived(runs_root()):
            st.info(f"The run {escaped(asked)} is in the archive. Take it back on the page Runs.")
        else:
            st.info(
                f"There is no run {escaped(asked)}; it may have been deleted. Choose another on "
                "the page Runs."
            )
    return folder


def show_unreadable(error: Exception) -> None:
    """Say that the chosen run cannot be read, and why."""
    st.error("This run cannot be read.")
    st.text(without_paths(error))
