"""One panel of a plugin in a page: its controls, and what it shows of its answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from tfbdl import registry
from tfbdl.config import fields_of
from tfbdl.errors import TfbdlError, without_paths
from tfbdl.specs import PanelSpec
from tfbdl_dashboard import forms, side

TASK = "panel"


def choose(panels: list[PanelSpec], key: str) -> PanelSpec:
    """Which of the panels is shown; the only one needs no choice.

    Args:
        panels: At least one.
        key: Of the widget.
    """
    by_name = {panel.name: panel for panel in panels}
    if len(panels) == 1:
        return panels[0]
    draw = st.segmented_control if len(panels) <= 6 else st.selectbox
    options: dict[str, Any] = {"default": panels[0].name, "required": True}
    if draw is st.selectbox:
        options = {}
    name = draw("Panel", list(by_name), format_func=title, key=key, **options)
    return by_name[name]


def title(name: str) -> str:
    """A panel's name as a title: ``latent_traversal`` becomes ``Latent traversal``."""
    return name.replace("_", " ").capitalize()


def draw(spec: PanelSpec, run: str | None) -> None:
    """Draw a panel: the controls on the left, what it shows on the right.

    Args:
        spec: The panel.
        run: The id of the run, or None for a demonstration.
    """
    if spec.summary:
        st.text(spec.summary)
    where: Any = st.container()
    controls: dict[str, Any] = {}
    if fields_of(spec.controls):
        left, where = st.columns([1, 3], gap="large")
        with left:
            controls = forms.options_form(spec.controls, f"panel:{spec.name}:{run}")
        if forms.option_errors(spec.controls, controls):
            return  # the form says what is wrong
    with where:
        arrays = side.computed(TASK, run, name=spec.name, controls=controls)
        if arrays is not None:
            show(spec, arrays)


def show(spec: PanelSpec, arrays: dict[str, np.ndarray]) -> None:
    """Let the plugin draw an answer; what it raises is shown as its error, and the page stands."""
    try:
        registry.resolve(spec.show)(st, arrays)
    except Exception as error:  # of the plugin, whatever it is
        provider = registry.registry().panels.provider(spec.name)
        st.error("The plugin of this panel could not show its answer.")
        said = str(error) if isinstance(error, TfbdlError) else f"{type(error).__name__}: {error}"
        st.text(without_paths(f"Panel {spec.name}, {provider}.\n{said}"))
