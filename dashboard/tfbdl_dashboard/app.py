"""Navigation between the pages, drawn at each visit."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import streamlit as st

from tfbdl_dashboard import state

PAGES = {
    "new_run": ("New run", "add_circle"),
    "runs": ("Runs", "list"),
    "demonstrations": ("Demonstrations", "school"),
    "plugins": ("Plugins", "extension"),
}
"""Module under ``pages`` -> title and icon."""

RUN_PAGES = {
    "live": ("Live", "monitoring"),
    "posterior": ("Posterior", "ssid_chart"),
    "diagnostics": ("Diagnostics", "health_metrics"),
    "predictions": ("Predictions", "online_prediction"),
    "panels": ("Panels", "dashboard"),
}
"""Those of a chosen run."""

OPENS_WITH = "runs"
ICON = Path(__file__).with_name("icon.svg")


def page(name: str, title: str, icon: str, **more: Any) -> st.Page:
    """One page, whose module is imported when it is opened; ``more`` as in ``st.Page``."""

    def show() -> None:
        importlib.import_module(f"tfbdl_dashboard.pages.{name}").show()

    return st.Page(
        show,
        title=title,
        icon=f":material/{icon}:",
        **{"url_path": name.replace("_", "-"), **more},
    )


def navigation() -> None:
    """Draw the navigation, and the page that the address names."""
    # an icon of our own: those of the navigation a browser would fetch from another site
    st.set_page_config(page_icon=ICON, layout="wide")
    folder = state.chosen_run()
    always = {name: page(name, title, icon) for name, (title, icon) in PAGES.items()}
    # the default page has the server's own address; its name leads to it too
    title, icon = PAGES[OPENS_WITH]
    alias = page(OPENS_WITH, title, icon, visibility="hidden")
    always[OPENS_WITH] = page(OPENS_WITH, title, icon, default=True, url_path="start")
    # there is a way to them without a chosen run too, or nothing could lead there
    shown = "hidden" if folder is None else "visible"
    of_run = {
        name: page(name, title, icon, visibility=shown) for name, (title, icon) in RUN_PAGES.items()
    }
    state.keep_pages(always | of_run)
    chosen_page = st.navigation(
        {"": [*always.values(), alias], "Chosen run": list(of_run.values())}
    )
    if folder is not None:
        with st.sidebar:
            st.text(folder.path.name)
    chosen_page.run()
