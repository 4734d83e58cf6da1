"""The page of one run on its way: state, time left, bound, KL, chains, curves, log."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tfbdl.errors import RunError
from tfbdl.metric_names import meaning
from tfbdl.runs import RunFolder
from tfbdl_dashboard import course, curves, jobs, run_index, state
from tfbdl_dashboard.jobs import Standing
from tfbdl_dashboard.plain_text import escaped, without_paths

POINTS = 500
"""Of a curve: more would not be told apart."""
EVERY = 1.0
"""Seconds between two looks at a run that is at work."""
CHAINS = {
    "r_hat": "R-hat, largest",
    "ess_bulk": "ESS, smallest",
    "divergences": "Divergences",
    "acceptance_rate": "Acceptance",
}
RESUMABLE = ("lost", "failed", "cancelled")


def show() -> None:
    """Draw the page."""
    folder = state.run_or_hint()
    if folder is None:
        return
    try:
        active = jobs.standing(folder).active
        folder.read_spec()
    except RunError as error:
        st.error("This run cannot be read.")
        st.text(without_paths(error))
        return
    st.title("Live")
    row = run_index.row_of(folder)
    st.text(f"{row.id}\n{row.model} on {row.data} by {row.engine}, seed {row.seed}")
    # polls only while the run is at work
    st.fragment(watch, run_every=EVERY if active else None)(folder, active)


def watch(folder: RunFolder, was_active: bool) -> None:
    """Draw how the run stands; drawn again by itself while it is at work."""
    try:
        now = jobs.standing(folder)
        last, result = folder.last_metrics(), folder.read_result()
    except RunError as error:
        st.error("This run cannot be read.")
        st.text(without_paths(error))
        return
    if now.active != was_active:
        st.rerun()  # the whole page: it begins to poll, or ends to
    show_state(folder, now, result)
    show_headlines(last, result)
    show_bound(folder, last)
    show_parts(last)
    show_chains(folder, last, result)
    show_others(folder, last)
    show_log(folder, now)


def show_state(folder: RunFolder, now: Standing, result: dict[str, float]) -> None:
    """State, progress, time left, and what can be done."""
    status = now.status
    if now.state == "running" and status.steps and status.step is not None:
        left = status.seconds_left
        text = f"Step {status.step:,} of {status.steps:,}"
        text += f", about {course.duration(left)} left" if left is not None else ""
        st.progress(min(1.0, status.step / status.steps), text=text)
    elif now.active:
        st.info(escaped(now.message or "The worker is at work."), icon=":material/hourglass_top:")
    elif now.state == "done":
        took = f" It took {course.duration(result['seconds'])}." if "seconds" in result else ""
        st.success(f"This run is done.{took}", icon=":material/check_circle:")
    elif now.state == "created":
        st.info("This run was made, and not started.")
    else:
        show_end(folder, now)
    if now.active and st.button("Cancel", icon=":material/stop_circle:"):
        _try(lambda: jobs.cancel(folder))
    if not now.active and (now.state in RESUMABLE or now.state == "created"):
        why_not = jobs.not_resumable(folder)
        kept = folder.checkpoints().steps()
        label = "Resume from the last checkpoint" if kept else "Start"
        if st.button(label, icon=":material/resume:", disabled=bool(why_not), type="primary"):
            _try(lambda: jobs.resume(folder))
        if why_not:
            st.text(why_not)
    if now.active and folder.cancel_requested():
        st.text("It was asked to stop, and does at its next report.")


def show_end(folder: RunFolder, now: Standing) -> None:
    """How a run ended that did not come to its end, and where it would go on."""
    words = {
        "lost": "The worker of this run is gone: it was killed, or the machine went down.",
        "failed": "This run failed.",
        "cancelled": "This run was cancelled.",
    }
    st.warning(words.get(now.state, escaped(now.state)), icon=":material/error:")
    if now.message and now.state != "lost":
        st.text(now.message)
    if not folder.checkpoints().steps():
        st.text("It has left no checkpoint, and would begin anew.")


def show_headlines(last: dict[str, tuple[int, float]], result: dict[str, float]) -> None:
    """The most telling figures in one row."""
    figures = list(course.headlines(last, result).items())[:5]
    if not figures:
        return
    for column, (name, value) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(escaped(name), course.number(value), help=escaped(meaning(name)) or None)


def show_bound(folder: RunFolder, last: dict[str, tuple[int, float]]) -> None:
    """The ELBO as likelihood minus KL."""
    if not {"elbo", "kl"} <= last.keys():
        return
    parts = course.bound(folder.read_metrics(names=["elbo", "kl"], most=POINTS))
    if parts is None or len(parts.step) < 2:
        return
    st.subheader("ELBO: likelihood minus KL")
    whole = st.toggle("Show the first steps too", key="whole-bound")
    st.altair_chart(curves.bound_chart(parts, whole))
    st.caption(
        "The likelihood says how well the data are explained, the KL what the posterior paid to "
        "leave the prior. Training raises the ELBO, their difference."
    )


def show_parts(last: dict[str, tuple[int, float]]) -> None:
    """KL by layer or latent dimension, with a warning where parts have collapsed."""
    parts = course.kl_parts(last)
    if not parts:
        return
    latent = all(name.startswith("z[") for name in parts)
    st.subheader(f"KL by {'latent dimension' if latent else 'layer'}")
    warning = course.collapse(parts)
    if warning:
        st.warning(escaped(warning), icon=":material/warning:")
    limit = course.COLLAPSED if latent else course.UNTAUGHT
    st.altair_chart(curves.parts_chart(parts, limit))


def show_chains(
    folder: RunFolder, last: dict[str, tuple[int, float]], result: dict[str, float]
) -> None:
    """R-hat, effective sample size and divergences so far, or in the end."""
    figures = course.chain_figures(last, result)
    if not figures.keys() - {"acceptance_rate"}:
        return
    st.subheader("Chains" if result else "Chains so far")
    for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(CHAINS[name], course.number(value), help=escaped(meaning(name)))
    for verdict in course.chain_verdicts(figures):
        st.warning(escaped(verdict), icon=":material/warning:")
    history = folder.read_metrics(names=["r_hat", "ess_bulk"], most=POINTS)
    several = {name: points for name, points in history.items() if len(points) > 2}
    for column, (name, points) in zip(st.columns(2), several.items(), strict=False):
        column.altair_chart(curves.curve_chart({name: points}, CHAINS[name]))


def show_others(folder: RunFolder, last: dict[str, tuple[int, float]]) -> None:
    """EM's log likelihood, and any other curve that is asked for."""
    if "log_likelihood" in last:
        st.subheader("Log likelihood")
        climb = folder.read_metrics(names=["log_likelihood"], most=POINTS)
        st.altair_chart(curves.curve_chart(climb, "nats"))
    others = course.other_names(last)
    if not others:
        return
    st.subheader("Other curves")
    default = [name for name in ("nll", "reconstruction", "loss", "log_joint") if name in others]
    chosen = st.multiselect("Curves", others, default=default[:1], key="other-curves")
    found = folder.read_metrics(names=chosen, most=POINTS) if chosen else {}
    for name, points in found.items():
        if len(points) < 2:
            continue
        st.altair_chart(curves.curve_chart({name: points}, name, whole=False))
        if meaning(name):
            st.caption(escaped(meaning(name)))


def show_log(folder: RunFolder, now: Standing) -> None:
    """The end of what the run and its worker printed."""
    log = jobs.tail(folder.log_path)
    printed = jobs.output(folder)
    text = log if now.state != "failed" or log else printed
    with st.expander("Log", expanded=now.state == "failed"):
        st.code(text or printed or "Nothing was printed yet.", language=None, wrap_lines=True)


def _try(action: Callable[[], None]) -> None:
    """Do what a button says, show why if it cannot be done, and draw the page anew."""
    try:
        action()
    except RunError as error:
        st.error(escaped(without_paths(error)))
    else:
        st.rerun()
