"""The page of models, engines, priors and data sets, with their options."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tfbdl import registry
from tfbdl.config import Config, expected_text, fields_of
from tfbdl.specs import EngineSpec, ModelSpec, Spec

KINDS = {"model": "Models", "engine": "Engines", "prior": "Priors", "dataset": "Data sets"}


def show() -> None:
    """Draw the page."""
    st.title("Catalogue")
    kind = st.segmented_control(
        "Kind", list(KINDS), format_func=KINDS.__getitem__, default="model", required=True
    )
    catalog = registry.registry().catalog(kind)
    if not catalog:
        st.info(f"No plugin provides any {KINDS[kind].lower()}.")
        return
    summaries = [(name, spec.summary) for name, spec in catalog.items()]
    st.dataframe(pd.DataFrame(summaries, columns=["name", "summary"]), hide_index=True)
    name = st.selectbox("Details of", list(catalog), key=f"name-{kind}")
    spec = catalog[name]
    st.subheader(f"{kind} {name}")
    st.text(f"{spec.summary}\nProvided by {catalog.provider(name)}.")
    for line in facts(spec):
        st.text(line)
    st.dataframe(options_table(spec.config), hide_index=True)
    for reference in spec.references:
        st.text(reference)


def facts(spec: Spec) -> list[str]:
    """What a model or an engine says of itself beyond its summary."""
    if isinstance(spec, ModelSpec):
        return [
            f"Capabilities: {', '.join(sorted(spec.capabilities)) or 'none'}",
            f"Default engine: {spec.default_engine}",
            f"Default prior: {spec.default_prior or 'none'}",
        ]
    if isinstance(spec, EngineSpec):
        needs = " or ".join(" and ".join(sorted(need)) for need in spec.needs)
        return [f"Needs: {needs}"]
    return []


def options_table(config: type[Config]) -> pd.DataFrame:
    """One row for each option: name, default, what is admitted, meaning."""
    rows = [
        (
            field.name,
            "(required)" if field.required else str(field.default),
            expected_text(field),
            field.description,
        )
        for field in fields_of(config)
    ]
    return pd.DataFrame(rows, columns=["option", "default", "expected", "meaning"])
