"""Mean-field theory of a network as a figure of matplotlib: what the panel shows, for scripts."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import MissingDependencyError
from tfbdl.pictures import COLOURS

from .depth_charts import DEEPEST
from .depth_panel import number, phase
from .depth_shown import landscape

SIZE = (10.0, 8.0)  # inches


def mean_field_figure(
    activation: Any = "tanh",
    weight_variance: float = 1.5,
    bias_variance: float = 0.1,
    keep_prob: float = 1.0,
) -> Any:
    """The phase diagram with a network in it, its maps with their fixed points, and its layers.

    Args:
        activation: See ``layers.Activation``.
        weight_variance: sigma_w^2, above 0.
        bias_variance: sigma_b^2, at least 0.
        keep_prob: Of dropout, in (0, 1]; 1: none.

    Returns:
        A ``matplotlib.figure.Figure`` of four plots.

    Raises:
        OptionsError: If an argument is not admitted.
        MissingDependencyError: If matplotlib is not installed.

    Example:
        ```python
        mean_field_figure("tanh", 1.76, 0.05).savefig("edge.png")
        ```

    References:
        Poole et al. 2016, figure 1; Schoenholz et al. 2017, figures 1 and 2.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "Figures need matplotlib, which is not installed. "
            "Install it with: pip install 'tfbdl[plots]'."
        ) from error
    arrays = landscape(activation, weight_variance, bias_variance, keep_prob)
    figure = Figure(figsize=SIZE, layout="constrained")
    plots = figure.subplots(2, 2)
    _phases(figure, plots[0, 0], arrays)
    _layers(plots[0, 1], arrays)
    _map(plots[1, 0], arrays["q"], arrays["variance_map"], arrays["variance"], "variance q")
    _map(plots[1, 1], arrays["c"], arrays["correlation_map"], arrays["correlation"], "correlation")
    name = activation if isinstance(activation, str) else type(activation).__name__
    figure.suptitle(
        f"{name}, weight variance {weight_variance:g}, bias variance {bias_variance:g}: "
        f"{phase(arrays)}, chi_1 {number(arrays['slope'])}, "
        f"depth scale {number(arrays['correlation_depth'], ' layers')}"
    )
    return figure


def _phases(figure: Any, plot: Any, arrays: dict[str, np.ndarray]) -> None:
    """Depth scales over both variances, the edge of chaos, and the network."""
    from matplotlib.colors import LogNorm

    weight, bias = arrays["weight"], arrays["bias"]
    cells = plot.pcolormesh(
        weight,
        bias,
        np.ma.masked_invalid(np.minimum(arrays["depth"], DEEPEST)),
        norm=LogNorm(1.0, DEEPEST),
        cmap="viridis",
        shading="nearest",
        rasterized=True,
    )
    figure.colorbar(cells, ax=plot, label="depth scale (layers)")
    edge = arrays["edge"]
    if len(edge) == 1:  # of activations that scale, such as relu
        plot.plot(*edge.T, "k*", ms=12, clip_on=False, label="edge of chaos")
    elif len(edge):
        plot.plot(*edge.T, "k--", lw=1.5, label="edge of chaos")
    plot.plot(*arrays["chosen"], "o", color=COLOURS[2], mec="white", ms=9, label="this network")
    wide, high = (0.5 * (part[1] - part[0]) for part in (weight, bias))
    plot.set(
        xlim=(weight[0] - wide, weight[-1] + wide),
        ylim=(bias[0] - high, bias[-1] + high),
        xlabel="weight variance",
        ylabel="bias variance",
        title="All networks",
    )
    plot.legend(loc="upper left", fontsize="small")


def _layers(plot: Any, arrays: dict[str, np.ndarray]) -> None:
    """Correlations of pairs of inputs by layer."""
    plot.plot(arrays["correlation_path"].T, color=COLOURS[1])
    if np.isfinite(arrays["correlation"]):
        plot.axhline(arrays["correlation"], color=COLOURS[8], ls="--", label="fixed point")
    if np.isfinite(arrays["correlation_depth"]):
        plot.axvline(arrays["correlation_depth"], color=COLOURS[2], label="depth scale")
    plot.set(
        xlim=(0, arrays["correlation_path"].shape[1] - 1),
        ylim=(0.0, 1.02),
        xlabel="layer",
        ylabel="correlation",
        title="Pairs of inputs by layer",
    )
    if plot.get_legend_handles_labels()[1]:
        plot.legend(fontsize="small")


def _map(plot: Any, before: np.ndarray, after: np.ndarray, fixed: Any, what: str) -> None:
    """A map of one layer, with its fixed point."""
    plot.plot(before, after, color=COLOURS[0], lw=2.5)
    plot.plot(before[[0, -1]], before[[0, -1]], "--", color=COLOURS[8])
    if np.isfinite(fixed):
        plot.plot(fixed, fixed, "o", color=COLOURS[3], ms=8, label="fixed point")
        plot.legend(fontsize="small")
    plot.set(xlabel=f"{what} before a layer", ylabel="and after it", title=f"Map of the {what}")
