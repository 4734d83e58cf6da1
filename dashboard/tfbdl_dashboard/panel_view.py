"""One panel of a plugin in a page: its controls, and what it shows of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st

from tfbdl import registry
from tfbdl.config import fields_of
from tfbdl.errors import SpecError, TfbdlError, without_paths
from tfbdl.specs import PanelSpec
from tfbdl_dashboard import forms, side

TASK = "panel"
TAKE_BACK = "Take back what was set in the picture"


@dataclass
class Picked:
    """What the picture of a panel set, kept for a session.

    Attributes:
        controls: All controls when the picture was last used.
        widgets: Those of the form, from which its widgets then began.
        times: How often the picture set widgets; each time they begin anew.
        just_now: Whether the picture was not drawn since.
    """

    controls: dict[str, Any] = field(default_factory=dict)
    widgets: dict[str, Any] = field(default_factory=dict)
    times: int = 0
    just_now: bool = False

    def keep(self, spec: PanelSpec, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Take note of all controls before and after the picture was used."""
        in_form = {f.name for f in fields_of(spec.controls) if not f.set_by_show}
        if any(after[name] != before[name] for name in in_form):
            shown = {name: value for name, value in after.items() if name in in_form}
            self.widgets, self.times = forms.differing(spec.controls, shown), self.times + 1
        self.controls, self.just_now = dict(after), True


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

    Where its picture sets controls, such as by a click, the page is run anew with these.

    Args:
        spec: The panel.
        run: The id of the run, or None for a demonstration.
    """
    if spec.summary:
        st.text(spec.summary)
    key = f"panel:{spec.name}:{run}"
    picked: Picked = st.session_state.setdefault(f"{key}:picked", Picked())
    again, picked.just_now = picked.just_now, False
    fields = fields_of(spec.controls)
    unseen = {f.name: picked.controls.get(f.name, f.default) for f in fields if f.set_by_show}
    where: Any = st.container()
    given: dict[str, Any] = {}
    if len(fields) > len(unseen):
        left, where = st.columns([1, 3], gap="large")
        with left:
            given = forms.options_form(
                spec.controls, f"{key}:{picked.times}", picked.widgets, fixed=unseen
            )
    set_before = forms.differing(spec.controls, unseen, given)
    if forms.option_errors(spec.controls, unseen | given):
        with where:
            _offer_to_take_back(picked, set_before)
        return  # the form says what is wrong
    controls = given | set_before
    with where:
        with st.container():  # with or without a spinner: what is drawn stays where it is
            arrays = side.computed(TASK, run, name=spec.name, controls=controls)
        if arrays is None:
            _offer_to_take_back(picked, set_before)
            return
        before, after = show(spec, arrays, controls, again=again)
    if after != before:
        picked.keep(spec, before, after)
        st.rerun()


def show(
    spec: PanelSpec, arrays: dict[str, np.ndarray], controls: Mapping[str, Any], *, again: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let the plugin draw an answer; what it raises is shown as its error, and the page stands.

    Args:
        spec: The panel.
        arrays: The answer.
        controls: Those of the answer that are not at their defaults.
        again: Whether the picture has set them in the run just before.

    Returns:
        All controls before and after; they differ where the picture set some.
    """
    before = spec.controls_after(controls, None)
    try:
        after = spec.controls_after(controls, registry.resolve(spec.show)(st, arrays))
        if again and after != before:
            changed = ", ".join(sorted(name for name in after if after[name] != before[name]))
            raise SpecError(
                f"show sets {changed} each time that it is drawn, which would never end. "
                "Expected: to return values once for each click or other use of the picture."
            )
    except Exception as error:  # of the plugin, whatever it is
        provider = registry.registry().panels.provider(spec.name)
        st.error("The plugin of this panel could not show its answer.")
        said = str(error) if isinstance(error, TfbdlError) else f"{type(error).__name__}: {error}"
        st.text(without_paths(f"Panel {spec.name}, {provider}.\n{said}"))
        return before, before
    return before, after


def _offer_to_take_back(picked: Picked, set_before: Mapping[str, Any]) -> None:
    """Where there is no picture in which something could be set otherwise."""
    if set_before and st.button(TAKE_BACK):
        picked.controls = {}
        st.rerun()
