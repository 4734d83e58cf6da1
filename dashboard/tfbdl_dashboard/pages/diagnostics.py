"""The page that says whether a run's draws can be trusted, and what to do if not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from tfbdl import diagnostics
from tfbdl.errors import RunError
from tfbdl.metric_names import meaning
from tfbdl.runs import POSTERIOR, RESULT, RunFolder
from tfbdl_dashboard import chain_charts, charts, draws, elements, jobs, state
from tfbdl_dashboard.draws import Draws
from tfbdl_dashboard.plain_text import escaped, without_paths

MOST_ELEMENTS = 2_000
"""Of all sites, that the table is computed from: it takes a few seconds at the most."""
MOST_TRACED = 4
FEW = 6
ADVICE = {
    "R-hat": "The chains have not met. Give more warmup and draws, or a model whose parameters are "
    "on one scale. Chains that stay apart may be in several modes: then no longer run helps.",
    "ESS": "Too few draws that count. Extend the run, or lower the correlation from draw to draw: "
    "a dense mass matrix, another parameterisation.",
    "divergent": "Raise target_accept towards 0.99, or write the model so that scales and what "
    "they scale are apart (a non-centred parameterisation). The page Posterior shows in Pairs "
    "where they gather.",
    "E-BFMI": "The tails are heavy. Write the model with other parameters, or bound them by a "
    "narrower prior.",
    "tree depth": "Raise max_tree_depth, or warm up longer so that the mass matrix fits.",
    "1 chain": "Run four chains: one cannot show that another would have gone elsewhere.",
    "no movement": "The sampler never accepted a step. Lower the step size, or warm up longer.",
    "not finite": "The density overflowed. Scale the data, or use a narrower prior.",
    "too few": "Ask for more draws.",
}
"""What a verdict says -> what to do."""
CURVES = ("elbo", "log_likelihood", "loss", "bound", "nll")


def show() -> None:
    """Draw the page."""
    st.title("Diagnostics")
    folder = state.run_or_hint()
    if folder is None:
        return
    st.text(f"Run {folder.path.name}")
    try:
        verdicts = folder.read_diagnostics()
        finished = (folder.path / RESULT).is_file()
    except RunError as error:
        state.show_unreadable(error)
        return
    if finished and verdicts is None:
        show_without_chain(folder)
        return
    found = elements.draws_or_reason(folder)
    if found is None or verdicts is None:
        return
    show_verdicts(verdicts, found)
    show_extension(folder, found)
    table = table_of(folder, found)
    show_table(table)
    show_chains(folder, found, table)
    show_sampler(found)


def show_verdicts(verdicts: Sequence[str], found: Draws) -> None:
    """What is wrong in plain words, and what to do."""
    if not verdicts:
        least = diagnostics.ESS_PER_CHAIN * found.num_chains
        st.success(
            f"Nothing speaks against these draws: R-hat at most {diagnostics.R_HAT_LIMIT}, at "
            f"least {least} effective draws of each element, no divergent transition."
        )
        return
    if any("do not use" in verdict for verdict in verdicts):
        st.error("Do not use these draws yet.")
    else:
        st.warning("Read this before you use these draws.")
    st.text("\n".join(verdicts[:FEW]))
    if len(verdicts) > FEW:
        with st.expander(f"{len(verdicts) - FEW} more"):
            st.text("\n".join(verdicts[FEW:]))
    st.subheader("What to do")
    for line in advice(verdicts):
        st.text(line)


def show_extension(folder: RunFolder, found: Draws) -> None:
    """More draws for the run, where its engine can add some."""
    if jobs.not_extendable(folder):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        more = st.number_input(
            "More draws of each chain",
            min_value=1,
            value=found.num_draws,
            step=100,
            key=f"more draws {folder.path.name}",
            width=220,
        )
        asked = st.button(f"Extend by {more:,} draws", icon=":material/playlist_add:")
    if not asked:
        return
    try:
        jobs.resume(folder, draws=int(more))
    except RunError as error:
        st.error(escaped(without_paths(error)))
    else:
        state.open_run(folder.path.name, page="live")


def advice(verdicts: Sequence[str]) -> list[str]:
    """What to do about verdicts, each kind once."""
    return [text for word, text in ADVICE.items() if any(word in v for v in verdicts)]


def table_of(folder: RunFolder, found: Draws) -> pd.DataFrame:
    """The summary of the run's elements, computed once for each result; the worst come first."""
    return _table(str(folder.path), (folder.path / POSTERIOR).stat().st_mtime_ns, found)


def summary(found: Draws, most: int = MOST_ELEMENTS) -> pd.DataFrame:
    """Figures of elements, the worst first: R-hat, then the lesser effective sample size.

    Args:
        found: The draws; sites that are one array in all draws are left out.
        most: Elements of all sites; of each site as many, evenly spaced.

    Returns:
        Columns element, R-hat, ESS bulk, ESS tail, mean, MCSE, sd and the 90 % interval;
        ``attrs["notes"]`` says which sites are not shown whole.
    """
    moving = {name: v for name, v in found.sites.items() if not draws.is_constant(v)}
    frame = diagnostics.summary(
        moving, hdi_prob=0.9, max_elements=max(10, most // max(1, len(moving)))
    )
    labels = [str(label) for label in frame.index]
    values = [found.element(label) for label in labels]
    mcse = diagnostics.mcse_mean(np.stack(values, axis=-1)) if values else np.empty(0)
    table = pd.DataFrame(
        {
            "element": labels,
            "R-hat": frame["r_hat"].to_numpy(),
            "ESS bulk": frame["ess_bulk"].to_numpy(),
            "ESS tail": frame["ess_tail"].to_numpy(),
            "mean": frame["mean"].to_numpy(),
            "MCSE": mcse,
            "sd": frame["sd"].to_numpy(),
            "90 % from": frame["hdi_low"].to_numpy(),
            "90 % to": frame["hdi_high"].to_numpy(),
        }
    )
    least = table[["ESS bulk", "ESS tail"]].min(axis=1)
    order = np.lexsort([least.fillna(np.inf), -table["R-hat"].fillna(-np.inf)])
    table = table.iloc[order].reset_index(drop=True)
    table.attrs["notes"] = list(frame.attrs["notes"])
    return table


def show_table(table: pd.DataFrame) -> None:
    """The worst elements first."""
    st.subheader("Elements, the worst first")
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "R-hat": st.column_config.NumberColumn(
                format="%.3f", help=f"Disagreement of chains; at most {diagnostics.R_HAT_LIMIT}."
            ),
            "ESS bulk": st.column_config.NumberColumn(
                format="%.0f", help="Effective sample size for the centre."
            ),
            "ESS tail": st.column_config.NumberColumn(
                format="%.0f", help="Effective sample size for the 5 % and 95 % quantiles."
            ),
            "MCSE": st.column_config.NumberColumn(
                format="%.2g", help="Error of the mean that more draws would take away."
            ),
            **{
                name: st.column_config.NumberColumn(format="%.4g")
                for name in ("mean", "sd", "90 % from", "90 % to")
            },
        },
    )
    for note in table.attrs["notes"]:
        st.caption(note)


def show_chains(folder: RunFolder, found: Draws, table: pd.DataFrame) -> None:
    """Trace and ranks of a few elements."""
    st.subheader("Trace and ranks")
    st.caption(
        "Chains that agree are one noise without a trend, and their ranks stay in the band: "
        f"there {chain_charts.RANK_BAND:.0%} of counts fall if draws are independent."
    )
    labels = elements.choose(
        found,
        f"trace {folder.path.name}",
        default=2,
        most=MOST_TRACED,
        preset=list(table["element"][: elements.MOST_OPTIONS]),
    )
    for label in labels:
        values = found.element(label)
        left, right = st.columns(2)
        left.altair_chart(chain_charts.trace(label, values))
        right.altair_chart(chain_charts.ranks(label, values))


def show_sampler(found: Draws) -> None:
    """Divergences, energy and step size, by chain."""
    frame = chain_charts.by_chain(found.stats)
    if frame.empty:
        return
    st.subheader("Sampler")
    st.dataframe(frame, hide_index=True)
    if "E-BFMI" in frame:
        st.caption(
            f"E-BFMI below {diagnostics.BFMI_LIMIT} says that the changes of the energy are too "
            "small for its spread: the tails are reached slowly."
        )
        st.altair_chart(chain_charts.energy(found.stats["energy"]))


def show_without_chain(folder: RunFolder) -> None:
    """What there is to judge a fit that is of no Markov chain by."""
    has_draws = (folder.path / POSTERIOR).is_file()
    if has_draws:
        st.info(
            "The draws of this run are independent of one another: no Markov chain made them, so "
            "R-hat, traces and ranks have nothing to find. Whether the approximation is good, "
            "they cannot say: see the curves here, and calibration on the page Predictions."
        )
    else:
        st.info(
            "The fit of this run is a point estimate: there are no draws to diagnose. See the "
            "curves here."
        )
    curves = folder.read_metrics()
    names = [name for name in CURVES if len(curves.get(name, ())) > 1]
    names = names or [name for name, points in curves.items() if len(points) > 1][:2]
    for name in names:
        steps, values = zip(*curves[name], strict=True)
        series = {name: (np.asarray(steps), np.asarray(values))}
        held_out = curves.get(f"val_{name}")
        if held_out:
            later, outside = zip(*held_out, strict=True)
            series[f"val_{name}"] = np.asarray(later), np.asarray(outside)
        st.altair_chart(charts.lines(series, x_title="step", y_title=name))
        st.caption(meaning(name) or name)
    if not names:
        st.text("This run recorded no curve.")


@st.cache_data(max_entries=16, show_spinner="Computing R-hat and effective sample sizes")
def _table(path: str, changed: int, _found: Draws) -> pd.DataFrame:
    return summary(_found)
