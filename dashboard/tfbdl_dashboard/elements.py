"""What the pages of a posterior share: its draws or why there are none; a choice of elements."""

from __future__ import annotations

import streamlit as st

from tfbdl.errors import OptionsError, RunError
from tfbdl.labels import label_of
from tfbdl.runs import RunFolder
from tfbdl_dashboard import draws, jobs, state
from tfbdl_dashboard.draws import Draws
from tfbdl_dashboard.plain_text import escaped

ALL = "all sites"
MOST_OPTIONS = 300
"""Elements offered in a list; one of the others can be typed below it."""

NOT_YET = "The draws are written when the run is done. The page Live shows how far it is."
POINT_ESTIMATE = (
    "The fit of this run is a point estimate, so it has no posterior over its parameters. What it "
    "says of the data stands on the pages Predictions and Panels."
)


def draws_or_reason(folder: RunFolder) -> Draws | None:
    """The draws of a run; where there are none the page says why."""
    try:
        found = draws.draws_of(folder)
        standing = jobs.standing(folder)
    except RunError as error:
        state.show_unreadable(error)
        return None
    if found is None:
        st.info(POINT_ESTIMATE if standing.state == "done" else NOT_YET)
    return found


def choose_site(found: Draws, key: str) -> str | None:
    """One site, or None for all."""
    names = list(found.sites)
    if len(names) == 1:
        return names[0]
    chosen = st.selectbox("Site", [ALL, *names], key=f"site {key}")
    return None if chosen == ALL else chosen


def choose(
    found: Draws, key: str, *, default: int, most: int, preset: list[str] | None = None
) -> list[str]:
    """Elements of a site or of all; where not all are offered, another may be typed.

    Args:
        found: The draws.
        key: Of the widgets.
        default: How many are chosen to begin with: the first of ``preset``, else those whose mean
            is most standard deviations away from zero.
        most: How many may be chosen.
        preset: Labels to put first.

    Returns:
        Labels, each of which the run has.
    """
    left, right = st.columns([1, 3])
    with left:
        site = choose_site(found, key)
    first = [label for label in preset or [] if site is None or found.place(label)[0] == site]
    ranked = found.most_certain(site=site, most=MOST_OPTIONS)
    options = list(dict.fromkeys([*first, *ranked]))
    size = sum(draws.size_of(v) for n, v in found.sites.items() if site in (None, n))
    with right:
        labels = st.multiselect(
            "Elements",
            options,
            default=options[:default],
            max_selections=most,
            key=f"elements {key} {site}",
        )
        if size > len(options):
            labels = labels + _typed(found, key, f"Offered above: {len(options)} of {size:,}.")
    labels = list(dict.fromkeys(labels))
    if len(labels) > most:
        st.warning(f"At most {most} elements are shown. Take one away for the one that is typed.")
    return labels[:most]


def _typed(found: Draws, key: str, help_text: str) -> list[str]:
    """The element whose label was typed, if the run has it."""
    example = found.find(most=1)[0]
    typed = st.text_input(
        "Other element", key=f"other {key}", placeholder=f"such as {example}", help=help_text
    )
    if not typed.strip():
        return []
    try:
        return [label_of(*found.place(typed))]
    except OptionsError as error:
        st.warning(escaped(error))
        return []
