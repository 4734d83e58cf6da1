"""What panels draw with: colours, and rows of data as images, many of them as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

COLOURS = (
    "#3b82f6",
    "#f59e0b",
    "#ef4444",
    "#10b981",
    "#a855f7",
    "#06b6d4",
    "#ec4899",
    "#84cc16",
    "#94a3b8",
    "#b45309",
)
"""Of series, in order: distinct from one another, and from a light and a dark page."""
SIDE = 720
"""Pixels that a grid of small images is blown up to, at about."""


def image_shape(row: Sequence[int | None]) -> tuple[int, ...] | None:
    """The shape as which a row is shown: ``(height, width)`` or ``(height, width, 3)``.

    Args:
        row: The shape of one row. ``[h, w]``, ``[h, w, 1]`` and ``[h, w, 3]`` are images; so is a
            flat row whose length is the square of 4 or more.

    Returns:
        None where the row is no image.
    """
    shape = tuple(int(size or 0) for size in row)
    if len(shape) == 1:
        side = math.isqrt(shape[0])
        return (side, side) if side >= 4 and side * side == shape[0] else None
    if len(shape) == 2:
        return shape if min(shape) >= 4 else None
    if len(shape) == 3 and min(shape[:2]) >= 4:
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
        side: The picture's width in pixels, at about; it is never shrunk.

    Returns:
        Bytes ``[rows * (height + 1) - 1, columns * (width + 1) - 1, 3]``, each pixel repeated so
        that the picture is about ``side`` wide, with a grey line between images.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim == 3:
        images = np.repeat(images[..., np.newaxis], 3, axis=-1)
    low = float(images.min()) if low is None else low
    high = float(images.max()) if high is None else high
    values = np.clip((images - low) / (high - low if high > low else 1.0), 0.0, 1.0)
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
