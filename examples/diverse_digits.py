"""Ten diverse digits beside ten random ones.

Half of 1,797 handwritten digits train a small classifier; ten of the other half are drawn from a
k-DPP, by their pixels and by the probabilities that the net gives their classes. Ten digits at
random are of 6.5 kinds on average.

python examples/diverse_digits.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tfbdl_dpp import KDPP

ITEMS, DRAWS = 10, 500
PICTURE = Path(__file__).parent / "figures" / "diverse_digits.png"


def features(x_train: np.ndarray, y_train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What a trained net says of each digit: square roots of the classes' probabilities.

    Rows have length 1, and two rows are the less alike the less their classes overlap.
    """
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(x_train, y_train, epochs=30, verbose=0)
    return np.sqrt(net.predict(x, verbose=0).astype(np.float64))


def main(picture: str | Path = PICTURE) -> dict[str, float]:
    """Draw ten digits five hundred times by each way, and count their kinds."""
    digits = load_digits()
    x_train, x, y_train, y = train_test_split(
        digits.data / 16.0, digits.target, test_size=0.5, random_state=0
    )
    rng = np.random.default_rng(0)
    draws = {
        "at random": np.array([rng.choice(len(x), ITEMS, replace=False) for _ in range(DRAWS)]),
        "k-DPP of pixels": KDPP(features=x, k=ITEMS).sample(DRAWS, seed=0),
        "k-DPP of a net's output": KDPP(features=features(x_train, y_train, x), k=ITEMS).sample(
            DRAWS, seed=0
        ),
    }
    kinds = {
        title: float(np.mean([len(set(y[rows])) for rows in subsets]))
        for title, subsets in draws.items()
    }
    for title, mean in kinds.items():
        print(f"{title:<24} {mean:.2f} kinds of digits among ten, on average")
    draw(Path(picture), x, y, draws, kinds)
    return kinds


def draw(path: Path, x: np.ndarray, y: np.ndarray, draws: dict, kinds: dict) -> None:
    """The first draw of each way, a row each, sorted by digit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for part, (title, subsets) in zip(figure.subfigures(len(draws)), draws.items(), strict=True):
        rows = subsets[0][np.argsort(y[subsets[0]], kind="stable")]
        part.suptitle(
            f"Ten digits, {title}: {len(set(y[rows]))} kinds here, {kinds[title]:.1f} on average",
            fontsize=11,
        )
        for axes, row in zip(part.subplots(1, ITEMS), rows, strict=True):
            axes.imshow(x[row].reshape(8, 8), cmap="gray_r")
            axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:2])
