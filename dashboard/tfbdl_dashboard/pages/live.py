"""The page of one run on its way: state, time left, bound, KL, chains, curves, log."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tfbdl.errors import RunError, TfbdlError
from tfbdl.metric_names import meaning
from tfbdl.runs import RunFolder
from tfbdl_dashboard import course, curves, jobs, run_index, state
from tfbdl_dashboard.jobs import Standing
from tfbdl_dashboard.plain_text import escaped, without_paths

POINTS = 500
"""Of a curve: more would not be told apart."""
EVERY = 1.0
"""Seconds between two looks at a run that is at work."""
SILENT = 30.0
"""Seconds without a sign of life after which a worker may hang."""
SETTLED = 4.0
"""Seconds of work after which the time left is worth showing."""
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
        state.show_unreadable(error)
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
        if now.active != was_active:
            st.rerun()  # the whole page: it begins to poll, or ends to
        _draw(folder, now)
    except (TfbdlError, OSError) as error:
        if not folder.holds_run:
            st.rerun()  # the whole page: it says that there is no such run
        state.show_unreadable(error)


def _draw(folder: RunFolder, now: Standing) -> None:
    last = folder.last_metrics()
    # what a run that is at work left earlier is not what it does now
    result = folder.read_result() if now.state == "done" else {}
    show_state(folder, now, result)
    show_headlines(last, result)
    show_bound(folder, last)
    show_parts(last, now.state == "done")
    show_chains(folder, last, result)
    show_others(folder, last)
    show_log(folder, now)


def show_state(folder: RunFolder, now: Standing, result: dict[str, float]) -> None:
    """State, progress, time left, and what can be done."""
    status = now.status
    if now.state == "running" and status.steps and status.step is not None:
        # the first steps compile: what they take says nothing of the others
        begun = (status.heartbeat or 0.0) - (status.started or 0.0)
        left = status.seconds_left if begun > SETTLED else None
        text = f"Step {status.step:,} of {status.steps:,}"
        text += f", about {course.duration(left)} left" if left is not None else ""
        st.progress(min(1.0, status.step / status.steps), text=text)
    elif now.compiling:
        st.info(
            "The worker is compiling: it reads the data and prepares its first step, which takes "
            "some 10 to 30 seconds. Cancel takes effect at that step.",
            icon=":material/hourglass_top:",
        )
    elif now.active:
        st.info(escaped(now.message or "The worker is at work."), icon=":material/hourglass_top:")
    elif now.state == "done":
        took = f" It took {course.duration(result['seconds'])}." if "seconds" in result else ""
        st.success(f"This run is done.{took}", icon=":material/check_circle:")
    elif now.state == "created":
        st.info("This run was made, and not started.")
    else:
        show_end(folder, now)
    if now.active:
        show_stops(folder, now)
    if not now.active and (now.state in RESUMABLE or now.state == "created"):
        why_not = jobs.not_resumable(folder)
        kept = folder.checkpoints().steps()
        again = "Start" if now.state == "created" else "Start again"
        label = "Resume from the last checkpoint" if kept else again
        with st.container(horizontal=True):
            if st.button(label, icon=":material/resume:", disabled=bool(why_not), type="primary"):
                _try(lambda: jobs.resume(folder))
            # what failed for its choices fails again: they can be taken over and changed
            if not why_not and st.button("Change its choices", icon=":material/edit:"):
                state.begin_again(folder.path.name)
        if why_not:
            st.text(why_not)
    if now.active and folder.cancel_requested():
        st.text("It was asked to stop, and does at its next report.")


def show_stops(folder: RunFolder, now: Standing) -> None:
    """What stops a worker: at its next step, or at once where it may never come to one."""
    silent = now.silent > SILENT
    if silent:
        st.warning(
            f"No sign of life for {course.duration(now.silent)}. Compiling, and the figures at "
            "the end, can take longer than that; a worker that hangs can be ended.",
            icon=":material/heart_broken:",
        )
    with st.container(horizontal=True):
        if st.button("Cancel", icon=":material/stop_circle:"):
            _try(lambda: jobs.cancel(folder))
        if silent or now.compiling:
            lost = "At once. What it made since its last checkpoint is lost."
            if st.button("End the worker", icon=":material/dangerous:", help=lost):
                _try(lambda: jobs.end(folder))


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


def show_parts(last: dict[str, tuple[int, float]], done: bool) -> None:
    """KL by layer or latent dimension, with a warning where parts have collapsed."""
    parts = course.kl_parts(last)
    if not parts:
        return
    latent = all(name.startswith("z[") for name in parts)
    st.subheader(f"KL by {'latent dimension' if latent else 'layer'}")
    step = course.kl_step(last)
    if step is not None:
        st.caption(f"As of step {step:,} of {last['kl'][0]:,}: it is computed now and then.")
    warning = course.collapse(parts, done)
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
    # a figure that was computed once is no curve, however often it was logged
    several = {n: points for n, points in history.items() if len({v for _, v in points}) > 2}
    for column, (name, points) in zip(st.columns(2), several.items(), strict=False):
        column.altair_chart(curves.curve_chart({name: points}, CHAINS[name]))


def show_others(folder: RunFolder, last: dict[str, tuple[int, float]]) -> None:
    """EM's log likelihood, and any other curve that is asked for."""
    if "log_likelihood" in last:
        st.subheader("Log likelihood")
        climb = folder.read_metrics(names=["log_likelihood"], most=POINTS)
        if len(climb.get("log_likelihood", ())) > 1:
            st.altair_chart(curves.curve_chart(climb, "nats"))
        else:
            step, value = last["log_likelihood"]
            st.text(f"{course.number(value)} nats at step {step:,}, the only one so far.")
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
