"""Shapes2D: small binary images of a shape, of which every factor is known."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError, OptionsError, did_you_mean

from .data_config import Shapes2DOptions

SIZE = 32
POSITIONS = 16
RADIUS = 8  # of a sprite, in pixels about its centre: 15 steps and 17 pixels fill the image
SHAPES = ("square", "ellipse", "heart")
SCALES = np.linspace(0.5, 1.0, 6)
ORIENTATIONS = 20
WIDEST_SQUARE, ELLIPSE, HEART = 5.4, (8.0, 4.4), 5.6  # pixels that fit into the radius at any angle
_SIZES = {
    "five": {
        "shape": len(SHAPES),
        "scale": len(SCALES),
        "orientation": ORIENTATIONS,
        "x": POSITIONS,
        "y": POSITIONS,
    },
    "three": {"scale": RADIUS, "x": POSITIONS, "y": POSITIONS},
}


class Shapes2D:
    """A simulator of 32 x 32 images, 0 or 1, of one shape; a function of its factors alone.

    - ``five``: 92,160 images, of shape (square, ellipse, heart), scale (six sizes from half to
      whole), orientation (20 angles over the full circle, 9 to 351 degrees), and the centre's x and
      y (16 pixels each). As in dSprites a square looks the same after a quarter turn and an
      ellipse after half a turn.
    - ``three``: 2,048 images of an upright square: scale (widths of 3, 5, ..., 17 pixels), x and y.

    A pixel is 1 where its centre lies within the shape.

    Args:
        factors: ``five`` or ``three``.
        flat: Give images as rows of 1,024 pixels.

    Attributes:
        factor_names: What varies.
        factor_sizes: How many values each factor has; they are counted from 0.

    Raises:
        OptionsError: If there is no such set of factors.

    References:
        Higgins et al. 2017, "beta-VAE", section 4.2; Matthey et al. 2017, "dSprites".

    Example:
        ```python
        simulator = Shapes2D("three")
        factors = simulator.sample_factors(100, np.random.default_rng(0))  # [100, 3]
        images = simulator.images(factors)                                 # [100, 32, 32, 1]
        ```
    """

    def __init__(self, factors: str = "five", flat: bool = False) -> None:
        if factors not in _SIZES:
            raise OptionsError(
                f"factors must be one of {', '.join(_SIZES)}.{did_you_mean(factors, _SIZES)} "
                f"Received: {factors!r}."
            )
        self.factors, self.flat = factors, flat
        self.factor_names = tuple(_SIZES[factors])
        self.factor_sizes = tuple(_SIZES[factors].values())
        sprites = _sprites() if factors == "five" else _squares()
        margin = POSITIONS - 1
        canvas = np.pad(sprites, ((0, 0), (margin, margin), (margin, margin)))
        self._windows = sliding_window_view(canvas, (SIZE, SIZE), axis=(1, 2))

    def sample_factors(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Factors, each uniform and independent of the others: ``[n, K]`` int64."""
        return rng.integers(0, self.factor_sizes, (n, len(self.factor_sizes)))

    def grid(self) -> np.ndarray:
        """The factors of all images, the last varying fastest: ``[N, K]`` int64."""
        return np.stack(
            np.unravel_index(np.arange(np.prod(self.factor_sizes)), self.factor_sizes)
        ).T

    def images(self, factors: np.ndarray) -> np.ndarray:
        """The images of factors ``[n, K]``: ``[n, 32, 32, 1]``, or ``[n, 1024]``; float32.

        Raises:
            DataError: If a factor is missing or out of range.
        """
        *look, x, y = self._checked(factors).T
        sprite = np.ravel_multi_index(tuple(look), self.factor_sizes[:-2])
        shown = self._windows[sprite, POSITIONS - 1 - y, POSITIONS - 1 - x]
        shape = (len(shown), SIZE * SIZE) if self.flat else (len(shown), SIZE, SIZE, 1)
        return shown.reshape(shape).astype("float32")

    def _checked(self, factors: np.ndarray) -> np.ndarray:
        factors = np.asarray(factors)
        count = len(self.factor_sizes)
        if factors.ndim != 2 or factors.shape[1] != count:
            raise DataError(
                f"Expected factors [n, {count}]: {', '.join(self.factor_names)}. "
                f"Received: shape {list(factors.shape)}."
            )
        expected = f"Expected whole factors from 0 to {[size - 1 for size in self.factor_sizes]}."
        if factors.dtype.kind not in "fiub" or not np.isfinite(factors).all():
            raise DataError(f"{expected} Received: {factors[:3].tolist()!s:.200}.")
        whole = factors.astype("int64")
        if (whole != factors).any() or (whole < 0).any() or (whole >= self.factor_sizes).any():
            raise DataError(
                f"{expected} Received: from {factors.min(axis=0).tolist()} to "
                f"{factors.max(axis=0).tolist()}."
            )
        return whole


def shapes2d(options: Shapes2DOptions) -> Dataset:
    """Images as x and the factors that made them as y, ``[n, K]``.

    Raises:
        DataError: If more rows are asked for than there are images, or all are held out.
    """
    simulator = Shapes2D(options.variant, options.flat)
    factors = simulator.grid()
    if options.num_rows is not None:
        if options.num_rows > len(factors):
            raise DataError(
                f"The variant {options.variant!r} has {len(factors)} images. Expected at most so "
                f"many rows. Received: num_rows={options.num_rows}."
            )
        rng = np.random.default_rng(options.sample_seed)
        factors = factors[rng.choice(len(factors), options.num_rows, replace=False)]
    data = as_dataset(
        (simulator.images(factors), factors.astype("float32")),
        name="shapes2d",
        target_names=simulator.factor_names,
    )
    num_test = int(np.ceil(len(factors) * options.test_fraction))
    if not num_test:
        return data
    if num_test >= len(factors):
        raise DataError(
            f"{len(factors)} rows cannot be divided with test_fraction {options.test_fraction:g}: "
            "no training row would be left."
        )
    held = np.random.default_rng([options.split, 1]).permutation(len(factors))[:num_test]
    return data.hold_out(np.sort(held))


def _squares() -> np.ndarray:
    """Upright squares of 3, 5, ..., 17 pixels: ``[8, 17, 17]``."""
    u, v = _centred()
    reach = np.maximum(np.abs(u), np.abs(v))
    return (reach <= np.arange(1, RADIUS + 1)[:, np.newaxis, np.newaxis]).astype("uint8")


def _sprites() -> np.ndarray:
    """All shapes, scales and orientations: ``[360, 17, 17]``."""
    u, v = _centred()
    # Half a step from upright: there the edges of squares of two scales would fall on one pixel.
    angle = 2 * np.pi * (np.arange(ORIENTATIONS) + 0.5) / ORIENTATIONS
    cos, sin = (f(angle)[:, np.newaxis, np.newaxis] for f in (np.cos, np.sin))
    scale = SCALES[:, np.newaxis, np.newaxis, np.newaxis]
    a, b = (cos * u + sin * v) / scale, (cos * v - sin * u) / scale  # [scale, orientation, 17, 17]
    p, q = a / HEART, b / HEART
    inside = (
        np.maximum(np.abs(a), np.abs(b)) <= WIDEST_SQUARE,
        (a / ELLIPSE[0]) ** 2 + (b / ELLIPSE[1]) ** 2 <= 1.0,
        (p**2 + q**2 - 1.0) ** 3 <= p**2 * q**3,
    )
    return np.stack(inside).astype("uint8").reshape(-1, 2 * RADIUS + 1, 2 * RADIUS + 1)


def _centred() -> tuple[np.ndarray, np.ndarray]:
    """Right and up of each pixel's centre from the sprite's, in pixels: ``[17, 17]`` each."""
    line = np.arange(-RADIUS, RADIUS + 1.0)
    u, v = np.meshgrid(line, -line)
    return u, v
