"""A Dirichlet prior empties superfluous components, maximum likelihood keeps them all.

Ten normals are fitted to 178 Italian wines on two principal axes of their measurements: by EM,
and by variational Bayes with the concentration alpha0 = 0.001 (Bishop 2006, figure 10.6).

python examples/superfluous_components.py [PICTURE]
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

import tfbdl

COMPONENTS, ALPHA0, ACTIVE = 10, 1e-3, 0.01
PICTURE = Path(__file__).parent / "figures" / "superfluous_components.png"


def data() -> np.ndarray:
    """Two principal components of the wines, each of mean 0 and standard deviation 1."""
    x = PCA(2).fit_transform(load_wine().data)
    return (x - x.mean(axis=0)) / x.std(axis=0)


def main(picture: str | Path = PICTURE) -> dict[str, float]:
    """Fit both mixtures, count the components in use and draw them side by side."""
    x = data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tfbdl.errors.TfbdlWarning)  # that components collapse
        plain = tfbdl.fit("gmm", x, model_options={"num_components": COMPONENTS})
    options = {"num_components": COMPONENTS, "alpha0": ALPHA0}
    bayes = tfbdl.fit("bayesian_gmm", x, model_options=options)
    titles = {
        "em": ("Maximum likelihood (gmm)", plain.model),
        "bayes": (f"Variational Bayes (bayesian_gmm, alpha0 = {ALPHA0:g})", bayes.model),
    }
    counts = {name: float((m.weights_ > ACTIVE).sum()) for name, (_, m) in titles.items()}
    for name, (title, model) in titles.items():
        weights = " ".join(f"{w:.3f}" for w in sorted(model.weights_, reverse=True))
        print(f"{title}: {counts[name]:.0f} of {COMPONENTS} components in use\n  {weights}")
    draw(Path(picture), x, titles, counts)
    return counts


def draw(path: Path, x: np.ndarray, titles: dict, counts: dict) -> None:
    """The rows, and an ellipse at two standard deviations for each component in use."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    angles = np.linspace(0.0, 2.0 * np.pi, 100)
    circle = 2.0 * np.column_stack([np.cos(angles), np.sin(angles)])
    colors = colormaps["tab10"].colors
    for axes, (name, (title, model)) in zip(
        figure.subplots(1, 2, sharex=True, sharey=True), titles.items(), strict=True
    ):
        labels = model.responsibilities(x).argmax(axis=1)
        order = np.argsort(-model.weights_)
        for color, k in zip(colors, order, strict=False):
            if model.weights_[k] <= ACTIVE:
                continue
            own = x[labels == k]
            axes.plot(*own.T, "o", ms=4, color=color, alpha=0.6, mew=0)
            border = model.means_[k] + circle @ np.linalg.cholesky(model.covariances_[k]).T
            axes.plot(*border.T, color=color, lw=2)
            axes.annotate(
                f"{model.weights_[k]:.2f}", model.means_[k], ha="center", va="center", weight="bold"
            )
        axes.set_title(f"{title}\n{counts[name]:.0f} of {len(order)} components above 1 %")
        axes.set(xlabel="first principal axis", ylabel="second principal axis")
        axes.set(xlim=(-2.2, 3.4), ylim=(-2.8, 5.6))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:2])
