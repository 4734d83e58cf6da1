"""What panels draw with: colours, and rows of data as images, many of them as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

COLOURS = (
    "#2B8CC4",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#B5A000",
    "#9467BD",
    "#8C919A",
    "#8C5A2B",
)
"""Of series, in order: of Okabe and Ito's palette or near it, told apart in every common form of
colour blindness and readable on a light and a dark page."""
SIDE = 720
"""Pixels that a grid of small images is blown up to, at about."""

LEAST_SIDE = 4
LEAST_NAMED = 64
"""Columns from which on those of a table with names are taken for pixels."""


def image_shape(
    row: Sequence[int | None], feature_names: Sequence[str] | None = None
) -> tuple[int, ...] | None:
    """The shape as which a row is shown: ``(height, width)`` or ``(height, width, 3)``.

    Args:
        row: The shape of one row. ``[h, w]``, ``[h, w, 1]`` and ``[h, w, 3]`` are images; so is a
            flat row whose length is the square of 4 or more: of 8 or more if its columns have
            names, for then it may well be a table.
        feature_names: Names of the columns of flat rows, if they have any.

    Returns:
        None where the row is no image.
    """
    shape = tuple(int(size or 0) for size in row)
    if len(shape) == 1:
        side, least = math.isqrt(shape[0]), LEAST_NAMED if feature_names else LEAST_SIDE**2
        return (side, side) if shape[0] >= least and side * side == shape[0] else None
    if len(shape) == 2:
        return shape if min(shape) >= LEAST_SIDE else None
    if len(shape) == 3 and min(shape[:2]) >= LEAST_SIDE:
        return shape if shape[2] == 3 else shape[:2] if shape[2] == 1 else None
    return None


def image_grid(
    images: np.ndarray,
    columns: int,
    low: float | None = None,
    high: float | None = None,
    side: int = SIDE,
) -> np.ndarray:
    """Images beside and below one another as one picture, each pixel blown up to a square.

    Args:
        images: ``[n, height, width]``, or ``[n, height, width, 3]``.
        columns: Images in a row of the grid.
        low, high: What is black and what is white; by default the least and the largest value.
            What is no number is black.
        side: The picture's width in pixels, at about; it is never shrunk.

    Returns:
        Bytes ``[rows * (height + 1) - 1, columns * (width + 1) - 1, 3]``, each pixel repeated so
        that the picture is about ``side`` wide, with a grey line between images.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim == 3:
        images = np.repeat(images[..., np.newaxis], 3, axis=-1)
    low = float(np.nanmin(images)) if low is None else low
    high = float(np.nanmax(images)) if high is None else high
    values = np.nan_to_num((images - low) / (high - low if high > low else 1.0), nan=0.0)
    values = np.clip(values, 0.0, 1.0)
    n, height, width, _ = values.shape
    rows = math.ceil(n / columns)
    grid = np.full((rows * (height + 1), columns * (width + 1), 3), 0.5)
    for index, value in enumerate(values):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        grid[top : top + height, left : left + width] = value
    grid = grid[:-1, :-1]
    factor = max(1, round(side / grid.shape[1]))
    bytes_ = np.round(255.0 * grid).astype(np.uint8)
    return bytes_.repeat(factor, axis=0).repeat(factor, axis=1)
