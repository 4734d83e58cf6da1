"""The evidence chooses the order of a polynomial: Bishop 2006, figures 3.14 and 3.8.

python examples/evidence.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tfbdl

ROWS, ORDERS, NOISE = 25, range(10), 0.3
PICTURE = Path(__file__).parent / "figures" / "evidence.png"


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sine on [-1, 1] with noise."""
    x = np.linspace(-1.0, 1.0, ROWS)
    return x, np.sin(np.pi * x) + NOISE * np.random.default_rng(seed).normal(size=ROWS)


def polynomial(x: np.ndarray, order: int) -> np.ndarray:
    """Columns 1, x, ..., x^order."""
    return np.vander(x, order + 1, increasing=True)


def main(picture: str | Path = PICTURE) -> dict[str, float]:
    """Fit all orders, and draw their evidence and three of the fits."""
    x, y = data()
    options = {"alpha": 5e-3, "beta": NOISE**-2, "intercept": False}
    fits = {
        order: tfbdl.fit("linear", (polynomial(x, order), y), model_options=options)
        for order in ORDERS
    }
    evidence = {order: fit.metrics["log_evidence"] for order, fit in fits.items()}
    best = max(evidence, key=lambda order: evidence[order])
    for order, value in evidence.items():
        error = fits[order].metrics["train_rmse"]
        print(f"order {order}: log evidence {value:8.2f}  training RMSE {error:.3f}")
    print(f"The evidence is largest at order {best}; the training error falls with every order.")
    draw(Path(picture), x, y, fits, evidence, best)
    return {"order": float(best), **{f"log_evidence_{o}": v for o, v in evidence.items()}}


def draw(path: Path, x: np.ndarray, y: np.ndarray, fits: dict, evidence: dict, best: int) -> None:
    """Evidence and training error by order; mean and 90 % interval of three orders."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplot_mosaic([["evidence"] * 3, ["a", "b", "c"]])
    top = places["evidence"]
    top.plot(list(evidence), list(evidence.values()), "o-", color="tab:blue")
    top.axvline(best, color="tab:red", lw=1, ls="--")
    top.set(xlabel="order of the polynomial", ylabel="log evidence, nats", xticks=list(evidence))
    errors = top.twinx()
    errors.plot(list(fits), [f.metrics["train_rmse"] for f in fits.values()], "s:", color="gray")
    errors.set_ylabel("training RMSE", color="gray")
    grid = np.linspace(-1.15, 1.15, 200)
    for place, order in zip("abc", (1, best, 9), strict=True):
        axes, p = places[place], fits[order].predict(polynomial(grid, order))
        low, high = p.interval(0.9)
        axes.fill_between(grid, low[:, 0], high[:, 0], color="tab:red", alpha=0.2, lw=0)
        axes.plot(grid, p.mean[:, 0], color="tab:red")
        axes.plot(grid, np.sin(np.pi * grid), color="tab:green", lw=1)
        axes.plot(x, y, "o", ms=4, mfc="none", color="tab:blue")
        axes.set(title=f"order {order}", ylim=(-2.2, 2.2), xlabel="x")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:2])
