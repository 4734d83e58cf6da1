"""The page of plugins: versions, problems with what to do, and all that the plugins provide."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tfbdl import registry
from tfbdl.config import Config, expected_text, fields_of
from tfbdl.registry import Problem
from tfbdl.specs import EngineSpec, ModelSpec, PanelSpec, Spec
from tfbdl_dashboard.option_widgets import shown
from tfbdl_dashboard.plain_text import escaped, without_paths

KINDS = {
    "model": "Models",
    "engine": "Engines",
    "prior": "Priors",
    "dataset": "Data sets",
    "panel": "Panels",
}


def show() -> None:
    """Draw the page."""
    found = registry.registry()
    st.title("Plugins")
    for problem in found.problems:
        _problem(problem)
    if not found.problems:
        st.success("No plugin has a problem.")
    rows = [(p.plugin, p.distribution, p.version) for p in found.providers]
    st.dataframe(pd.DataFrame(rows, columns=["plugin", "distribution", "version"]), hide_index=True)
    st.subheader("What they provide")
    kind = st.segmented_control(
        "Kind",
        list(KINDS),
        format_func=lambda name: f"{KINDS[name]} ({len(found.catalog(name))})",
        default="model",
        required=True,
        key="plugins:kind",
        label_visibility="collapsed",
        persist_state="session",
    )
    _catalogue(kind)


def facts(spec: Spec | PanelSpec) -> list[str]:
    """What a contribution says of itself beyond its summary."""
    if isinstance(spec, ModelSpec):
        return [
            f"Task: {spec.task}",
            f"Capabilities: {', '.join(sorted(spec.capabilities)) or 'none'}",
            f"Default engine: {spec.default_engine}",
            f"Default prior: {spec.default_prior or 'none'}",
        ]
    if isinstance(spec, EngineSpec):
        needs = " or ".join(" and ".join(sorted(need)) for need in spec.needs)
        return [f"Needs: {needs}"]
    if isinstance(spec, PanelSpec):
        if spec.is_demonstration:
            return ["Stands with the demonstrations: it needs no run."]
        held = [f"models {', '.join(spec.models)}"] if spec.models else []
        held += [f"engines {', '.join(spec.engines)}"] if spec.engines else []
        return [f"Stands with runs of the {' and the '.join(held)}."]
    return []


def options_table(config: type[Config]) -> pd.DataFrame:
    """One row for each option: name, default, what is admitted, meaning."""
    rows = [
        (
            field.name,
            "(required)" if field.required else shown(field.default),
            expected_text(field),
            field.description,
        )
        for field in fields_of(config)
    ]
    return pd.DataFrame(rows, columns=["option", "default", "expected", "meaning"])


def _problem(problem: Problem) -> None:
    st.error(escaped(f"{problem.provider} failed at {problem.stage}."))
    text = f"{problem.message}\nWhat to do: {problem.advice}"
    st.code(without_paths(text), language=None, wrap_lines=True)


def _catalogue(kind: str) -> None:
    catalog = registry.registry().catalog(kind)
    if not catalog:
        st.info(f"No plugin provides any {KINDS[kind].lower()}.")
        return
    summaries = [(name, spec.summary) for name, spec in catalog.items()]
    st.dataframe(pd.DataFrame(summaries, columns=["name", "summary"]), hide_index=True)
    name = st.selectbox("Details of", list(catalog), key=f"plugins:{kind}", persist_state="session")
    spec = catalog[name]
    lines = [spec.summary, f"Provided by {catalog.provider(name)}.", *facts(spec)]
    st.text("\n".join(filter(None, lines)))
    config = spec.controls if isinstance(spec, PanelSpec) else spec.config
    if fields_of(config):
        wide = {"meaning": st.column_config.TextColumn(width="large")}
        st.dataframe(options_table(config), hide_index=True, column_config=wide)
    else:
        st.text("It has no options.")
    for reference in getattr(spec, "references", ()):
        st.text(reference)
