"""Ten modes in a hundred dimensions: one generator by Adam, and ten from their posterior.

python examples/gan_modes.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tfbdl_bayesian_gan import BayesianGAN
from tfbdl_bayesian_gan.evaluation import jensen_shannon, modes_covered, principal_plane
from tfbdl_bayesian_gan.simulators import synthetic

ROWS = 3000
PICTURE = Path(__file__).parent / "figures" / "gan_modes.png"


def main(
    picture: str | Path = PICTURE, warmup: int = 1000, thin: int = 25, hidden: int = 1000
) -> dict[str, float]:
    """Train both, compare what they make with the data, and draw it."""
    data = synthetic(10_000, seed=0)
    recipe = {"warmup": warmup, "burn_in": 4 * thin, "samples": 4, "thin": thin}
    made: dict[str, np.ndarray] = {}
    found: dict[str, float] = {}
    for name, generators in (("one", 1), ("ten", 10)):
        model = BayesianGAN(100, generators=generators, hidden=(hidden,), seed=0, **recipe)
        model.fit(data.x)
        made[name] = model.sample(ROWS, seed=1)
        found[f"js_{name}"] = jensen_shannon(data.x, made[name])
        found[f"modes_{name}"] = modes_covered(made[name], data.centres)
        print(
            f"{generators:2d} generators: Jensen-Shannon {found[f'js_{name}']:.3f} nats, "
            f"{found[f'modes_{name}']:.0f} of 10 modes."
        )
    draw(Path(picture), data.x, made)
    return found


def draw(path: Path, x: np.ndarray, made: dict[str, np.ndarray]) -> None:
    """Rows of the data and of each model on two principal components of the data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    project = principal_plane(x.astype(np.float64))
    titles = {"one": "One generator", "ten": "Ten generators, four posterior draws"}
    shown = {"The data": x[:ROWS], **{titles[name]: rows for name, rows in made.items()}}
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True)
    for axes, (title, rows) in zip(panels, shown.items(), strict=True):
        points = project(rows)
        axes.plot(points[:, 0], points[:, 1], ".", markersize=2, color="tab:blue", alpha=0.5)
        axes.set(title=title, xlabel="first principal component")
    panels[0].set(ylabel="second principal component")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
