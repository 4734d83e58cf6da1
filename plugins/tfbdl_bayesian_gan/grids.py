"""Sample grids: rows of each posterior draw, or of each generator, as one picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfbdl.errors import DataError, OptionsError
from tfbdl.pictures import image_grid, image_shape


class Line(NamedTuple):
    """A line of a grid.

    Attributes:
        name: What to call it.
        which: The arguments of ``model.sample`` that choose it.
    """

    name: str
    which: dict[str, int]


def lines_of(model: Any, by: str = "draw", most: int | None = None) -> list[Line]:
    """The posterior draws of a BayesianGAN, or its generators; of a GAN the one generator.

    Args:
        model: A BayesianGAN, a GAN or an InfoGAN.
        by: ``draw``: a line for each kept sample, of all its generators; ``generator``: a line for
            each generator of the newest sample.
        most: At most so many, evenly spaced.

    Raises:
        OptionsError: If ``by`` is neither.
    """
    if by not in ("draw", "generator"):
        raise OptionsError(f"by must be 'draw' or 'generator'. Received: {by!r}.")
    if not hasattr(model, "kept"):
        return [Line("generator", {})]
    kept = model.kept.number
    count = model.generators if by == "generator" else kept
    chosen = list(range(count))
    if most is not None and most < count:
        chosen = [int(i) for i in np.unique(np.linspace(0, count - 1, most).round())]
    if by == "generator":
        newest = {"draw": kept - 1} if kept else {}
        return [Line(f"generator {j}", {"generator": j, **newest}) for j in chosen]
    return [Line(f"draw {i}", {"draw": i}) for i in chosen] or [Line("present weights", {})]


def sample_grid(model: Any, by: str = "draw", columns: int = 10, seed: int = 0) -> np.ndarray:
    """Generated images as one picture, a line for each posterior draw or for each generator.

    Args:
        model, by: As for ``lines_of``.
        columns: Images of a line.
        seed: Of the noise.

    Returns:
        Bytes ``[height, width, 3]``, as ``tfbdl.pictures.image_grid`` gives them.

    Raises:
        OptionsError: As for ``lines_of``.
        DataError: If the rows are no images.
    """
    lines = [model.sample(columns, seed=seed, **line.which) for line in lines_of(model, by)]
    rows = np.stack(lines)
    shape = image_shape(rows.shape[2:])
    if shape is None:
        raise DataError(f"Rows of shape {list(rows.shape[2:])} are no images.")
    return image_grid(rows.reshape(-1, *shape), columns)
