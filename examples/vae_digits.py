"""Handwritten digits by variational auto-encoders: manifold, samples, reconstructions, traversals.

Two models are trained on MNIST with dynamic binarisation: one with two latent variables, whose
plane can be drawn as a whole (Kingma & Welling 2014, figure 4), and one with twenty. Needs MNIST:
a folder in TFBDL_DATA, or Keras' download. About four minutes on two cores.

python examples/vae_digits.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tfbdl

FIGURES = Path(__file__).parent / "figures"


def main(
    folder: str | Path = FIGURES, epochs: int = 15, train_size: int | None = None
) -> dict[str, float]:
    """Train, score on test images, draw; gives the bounds of both models in nats."""
    data = {"train_size": train_size, "test_size": 1000}
    scores: dict[str, float] = {}
    models: dict[int, Any] = {}
    for latent_dim in (2, 20):
        fit = tfbdl.fit(
            "vae",
            "mnist",
            model_options={"latent_dim": latent_dim},
            engine_options={"epochs": epochs, "learning_rate": 1e-3, "batch_size": 100},
            data_options=data,
            seed=0,
        )
        models[latent_dim] = fit.model
        scores[f"elbo_{latent_dim}"] = fit.metrics["test_elbo"]
        print(f"{latent_dim} latent variables: test ELBO {fit.metrics['test_elbo']:.1f} nats")
    x = test_images(8)
    folder = Path(folder)
    small, large = models[2], models[20]
    draw(folder / "vae_manifold.png", tiles(small.manifold(steps=20)))
    draw(folder / "vae_samples.png", tiles(large.sample(100, seed=1, mean=True), columns=10))
    pairs = np.stack([x, large.reconstruct(x), small.reconstruct(x)])
    draw(folder / "vae_reconstructions.png", tiles(pairs))
    order = np.argsort(-large.kl_per_dimension(test_images(1000)))[:10]
    moved = large.traverse(x[:1], latents=order, values=np.linspace(-3.0, 3.0, 11))
    draw(folder / "vae_traversals.png", tiles(moved))
    between = large.interpolate(x[:4], x[4:8], steps=11)
    draw(folder / "vae_interpolations.png", tiles(between))
    return scores


def test_images(n: int) -> np.ndarray:
    """The first test images as rows of 784 pixels."""
    from tfbdl.run import load_data

    data = load_data(tfbdl.plan("vae", "mnist", data_options={"train_size": 1, "test_size": n}))
    assert data is not None
    return data.x_test


def tiles(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images ``[rows, columns, pixels]`` or ``[n, pixels]`` side by side, as one."""
    pixels = images.shape[-1]
    side = round(pixels**0.5)
    columns = images.shape[1] if columns is None else columns
    grid = images.reshape(-1, columns, side, side)
    return grid.transpose(0, 2, 1, 3).reshape(grid.shape[0] * side, columns * side)


def draw(path: Path, image: np.ndarray) -> None:
    """Write a grey picture, pixel by pixel."""
    from matplotlib.image import imsave

    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, 1.0 - image, cmap="gray", vmin=0.0, vmax=1.0)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
