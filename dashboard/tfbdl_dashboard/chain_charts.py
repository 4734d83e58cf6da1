"""Charts of Markov chains: trace, ranks, energy; and their figures by chain."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd
import scipy.stats

from tfbdl import diagnostics
from tfbdl_dashboard import charts

BINS = 20
RANK_BAND = 0.95
TRACE_POINTS = 1000
"""Of each chain: with four chains more would be one block of colour."""
MARGINAL, TRANSITION = "energy, centred", "change from draw to draw"


def trace(label: str, values: np.ndarray) -> alt.LayerChart:
    """The draws of one element in their order, a line for each chain.

    Args:
        label: Of the element.
        values: ``[chain, draw]``.
    """
    steps = np.arange(values.shape[1])
    series = {f"chain {i}": (steps, chain) for i, chain in enumerate(values)}
    chart = charts.lines(series, x_title="draw", y_title=label, most=TRACE_POINTS, height=250)
    chart.layer[0].mark.strokeWidth = 0.9
    return chart


def rank_counts(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """How many draws of each chain have a rank in each bin of all ranks.

    Equal draws are ranked at random, with the same numbers each time.

    Args:
        values: ``[chain, draw]``.
        bins: Of equal width.

    Returns:
        ``[chain, bins]``; near ``draws / bins`` everywhere if the chains agree.

    References:
        Vehtari et al. 2021, "Rank-normalization, folding, and localization", section 4.3.
    """
    flat = values.reshape(-1)
    among_equals = np.random.default_rng(0).random(flat.size)  # which chain comes first is chance
    ranks = np.empty(flat.size, np.int64)
    ranks[np.lexsort((among_equals, flat))] = np.arange(flat.size)
    index = ranks.reshape(values.shape) * bins // flat.size
    return np.stack([np.bincount(row, minlength=bins) for row in index])


def rank_band(
    chains: int, draws: int, bins: int = BINS, level: float = RANK_BAND
) -> tuple[float, float]:
    """Where a count of ``rank_counts`` falls with probability ``level``, if chains agree.

    The ranks of a chain are then drawn without replacement from all ranks: the count is
    hypergeometric. Draws that follow one another closely scatter more.
    """
    law = scipy.stats.hypergeom(chains * draws, round(chains * draws / bins), draws)
    return float(law.ppf((1 - level) / 2)), float(law.ppf((1 + level) / 2))


def ranks(label: str, values: np.ndarray) -> alt.LayerChart:
    """The counts of ranks by chain, over the band expected of chains that agree."""
    counts = rank_counts(values)
    low, high = rank_band(*values.shape)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    band = (
        alt.Chart(pd.DataFrame({"from": [0.0], "to": [1.0], "low": [low], "high": [high]}))
        .mark_rect(color=charts.REFERENCE, opacity=0.25)
        .encode(
            x=alt.X("from:Q", title=f"rank of {label} among all draws", axis=alt.Axis(format="%")),
            x2="to:Q",
            y=alt.Y("low:Q", title="draws", scale=alt.Scale(zero=False)),
            y2="high:Q",
        )
    )
    names = [f"chain {i}" for i in range(len(counts))]
    frame = pd.concat(
        [
            pd.DataFrame({"x": edges, "count": np.append(row, row[-1]), "series": name})
            for name, row in zip(names, counts, strict=True)
        ]
    )
    steps = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=1.6)
        .encode(
            x="x:Q",
            y="count:Q",
            color=alt.Color(
                "series:N",
                title=None,
                scale=charts.colours(names),
                legend=alt.Legend(orient="top", direction="horizontal", columns=4),
            ),
            tooltip=["series:N", alt.Tooltip("x:Q", title="rank from", format="%"), "count:Q"],
        )
    )
    return alt.layer(band, charts.rule(y=values.shape[1] / BINS), steps).properties(height=250)


def energy(values: np.ndarray) -> alt.LayerChart:
    """The spread of the energy beside that of its changes: alike where tails are reached well.

    Args:
        values: ``[chain, draw]``.

    References:
        Betancourt 2016, "Diagnosing suboptimal cotangent disintegrations".
    """
    values = values.astype(np.float64)
    marginal = values - values.mean(axis=1, keepdims=True)
    change = np.diff(values, axis=1)
    both = np.concatenate([marginal.reshape(-1), change.reshape(-1)])
    finite = both[np.isfinite(both)]
    reach = float(np.abs(finite).max()) if finite.size else 1.0
    series = {
        MARGINAL: charts.density(marginal, -reach, reach),
        TRANSITION: charts.density(change, -reach, reach),
    }
    known = {MARGINAL: charts.POSTERIOR, TRANSITION: charts.ALEATORIC}
    return charts.lines(
        {name: (x, y) for name, (x, y) in series.items()},
        x_title="energy (nats)",
        y_title="density",
        known=known,
        zero=True,
    )


def by_chain(stats: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Figures of a sampler, one row for each chain; columns that it does not report are left out.

    Args:
        stats: ArviZ' names -> ``[chain, draw]``.
    """
    columns: dict[str, np.ndarray] = {}
    if "diverging" in stats:
        columns["divergent"] = stats["diverging"].sum(axis=1)
    if "energy" in stats and stats["energy"].shape[1] > 1:
        columns["E-BFMI"] = diagnostics.bfmi(stats["energy"]).round(3)
    means = {"acceptance_rate": "acceptance", "step_size": "step size", "tree_depth": "tree depth"}
    for name, title in means.items():
        if name in stats:
            columns[title] = stats[name].astype(np.float64).mean(axis=1)
    if "reached_max_treedepth" in stats:
        columns["at greatest depth"] = stats["reached_max_treedepth"].mean(axis=1)
    frame = pd.DataFrame(columns)
    if len(frame):
        frame.insert(0, "chain", np.arange(len(frame)))
    return frame
