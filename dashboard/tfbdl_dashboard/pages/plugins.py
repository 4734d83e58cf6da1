"""The page of plugins: who provides what in which version, and what is wrong with whom."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tfbdl import registry


def show() -> None:
    """Draw the page."""
    found = registry.registry()
    st.title("Plugins")
    rows = [(p.plugin, p.distribution, p.version) for p in found.providers]
    st.dataframe(pd.DataFrame(rows, columns=["plugin", "distribution", "version"]), hide_index=True)
    if not found.problems:
        st.success("No plugin has a problem.")
    for problem in found.problems:
        # code spans: what a plugin says of itself is text, never markup
        st.error(f"`{problem.provider}` failed at {problem.stage}")
        st.code(f"{problem.message}\n{problem.advice}", language=None, wrap_lines=True)
