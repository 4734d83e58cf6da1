"""A one is turned until it is no digit: what a plain net says of it, and what a Bayesian one says.

Both nets (784-200-200-10) are trained on MNIST; then the first hundred ones of the test images are
turned by 0 to 180 degrees. At 0 and 180 they are ones, in between they are nothing that the nets
have seen. Needs MNIST: a folder in TFBDL_DATA, or Keras' download. Under two minutes on two cores.

python examples/rotated_digits.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.special
from scipy.ndimage import rotate

import tfbdl
from tfbdl import calibration

ANGLES = np.arange(0, 181, 5)
ONES, DRAWS = 100, 100
SURE = 0.9
PICTURE = Path(__file__).parent / "figures" / "rotated_digits.png"


def main(
    picture: str | Path = PICTURE, epochs: int = 10, train_size: int | None = None
) -> dict[str, np.ndarray]:
    """Train both nets, turn the ones, print the figures by angle and draw them.

    Returns:
        Figures ``[angle]``, means over the ones.
    """
    bayes = tfbdl.fit(
        "bbb",
        "mnist",
        prior="scale_mixture",
        prior_options={"pi": 0.5, "sigma1": 1.0, "sigma2": float(np.exp(-6))},
        model_options={"hidden": (200, 200), "standardize": False},
        engine_options={"epochs": epochs, "learning_rate": 1e-3, "schedule": "constant"},
        data_options={"train_size": train_size, "scale": "126"},
        seed=0,
    )
    data = bayes.dataset()
    net = plain_net(data, epochs)
    ones = turned(data.x_test[np.asarray(data.y_test) == 1][:ONES])
    rows = ones.reshape(-1, 784)
    p = bayes.predict(rows, draws=DRAWS)
    plain = net.predict(rows, batch_size=1024, verbose=0)
    figures = {
        "plain entropy": calibration.uncertainty(plain, "entropy"),
        "plain sure and wrong": sure_and_wrong(plain),
        "bbb entropy": p.entropy,
        "bbb mutual information": p.mutual_information,
        "bbb sure and wrong": sure_and_wrong(p.probs),
    }
    figures = {name: by_angle(values).mean(axis=1) for name, values in figures.items()}
    first = bayes.predict(ones[:, 0], draws=DRAWS)
    draws = scipy.special.softmax(first.outputs().astype(np.float64), axis=-1)
    probs = {"Plain net": by_angle(plain)[:, 0], "Bayes by Backprop": draws.mean(axis=0)}
    print_table(probs, figures)
    draw(Path(picture), ones[:, 0], probs, draws, figures)
    return figures


def plain_net(data: Any, epochs: int) -> keras.Model:
    """A net of the same shape, trained as anyone would."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    net = keras.Sequential(
        [keras.Input((784,)), dense(200, "relu"), dense(200, "relu"), dense(10, "softmax")]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(data.x, data.y, batch_size=128, epochs=epochs, verbose=0)
    return net


def turned(images: np.ndarray) -> np.ndarray:
    """Rows of 784 pixels at all angles: ``[angle, row, 784]``."""
    square = images.reshape(-1, 28, 28)
    found = [rotate(square, angle, axes=(2, 1), reshape=False, order=1) for angle in ANGLES]
    return np.stack(found).reshape(len(ANGLES), *images.shape)


def by_angle(values: np.ndarray) -> np.ndarray:
    """Values of all rows as ``[angle, one, ...]``."""
    return values.reshape(len(ANGLES), -1, *values.shape[1:])


def sure_and_wrong(probs: np.ndarray) -> np.ndarray:
    """Whether another class than one has a probability above 0.9."""
    return np.delete(probs, 1, axis=1).max(axis=1) > SURE


def print_table(probs: dict[str, np.ndarray], figures: dict[str, np.ndarray]) -> None:
    """Each third angle: both answers for the first one, and the means over all."""
    print("angle  plain net     bbb       " + "  ".join(figures))
    for i in range(0, len(ANGLES), 3):
        answers = [f"{p[i].argmax()} ({p[i].max():.2f})" for p in probs.values()]
        means = [f"{values[i]:{len(name)}.3f}" for name, values in figures.items()]
        print(f"{ANGLES[i]:5}  {answers[0]}      {answers[1]}  {'  '.join(means)}")


def draw(
    path: Path,
    images: np.ndarray,
    probs: dict[str, np.ndarray],
    draws: np.ndarray,
    figures: dict[str, np.ndarray],
) -> None:
    """Class probabilities of the first one, with a 90 % band of draws, and means over all."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplot_mosaic([list("abc"), list("xyz")], height_ratios=[9, 1])
    colours = colormaps["tab10"].colors
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    shown = np.flatnonzero(np.maximum(*probs.values()).max(axis=0) > 0.1)
    for name, (title, p) in zip("ab", probs.items(), strict=True):
        for label in shown:
            panels[name].plot(ANGLES, p[:, label], color=colours[label], lw=2, label=str(label))
        panels[name].set(title=f"{title}: class probabilities", ylim=(-0.02, 1.02))
    for label in shown:
        band = (ANGLES, low[:, label], high[:, label])
        panels["b"].fill_between(*band, color=colours[label], alpha=0.2, lw=0)
    panels["a"].legend(title="class", fontsize=8)
    styles = {"plain entropy": "k--", "bbb entropy": "C0-", "bbb mutual information": "C3-"}
    for name, style in styles.items():
        panels["c"].plot(ANGLES, figures[name], style, lw=2, label=name)
    panels["c"].set(title=f"Means over {ONES} ones, nats", ylim=(0.0, 1.6))
    panels["c"].legend(fontsize=8, loc="upper center")
    strip = np.concatenate(list(images[::4].reshape(-1, 28, 28)), axis=1)  # one each 20 degrees
    for name in "xyz":
        panels[name].imshow(strip, cmap="gray_r", extent=(-10, 190, 0, 20), aspect="auto")
        panels[name].set(yticks=[], xlabel="turned by, degrees")
    for axes in panels.values():
        axes.set(xlim=(-10, 190), xticks=range(0, 181, 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:2])
