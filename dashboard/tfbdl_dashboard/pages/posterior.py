"""The page of a run's posterior: prior against posterior, forest, pairs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import streamlit as st

from tfbdl.runs import RunFolder
from tfbdl_dashboard import elements, posterior_charts, side, state
from tfbdl_dashboard.draws import Draws

DENSITIES, FOREST, PAIRS = "Prior and posterior", "Forest", "Pairs"
MOST_DENSITIES, MOST_ROWS, MOST_PAIRED = 8, 60, 5
ORDERS = ("surest first", "by name")


def show() -> None:
    """Draw the page."""
    st.title("Posterior")
    folder = state.run_or_hint()
    if folder is None:
        return
    st.text(f"Run {folder.path.name}")
    found = elements.draws_or_reason(folder)
    if found is None:
        return
    chains = f"{found.num_chains} chains of {found.num_draws:,} draws"
    many = chains if found.num_chains > 1 else f"{found.num_draws:,} draws"
    st.caption(f"{many}, {found.num_elements:,} elements in {len(found.sites)} sites.")
    views = (DENSITIES, FOREST, PAIRS)
    view = st.segmented_control("View", views, default=DENSITIES, required=True)
    {DENSITIES: show_densities, FOREST: show_forest, PAIRS: show_pairs}[view](folder, found)


def show_densities(folder: RunFolder, found: Draws) -> None:
    """What the data taught of some elements: their density before and after."""
    run = folder.path.name
    labels = elements.choose(found, f"density {run}", default=4, most=MOST_DENSITIES)
    left, right = st.columns(2)
    with_prior = left.toggle(
        "Show the prior", value=True, help="Its density is computed in the side process."
    )
    zoom = right.toggle(
        "Only where the posterior is", help="Leaves out where the posterior has no mass."
    )
    if not labels:
        st.info("Choose one element or more.")
        return
    places = [column for _ in range(0, len(labels), 2) for column in st.columns(2)]
    slots = [place.empty() for place in places[: len(labels)]]
    for slot, label in zip(slots, labels, strict=True):
        slot.altair_chart(posterior_charts.density_chart(label, found.element(label), zoom=zoom))
    if not with_prior:
        return
    ends = [posterior_charts.limits(found.element(label)) for label in labels]
    answer = side.computed(
        "prior_draws",
        run,
        elements=labels,
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
    )
    if answer is None:
        return
    for i, label in enumerate(labels):
        prior = answer["x"][i], answer["density"][i]
        chart = posterior_charts.density_chart(label, found.element(label), prior, zoom=zoom)
        slots[i].altair_chart(chart)
    for line in prior_notes(answer):
        st.text(line)


def prior_notes(answer: Mapping[str, np.ndarray]) -> list[str]:
    """What is to be said of priors without a density: once, where it is so of all."""
    notes = {str(n): str(note) for n, note in zip(answer["element"], answer["note"], strict=True)}
    said = [note for note in notes.values() if note]
    if len(said) == len(notes) and len(set(said)) == 1:
        return said[:1]
    return [f"{label}: {note}" for label, note in notes.items() if note]


def show_forest(folder: RunFolder, found: Draws) -> None:
    """Means and intervals of many elements below one another."""
    run = folder.path.name
    site_place, text_place, order_place = st.columns([1, 1, 1])
    with site_place:
        site = elements.choose_site(found, f"forest {run}")
    text = text_place.text_input("Search", key=f"search {run}", placeholder="part of a name")
    order = order_place.segmented_control(
        "Order", ORDERS, default=ORDERS[0], required=True,
        help="Surest: the mean most standard deviations away from zero.",
    )  # fmt: skip
    choose = found.most_certain if order == ORDERS[0] else found.find
    labels = choose(text, site, MOST_ROWS)
    if not labels:
        st.info("No element has this in its name.")
        return
    st.altair_chart(posterior_charts.forest(posterior_charts.intervals(found, labels)))
    if len(labels) == MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} elements. Choose a site or search to see others.")


def show_pairs(folder: RunFolder, found: Draws) -> None:
    """Draws of two to five elements, each against each."""
    run = folder.path.name
    labels = elements.choose(found, f"pairs {run}", default=3, most=MOST_PAIRED)
    if len(labels) < 2:
        st.info(f"Choose two to {MOST_PAIRED} elements.")
        return
    frame, divergent = posterior_charts.pair_frame(found, labels)
    if divergent:
        st.text(f"{divergent:,} divergent transitions: where they gather, the sampler misses mass.")
    pairs = list(combinations(labels, 2))
    wide = 2 if len(pairs) < 3 else 3
    for start in range(0, len(pairs), wide):
        for column, (x, y) in zip(st.columns(wide), pairs[start : start + wide], strict=False):
            column.altair_chart(posterior_charts.pair(frame, x, y, height=260))
    st.caption("Correlation of the draws shown")
    st.dataframe(frame[labels].corr().round(2))
