"""What the panel of DPPs shows: a chosen subset among the items, beside a random one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.pictures import image_shape
from tfbdl.remembered import remember
from tfbdl.standardization import standardised

from .checks import log_det
from .dpp import DPP
from .ensemble import L_of, LEnsemble
from .greedy import greedy_map
from .k_dpp import KDPP
from .panel import SubsetControls
from .process import generator

MOST_POINTS = 1_500
MOST_SHOWN = 60  # items of a subset that are drawn as images and in the kernel
RANDOM_SETS = 200
DRAWN_SETS = 60
RANDOM = 41  # a stream of a seed
DRAWS_SEED = 1_000  # above those of the controls

Arrays = dict[str, np.ndarray]


def diverse_subset(fit: Any, controls: SubsetControls) -> Arrays:
    """A subset of the fitted process, and as many items at random.

    Returns:
        ``point [m, 2]``: items on two axes, at most 1,500 beside the chosen ones, ``item [m]`` and
        ``inclusion [m]``; ``chosen [s]`` and ``random [s]``; ``chosen_kernel`` and
        ``random_kernel [t, t]``: similarity from -1 to 1 of the first 60 of each;
        ``chosen_volume``: log det of the chosen items' similarity in nats, and
        ``random_volume [200]`` of random subsets, and ``drawn_volume`` of up to 60 draws of as many
        items; with images also ``chosen_image`` and
        ``random_image [t, ...]``.
    """
    model = fit.model
    process: DPP | KDPP = model.process
    n = process.num_items
    chosen = _chosen(process, controls)
    rng = generator(controls.seed, RANDOM)
    sets = [np.sort(rng.choice(n, len(chosen), replace=False)) for _ in range(RANDOM_SETS)]
    points, axes = remember(model, "plane", lambda: _plane(model, process))
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    shown = np.unique(np.concatenate([some, chosen, sets[0]]))
    inclusion = remember(model, "inclusion", process.inclusion_probabilities)
    said = {
        "point": points[shown],
        "axis": np.array(axes),
        "item": shown,
        "inclusion": inclusion[shown],
        "chosen": chosen,
        "random": sets[0],
        "items": np.array(n),
        "how": np.array(controls.how),
        "chosen_volume": np.array(log_det(similarity(process, chosen))),
        "random_volume": _volumes(process, sets, len(chosen)),
    }
    said["drawn_volume"] = _volumes(process, _draws(model, process), len(chosen))
    for name, rows in (("chosen", chosen), ("random", sets[0])):
        said[f"{name}_kernel"] = similarity(process, rows[:MOST_SHOWN])
        if (images := _images(fit, rows[:MOST_SHOWN])) is not None:
            said[f"{name}_image"] = images
    return said


def similarity(process: DPP | KDPP, items: np.ndarray) -> np.ndarray:
    """``L_ij / sqrt(L_ii L_jj)`` of some items: their likeness without their quality.

    Args:
        process: A DPP or k-DPP.
        items: Indices ``[s]``.

    Returns:
        ``[s, s]``, from -1 to 1.
    """
    form = L_of(process._ensemble)
    if isinstance(form, LEnsemble):
        block = form.L[np.ix_(items, items)]
    else:
        block = form.F[items] @ form.F[items].T
    scale = np.sqrt(np.maximum(np.diagonal(block), np.finfo(float).tiny))
    return np.asarray(block / np.outer(scale, scale))


def _chosen(process: DPP | KDPP, controls: SubsetControls) -> np.ndarray:
    """Sorted items; a greedy choice is as large as the process's subsets are on average."""
    if controls.how == "draw":
        return np.asarray(process.sample(1, controls.seed)[0])
    size = process.k if isinstance(process, KDPP) else max(1, round(process.expected_size))
    form = L_of(process._ensemble)
    if isinstance(form, LEnsemble):
        return np.sort(greedy_map(form.L, size))
    return np.sort(greedy_map(features=form.F, k=size))


def _draws(model: Any, process: DPP | KDPP) -> list[np.ndarray]:
    """Subsets of the process itself, those of other seeds than the shown one."""
    return remember(model, "draws", lambda: list(process.sample(DRAWN_SETS, DRAWS_SEED)))


def _volumes(process: DPP | KDPP, subsets: list[np.ndarray], size: int) -> np.ndarray:
    """Log det of the likeness of each subset of this size, in nats."""
    found = [log_det(similarity(process, rows)) for rows in subsets if len(rows) == size]
    return np.array(found, np.float64)


def _plane(model: Any, process: DPP | KDPP) -> tuple[np.ndarray, list[str]]:
    """Items on their first two principal axes; without items, on those of their kernel."""
    items = model.params.get("items")
    if items is None:
        spectrum = L_of(process._ensemble).spectrum
        first = np.argsort(-spectrum.log_values)[:2]
        points = spectrum.columns(first) * np.exp(0.5 * spectrum.log_values[first])
        return _two(points), ["first axis of the kernel", "second axis of the kernel"]
    if items.shape[1] == 2:
        return items, ["first column", "second column"]
    centred = standardised(items)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    return _two(centred @ axes), ["first principal axis", "second principal axis"]


def _two(points: np.ndarray) -> np.ndarray:
    """Points in a plane, of which one axis may be empty."""
    return np.pad(points, [(0, 0), (0, 2 - points.shape[1])])


def _images(fit: Any, rows: np.ndarray) -> np.ndarray | None:
    """The items as images ``[s, height, width]`` or with colours, if that is what they are."""
    items = fit.model.params.get("items")
    if items is None or fit.info is None or isinstance(fit.info.x_shape, dict):
        return None
    shape = image_shape(fit.info.x_shape, fit.info.feature_names)
    return None if shape is None else np.asarray(items[rows].reshape(len(rows), *shape))
