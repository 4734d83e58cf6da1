"""Rows that are images: which shape they have, and many of them as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

SMALLEST, LARGEST = 5, 256
CHANNELS = (1, 3)


def image_shape(x_shape: Sequence[int | None]) -> tuple[int, ...] | None:
    """The shape of one row as an image, ``(height, width)`` or with channels; None if it is none.

    Flat rows whose number of columns is a square of at least 49 are taken for grey images.

    Args:
        x_shape: Of a row.
    """
    if any(size is None for size in x_shape):
        return None
    shape = tuple(int(size) for size in x_shape if size is not None)
    if len(shape) == 1:
        side = math.isqrt(shape[0])
        return (side, side) if side * side == shape[0] and 7 <= side <= LARGEST else None
    if len(shape) == 3 and shape[2] not in CHANNELS:
        return None
    if len(shape) not in (2, 3) or not all(SMALLEST <= size <= LARGEST for size in shape[:2]):
        return None
    return shape[:2] if len(shape) == 3 and shape[2] == 1 else shape


def as_images(rows: Any, shape: Sequence[int]) -> np.ndarray:
    """Rows ``[n, ...]`` as images ``[n, *shape]`` from 0 to 1, on one scale for all."""
    images = np.asarray(rows, np.float64).reshape(-1, *shape)
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    return (images - low) / (high - low) if high > low else np.zeros_like(images)


def mosaic(images: Any, columns: int, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Images side by side as one, for ``st.image``.

    Args:
        images: ``[n, height, width]`` or ``[n, height, width, channels]``, from 0 to 1; values
            beyond are cut off.
        columns: Images in a row.
        scale: Pixels of the result for one of an image.
        gap: Pixels of an image between two.

    Returns:
        ``[height, width, channels]`` (or without channels), uint8.
    """
    images = np.clip(np.nan_to_num(np.asarray(images, np.float64)), 0.0, 1.0)
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    whole = np.full(shape, 0.5)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        whole[top : top + height, left : left + width] = image
    whole = np.repeat(np.repeat(whole, scale, axis=0), scale, axis=1)
    return np.round(255 * whole).astype(np.uint8)
