"""A weight of 4 on the KL term parts scale and position of a square; a plain VAE mixes them.

Both models are trained on all 2,048 images of an upright square of eight sizes at 16 x 16 places
(Higgins et al. 2017). The picture shows, for each, how the image changes along the latent
variables that carry most information: one row a variable. About three minutes on two cores.

python examples/disentangled_shapes.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from tfbdl_vae import VAE, Shapes2D
from tfbdl_vae.disentanglement import beta_vae_score

PICTURE = Path(__file__).parent / "figures" / "disentangled_shapes.png"
LATENT_DIM, ROWS, COLUMNS = 10, 5, 11


def main(picture: str | Path = PICTURE, steps: int = 4000) -> dict[str, float]:
    """Train, score and draw both; gives their scores under Higgins' metric."""
    simulator = Shapes2D("three", flat=True)
    x = simulator.images(simulator.grid())
    centre = simulator.images(np.array([[4, 8, 8]]))
    scores, walks = {}, {}
    for name, beta in (("VAE", 1.0), ("beta = 4", 4.0)):
        model = VAE(*nets(), latent_dim=LATENT_DIM, beta=beta, seed=0)
        model.compile(steps_per_execution=100)
        model.fit(x, batch_size=128, steps_per_epoch=steps, verbose=0)
        kl = model.kl_per_dimension(x)
        order = np.argsort(-kl)[:ROWS]
        scores[name] = beta_vae_score(model.codes, simulator, seed=0)
        walks[name] = model.traverse(centre, order, np.linspace(-2.0, 2.0, COLUMNS)), kl[order]
        nats = ", ".join(f"{value:.2f}" for value in kl[order])
        print(f"{name}: score {scores[name]:.3f}; nats of its latent variables {nats}")
    draw(Path(picture), walks, scores)
    return scores


def nets() -> tuple[keras.Model, keras.Model]:
    """An encoder with two hidden layers and a decoder with three, of 300 units each."""
    dense = keras.layers.Dense
    keras.utils.set_random_seed(0)
    encoder = [keras.Input((1024,)), *(dense(300, "relu") for _ in range(2))]
    decoder = [keras.Input((LATENT_DIM,)), *(dense(300, "tanh") for _ in range(3))]
    return (
        keras.Sequential([*encoder, dense(2 * LATENT_DIM)]),
        keras.Sequential([*decoder, dense(1024)]),
    )


def draw(
    path: Path, walks: dict[str, tuple[np.ndarray, np.ndarray]], scores: dict[str, float]
) -> None:
    """The traversals of both models side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, (images, kl)) in zip(figure.subplots(1, 2), walks.items(), strict=True):
        rows, columns, pixels = images.shape
        side = round(pixels**0.5)
        tiles = images.reshape(rows, columns, side, side).transpose(0, 2, 1, 3)
        axes.imshow(1.0 - tiles.reshape(rows * side, columns * side), cmap="gray", vmin=0, vmax=1)
        axes.set_yticks(
            [side * (row + 0.5) for row in range(rows)], [f"{value:.2f} nats" for value in kl]
        )
        axes.set_xticks(
            [0.5 * side, 0.5 * columns * side, (columns - 0.5) * side], ["-2", "0", "2"]
        )
        axes.set_xlabel("latent variable")
        axes.set_title(f"{name}: score {scores[name]:.3f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
