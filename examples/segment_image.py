"""A photograph in segments: colours alone, with neighbours that like to agree, and how many.

python examples/segment_image.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import label
from scipy.stats import multivariate_normal
from sklearn.datasets import load_sample_image

import tfbdl
from tfbdl.inference import DirichletPotts, Potts

FOLDER = Path(__file__).parent / "figures"
COLOURS, BETA = 5, 1.5
NOISE = 0.12  # standard deviation added to each channel, which is from 0 to 1
COARSE = 3  # pixels to a side of the sites of the field with an unknown number of segments


def main(folder: str | Path = FOLDER, pixels: int = 5, draws: int = 200) -> dict[str, float]:
    """Segment a noisy photograph three times, print figures and draw ``segments.png``.

    ``pixels`` of the photograph to a side become one site.
    """
    clean = shrunk(load_sample_image("china.jpg") / 255.0, pixels)
    noisy = clean + np.random.default_rng(0).normal(0.0, NOISE, clean.shape)
    rows, shape = noisy.reshape(-1, 3), clean.shape[:2]

    mixture = tfbdl.fit(
        "gmm", rows, model_options={"num_components": COLOURS, "dtype": "float64"}, seed=1
    ).model
    parts = zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    log_likelihood = np.stack(
        [np.log(w) + multivariate_normal(m, S).logpdf(rows) for w, m, S in parts], axis=1
    )
    alone = log_likelihood.argmax(axis=1)  # with beta = 0 that is all there is

    field = Potts(Potts.grid(shape), len(rows), COLOURS, BETA, log_likelihood)
    options = {"chains": 4, "warmup": draws // 2, "draws": draws}
    fit = tfbdl.fit(field, None, engine="swendsen_wang", engine_options=options, seed=1)
    p = field.marginals(fit.posterior.draws["z"])
    together = p.argmax(axis=1)

    coarse = shrunk(noisy, COARSE)
    process = DirichletPotts(
        DirichletPotts.grid(coarse.shape[:2]), coarse.reshape(-1, 3), BETA, b0=NOISE**2, a0=3.0
    )
    found = tfbdl.fit(process, None, engine="swendsen_wang", engine_options=options, seed=1)
    counts = found.posterior.sample_stats["num_segments"]
    likeliest = np.unravel_index(found.posterior.sample_stats["lp"].argmax(), counts.shape)
    partition = found.posterior.draws["z"][likeliest]

    means = mixture.means_
    figures = {
        "borders_alone": borders(field, alone),
        "borders_field": borders(field, together),
        "regions_alone": regions(alone.reshape(shape)),
        "regions_field": regions(together.reshape(shape)),
        "rmse_noisy": rmse(rows, clean),
        "rmse_alone": rmse(means[alone], clean),
        "rmse_field": rmse(p @ means, clean),
        "unsure": float(np.mean(p.max(axis=1) < 0.9)),
        "segments_median": float(np.median(counts)),
        "ess_lp": float(tfbdl.diagnostics.ess_bulk(fit.posterior.sample_stats["lp"])),
    }
    report(figures, shape, fit.metrics["seconds"])
    colours = averages(coarse.reshape(-1, 3), partition)
    pictures = {
        f"{shape[0]} x {shape[1]} sites, with noise": noisy,
        f"mixture of {COLOURS} colours alone": means[alone].reshape(clean.shape),
        f"Potts field, beta = {BETA}": means[together].reshape(clean.shape),
        "probability of the likeliest label": p.max(axis=1).reshape(shape),
        "Dirichlet process: a draw": colours.reshape(coarse.shape),
    }
    draw(Path(folder) / "segments.png", pictures, counts)
    return figures


def shrunk(image: np.ndarray, pixels: int) -> np.ndarray:
    """Means over squares of so many pixels to a side."""
    height, width = (side // pixels for side in image.shape[:2])
    blocks = image[: height * pixels, : width * pixels].reshape(height, pixels, width, pixels, -1)
    return blocks.mean(axis=(1, 3))


def borders(field: Potts, z: np.ndarray) -> float:
    """The share of neighbours with different labels."""
    return 1.0 - float(field.equal_edges(z)) / len(field.edges)


def regions(z: np.ndarray) -> int:
    """How many connected regions of one label there are."""
    return sum(label(z == k)[1] for k in np.unique(z))


def rmse(rows: np.ndarray, clean: np.ndarray) -> float:
    """Of colours ``[site, 3]``, against the photograph without noise."""
    return float(np.sqrt(np.mean((rows - clean.reshape(-1, 3)) ** 2)))


def averages(rows: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The mean colour of each site's segment."""
    counts = np.bincount(z)
    sums = [np.bincount(z, column) for column in rows.T]
    return (np.stack(sums, axis=1) / counts[:, np.newaxis])[z]


def report(figures: dict[str, float], shape: tuple[int, int], seconds: float) -> None:
    """The figures in words."""
    of = figures.__getitem__
    print(f"{shape[0]} x {shape[1]} sites, {COLOURS} colours, couplings of {BETA}.")
    print(
        f"Neighbours that differ: {of('borders_alone'):.1%} by the mixture alone, "
        f"{of('borders_field'):.1%} in the field."
    )
    print(f"Connected regions: {of('regions_alone'):.0f} and {of('regions_field'):.0f}.")
    print(
        f"RMSE against the photograph without noise: {of('rmse_noisy'):.3f} with noise, "
        f"{of('rmse_alone'):.3f} mixture, {of('rmse_field'):.3f} field."
    )
    print(f"Sites whose label is less than 90 % sure: {of('unsure'):.1%}.")
    print(f"Swendsen-Wang took {seconds:.0f} s; effective draws of lp: {of('ess_lp'):.0f}.")
    print(f"Segments by the Dirichlet process: {of('segments_median'):.0f} (median).")


def draw(path: Path, pictures: dict[str, np.ndarray], counts: np.ndarray) -> None:
    """The pictures, and the posterior of the number of segments."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).ravel()
    for place, (title, picture) in zip(axes, pictures.items(), strict=False):
        place.imshow(np.clip(picture, 0.0, 1.0), cmap="gray", interpolation="nearest")
        place.set(title=title, xticks=[], yticks=[])
    values, times = np.unique(counts, return_counts=True)
    axes[-1].bar(values, times / times.sum(), color="tab:blue")
    axes[-1].set(title="number of segments", xlabel="segments", ylabel="probability", xticks=values)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
