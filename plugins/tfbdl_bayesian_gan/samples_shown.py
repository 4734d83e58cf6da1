"""What the panel of generators shows: rows of each posterior sample, modes, and histories."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfbdl.pictures import image_shape
from tfbdl.remembered import remember

from . import evaluation
from .grids import lines_of
from .panel import SampleControls

ROWS = 500  # of each group, for figures
REAL_ROWS = 2000
POINTS = 1000  # of a kernel density estimate
SHOWN = 150  # points of each group
CURVES = (
    "generator_loss",
    "discriminator_loss",
    "value",
    "real_probability",
    "fake_probability",
    "information",
    "penalty",
)

Arrays = dict[str, np.ndarray]


class Real(NamedTuple):
    """Rows of the data.

    Attributes:
        x: ``[n, ...]``.
        labels: ``[n]`` int, or None.
        names: Of the classes.
    """

    x: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...]


def gan_samples(fit: Any, controls: SampleControls) -> Arrays:
    """Rows of each posterior draw or generator, and how they lie beside the data.

    A plain GAN is one group. Where the data have classes, their means are the modes.

    Returns:
        ``group [g]``: names; ``generated [g, rows, ...]``; ``is_image``, and of images ``low`` and
        ``high``. With data: ``point [m, 2]`` on the data's principal components and ``point_of
        [m]`` (0 the data, then the groups); ``js [g + 1]`` and ``nearest [g]``: divergence from the
        data of all groups together and of each, and the mean distance to the nearest row. With
        classes: ``mode [k]``, ``share [g + 2, k]`` of the data, of all groups and of each, and
        ``covered [g + 1]``. ``history_...``: each curve of the run.
    """
    model = fit.model
    key = ("samples", controls.by, controls.groups, controls.seed)
    names, made = remember(model, key, lambda: _generated(model, controls))
    real = remember(model, "real", lambda: _real(fit))
    shape = image_shape(made.shape[2:], getattr(fit.info, "feature_names", None))
    if made.ndim == 3 and not (real is not None and _are_grey(real.x)):
        shape = None  # flat rows of a square number of columns need not be images
    shown = made[:, : controls.rows]
    said: Arrays = {
        "group": np.array(names),
        "generated": shown if shape is None else shown.reshape(*shown.shape[:2], *shape),
        "is_image": np.array(shape is not None),
        "low": np.array(float(shown.min())),
        "high": np.array(float(shown.max())),
    }
    if real is not None:
        said |= remember(model, (*key, "beside"), lambda: _beside(real, made))
        if shape is not None:
            said["low"], said["high"] = np.array(real.x.min()), np.array(real.x.max())
    curves = {f"history_{name}": np.asarray(fit.history.get(name, ())) for name in CURVES}
    return said | {name: curve for name, curve in curves.items() if curve.size}


def _generated(model: Any, controls: SampleControls) -> tuple[list[str], np.ndarray]:
    """Names of the groups, and rows ``[g, ROWS, ...]``."""
    lines = lines_of(model, controls.by, controls.groups)
    rows = [model.sample(ROWS, seed=controls.seed, **line.which) for line in lines]
    return [line.name for line in lines], np.stack(rows)


def _real(fit: Any) -> Real | None:
    """At most 2,000 rows of the data, evenly spaced; None where they are not known."""
    data = fit.dataset()
    if data is None or data.x is None:
        return None
    step = -(-len(data.x) // REAL_ROWS)
    x = np.asarray(data.x[::step], np.float64)
    if data.y is None or data.info.task != "classification":
        return Real(x, None, ())
    labels = np.asarray(data.y[::step]).astype(int)
    known = data.info.class_names
    count = int(labels.max()) + 1
    names = tuple(str(known[k] if known is not None else k) for k in range(count))
    return Real(x, labels, names)


def _are_grey(x: np.ndarray) -> bool:
    """Whether values can be shades of grey: none below zero, or all from -1 to 1."""
    low, high = float(x.min()), float(x.max())
    return low >= 0.0 or (low >= -1.0 and high <= 1.0)


def _beside(real: Real, made: np.ndarray) -> Arrays:
    """Where generated rows lie beside those of the data."""
    flat = real.x.reshape(len(real.x), -1)
    groups = made.reshape(*made.shape[:2], -1)
    everything = groups.reshape(-1, groups.shape[-1])
    scale = max(float(flat.std(axis=0).mean()), 1e-12)  # a cell of the grid is in this unit
    project = evaluation.principal_plane(flat)
    points = [project(flat)[:: -(-len(flat) // (2 * SHOWN))]]
    points += [project(group)[:SHOWN] for group in groups]
    sets = [everything] if len(groups) == 1 else [everything, *groups]
    js = [evaluation.jensen_shannon(flat / scale, x / scale, POINTS) for x in sets]
    said = {
        "point": np.concatenate(points),
        "point_of": np.repeat(np.arange(len(points)), [len(part) for part in points]),
        "js": np.array(js if len(groups) > 1 else js * 2),
        "nearest": np.array(
            [evaluation.nearest_neighbours(x, flat).distances.mean() for x in groups]
        ),
    }
    if real.labels is None:
        return said
    present = np.unique(real.labels)
    centres = np.stack([flat[real.labels == k].mean(axis=0) for k in present])
    shares = [evaluation.mode_shares(x, centres) for x in (flat, everything, *groups)]
    return said | {
        "mode": np.array([real.names[k] for k in present]),
        "share": np.stack(shares),
        "covered": np.array([(s >= evaluation.MODE_SHARE).sum() for s in shares[1:]]),
    }
