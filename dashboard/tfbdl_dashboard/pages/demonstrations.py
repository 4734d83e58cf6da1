"""The page of demonstrations: panels that need no run."""

from __future__ import annotations

import streamlit as st

from tfbdl import registry
from tfbdl.specs import PanelSpec
from tfbdl_dashboard import panel_view


def show() -> None:
    """Draw the page."""
    st.title("Demonstrations")
    found = demonstrations()
    if not found:
        st.info("No plugin has a demonstration.")
        return
    panel_view.draw(panel_view.choose(found, "demonstration"), None)


def demonstrations() -> list[PanelSpec]:
    """The panels of all plugins that need no run, by name."""
    return [panel for panel in registry.registry().panels.values() if panel.is_demonstration]
