"""The flow of the Nile: the level behind a noisy series, its gaps and its future.

python examples/nile.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tfbdl

FIRST_YEAR, AHEAD = 1871, 10
GAPS = (slice(20, 40), slice(60, 80))
PICTURE = Path(__file__).parent / "figures" / "nile.png"


def main(picture: str | Path = PICTURE, steps: int = 500) -> dict[str, float]:
    """Fit a local level by EM, whole and with gaps, and draw what was found."""
    options = {"steps": steps, "tolerance": 0}
    fit = tfbdl.fit("kalman", "nile", engine_options=options)
    y = np.asarray(fit.dataset().x, np.float64)
    gappy = y.copy()
    for gap in GAPS:
        gappy[gap] = np.nan
    again = tfbdl.fit("kalman", gappy, engine_options=options)
    found = {
        "R": float(fit.model.R_[0, 0]),
        "Q": float(fit.model.Q_[0, 0]),
        "diffuse_log_likelihood": fit.metrics["diffuse_log_likelihood"],
        "R_with_gaps": float(again.model.R_[0, 0]),
    }
    level = again.model.smooth(gappy)
    half = 1.645 * np.sqrt(level.covariances[:, 0, 0] + found["R_with_gaps"])
    hidden = np.isnan(gappy[:, 0])
    found["gaps_covered_90"] = float(np.mean(np.abs(y - level.means)[hidden, 0] < half[hidden]))
    print(f"Noise of the observations {found['R']:.0f}, of the level {found['Q']:.0f} a year.")
    print(f"Log likelihood {found['diffuse_log_likelihood']:.2f} nats without the first year.")
    print(f"With 40 years hidden: {found['gaps_covered_90']:.0%} of them in the 90 % band.")
    draw(Path(picture), y[:, 0], fit, gappy[:, 0], again)
    return found


def draw(path: Path, y: np.ndarray, fit: tfbdl.Fit, gappy: np.ndarray, again: tfbdl.Fit) -> None:
    """Filter, smoother and forecast of the whole series; and the smoother across the gaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    top, below = figure.subplots(2, 1, sharex=True)
    years = FIRST_YEAR + np.arange(len(y))
    known, ahead = fit.model.filter(y), fit.model.predict_ahead(y, AHEAD)
    top.plot(years, y, ".", color="0.5", label="flow")
    top.plot(years, known.means[:, 0], color="tab:blue", label="filtered level")
    _band(top, years, fit.model.smooth(y), "tab:green", "smoothed level, 90 %")
    low, high = ahead.interval(0.9)
    future = years[-1] + 1 + np.arange(AHEAD)
    top.fill_between(future, low[:, 0], high[:, 0], color="tab:orange", alpha=0.3, label="forecast")
    top.set(title="All years", ylabel="10^8 cubic metres")
    below.plot(years, gappy, ".", color="0.5")
    hidden = np.isnan(gappy)
    below.plot(years[hidden], y[hidden], ".", color="tab:red", label="hidden from the fit")
    _band(below, years, again.model.smooth(gappy), "tab:green", "smoothed level, 90 %")
    below.set(title="Forty years hidden", ylabel="10^8 cubic metres", xlabel="year")
    for axes in (top, below):
        axes.legend(loc="upper right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _band(axes: object, years: np.ndarray, level: object, colour: str, label: str) -> None:
    mean, half = level.means[:, 0], 1.645 * np.sqrt(level.covariances[:, 0, 0])
    axes.plot(years, mean, color=colour)
    axes.fill_between(years, mean - half, mean + half, color=colour, alpha=0.25, label=label)


if __name__ == "__main__":
    main(*sys.argv[1:])
