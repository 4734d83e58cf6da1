"""The page of the chosen run's panels: what the plugins of its model and engine show of it."""

from __future__ import annotations

import streamlit as st

from tfbdl.errors import RunError
from tfbdl.planning import panels_for
from tfbdl.runs import RESULT, RunFolder
from tfbdl.specs import PanelSpec
from tfbdl_dashboard import panel_view, state


def show() -> None:
    """Draw the page."""
    st.title("Panels")
    folder = state.run_or_hint()
    if folder is None:
        return
    run = folder.path.name
    st.text(f"Run {run}")
    try:
        panels = panels_of(folder)
    except RunError as error:
        state.show_unreadable(error)
        return
    if not panels:
        st.info("No plugin has a panel for this run's model or engine.")
    elif not (folder.path / RESULT).is_file():
        st.info("This run has no result yet. Its panels stand here once it is done.")
    else:
        panel_view.draw(panel_view.choose(panels, f"panel of {run}"), run)


def panels_of(folder: RunFolder) -> list[PanelSpec]:
    """The panels that show something of a run, by name.

    Raises:
        RunError: If the run cannot be read.
    """
    spec, record = folder.read_spec(), folder.read_record()
    rebuilt = record.get("rebuilt_as") or {}  # of an object that the registry can make too
    return panels_for(spec.model or rebuilt.get("model"), spec.engine)
