"""The script that Streamlit runs at each visit: navigation between the pages."""

from __future__ import annotations

import streamlit as st

from tfbdl_dashboard.pages import catalogue, plugins, runs

PAGES = (
    st.Page(runs.show, title="Runs", icon=":material/list:", url_path="runs", default=True),
    st.Page(catalogue.show, title="Catalogue", icon=":material/category:", url_path="catalogue"),
    st.Page(plugins.show, title="Plugins", icon=":material/extension:", url_path="plugins"),
)

st.set_page_config(page_title="tfbdl", layout="wide")
st.navigation(list(PAGES)).run()
