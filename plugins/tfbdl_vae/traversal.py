"""Walks through the space of codes: one dimension after the other, between rows, over a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, ModelError, OptionsError

from .codes import Codes

KINDS = ("linear", "spherical")
DEVIATIONS = np.linspace(-3.0, 3.0, 7)
"""Where a traversal stops by default, in standard deviations of a normal."""


class Traversals(Codes):
    """Conditional means ``E[x | z]`` along paths of codes, as pictures show them; NumPy out."""

    def traverse(
        self,
        x: Any = None,
        latents: Sequence[int] | None = None,
        values: Sequence[float] | None = None,
        *,
        z: Any = None,
    ) -> np.ndarray:
        """Move one latent dimension after the other while the rest stays where it is.

        Args:
            x: One row, whose code the others stay at, ``[...]`` or ``[1, ...]``.
            latents: Which dimensions move; by default all.
            values: Where to, in the units of z, for each dimension alike; by default the seven
                quantiles of p(z_j) that are -3, -2, ..., 3 for a standard normal.
            z: A code in place of a row, ``[latent_dim]``. With neither, the prior's mean.

        Returns:
            ``E[x | z]``: ``[len(latents), len(values), ...]``.

        Raises:
            DataError: If there is more than one row or code, or both.
            OptionsError: If a dimension does not exist, or values are no list of numbers.
            ModelError: If the prior is asked for and the model has none.

        Example:
            ```python
            model.traverse(x_test[0], latents=[0, 3], values=np.linspace(-2, 2, 9))  # [2, 9, ...]
            ```
        """
        moved = self._checked_latents(latents)
        start = self._start_of(x, z)
        if values is None:
            points = self.prior_quantiles(stats.norm.cdf(DEVIATIONS)).T[moved]
        else:
            points = np.tile(_checked_values(values), (len(moved), 1))
        codes = np.tile(start, (*points.shape, 1))
        for index, latent in enumerate(moved):
            codes[index, :, latent] = points[index]
        return self._means_along(codes)

    def interpolate(self, x1: Any, x2: Any, steps: int = 10, kind: str = "linear") -> np.ndarray:
        """From the code of each row of ``x1`` to that of the row of ``x2`` beside it.

        Args:
            x1: Rows ``[n, ...]``.
            x2: As many rows.
            steps: Points of a path, both ends among them; at least 2.
            kind: ``linear``; or ``spherical``: at a constant angle about the origin, which keeps
                to the lengths that draws of a standard normal have.

        Returns:
            ``E[x | z]``: ``[n, steps, ...]``.

        Raises:
            DataError: If there are not as many rows in both.
            OptionsError: If an option is not admitted.

        References:
            White 2016, "Sampling generative networks", section 2.1 (spherical).
        """
        check_choice("kind", kind, KINDS)
        steps = check_whole("steps", steps, 2)
        z1, z2 = self.codes(x1), self.codes(x2)
        if len(z1) != len(z2):
            raise DataError(
                f"Expected as many rows in x2 as in x1. Received: {len(z1)} and {len(z2)} rows."
            )
        path = linear if kind == "linear" else spherical
        return self._means_along(path(z1, z2, np.linspace(0.0, 1.0, steps)))

    def manifold(self, steps: int = 20) -> np.ndarray:
        """What a plane of codes decodes to: a grid of the prior's quantiles.

        Args:
            steps: Points of the grid along each dimension; the i-th lies at the quantile
                ``(i + 1/2) / steps``.

        Returns:
            ``E[x | z]``: ``[steps, steps, ...]``; the first axis goes with the first dimension of
            z, the second with the second.

        Raises:
            ModelError: If there are not two latent dimensions, or the model has no prior.
            OptionsError: If ``steps`` is below 1.

        References:
            Kingma & Welling 2014, figure 4.
        """
        if self.latent_dim != 2:
            raise ModelError(
                "A manifold is drawn over a plane. Expected: latent_dim=2; for others see "
                f"traverse(). Received: latent_dim={self.latent_dim}."
            )
        steps = check_whole("steps", steps)
        points = self.prior_quantiles((np.arange(steps) + 0.5) / steps)
        grid = np.stack(np.meshgrid(points[:, 0], points[:, 1], indexing="ij"), axis=-1)
        return self._means_along(grid)

    def prior_quantiles(self, probabilities: Any) -> np.ndarray:
        """Quantiles of each latent dimension under p(z): ``[len(probabilities), latent_dim]``.

        Args:
            probabilities: Strictly between 0 and 1.

        Raises:
            ModelError: If the model has no prior.
        """
        raise self._no_prior()

    # -- how -------------------------------------------------------------------------------------

    def prior_mean(self) -> np.ndarray:
        """The mean of p(z): ``[latent_dim]``.

        Raises:
            ModelError: If the model has no prior.
        """
        raise self._no_prior()

    def _no_prior(self) -> ModelError:
        return ModelError(
            f"The {type(self).__name__} has no prior of its codes: it does not say where they lie. "
            "Give traverse(x, values=...), or use a VAE."
        )

    def _start_of(self, x: Any, z: Any) -> np.ndarray:
        if x is not None and z is not None:
            raise DataError("Give a row x or a code z. Received: both.")
        if x is not None:
            row = np.asarray(x)
            shape = getattr(self.encoder, "input_shape", None)
            alone = row.ndim == len(shape) - 1 if isinstance(shape, tuple) else row.ndim == 1
            codes = self.codes(row[np.newaxis] if alone else row)
        elif z is not None:
            code = np.asarray(z, dtype="float64")
            codes = self.checked_codes(code[np.newaxis] if code.ndim == 1 else code).numpy()
        else:
            codes = self.prior_mean()[np.newaxis]
        if len(codes) != 1:
            raise DataError(f"A traversal begins at one row. Received: {len(codes)} rows.")
        start: np.ndarray = codes[0]
        return start

    def _checked_latents(self, latents: Sequence[int] | None) -> list[int]:
        chosen = np.arange(self.latent_dim) if latents is None else np.asarray(latents)
        listed = chosen.ndim == 1 and chosen.size > 0 and chosen.dtype.kind in "iu"
        if not listed or not ((chosen >= 0) & (chosen < self.latent_dim)).all():
            raise OptionsError(
                f"latents must be a list of dimensions from 0 to {self.latent_dim - 1}. "
                f"Received: {latents!r}."
            )
        return [int(j) for j in chosen]

    def _means_along(self, codes: np.ndarray) -> np.ndarray:
        """``E[x | z]`` of codes with any leading axes."""
        means = self.mean_at(codes.reshape(-1, self.latent_dim))
        return means.reshape(*codes.shape[:-1], *means.shape[1:])


def linear(z1: np.ndarray, z2: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``(1 - t) z1 + t z2``: ``[n, steps, d]`` for ``z1, z2 [n, d]`` and ``share [steps]``."""
    t = share[:, np.newaxis]
    path: np.ndarray = (1.0 - t) * z1[:, np.newaxis] + t * z2[:, np.newaxis]
    return path


def spherical(z1: np.ndarray, z2: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``(sin((1 - t) w) z1 + sin(t w) z2) / sin w``, w the angle between the codes.

    Where they have one direction, opposite ones, or no length, there is no such path or no single
    one, and the straight line is taken.
    """
    lengths = np.linalg.norm(z1, axis=-1) * np.linalg.norm(z2, axis=-1)
    cosine = np.divide(
        np.sum(z1 * z2, axis=-1), lengths, out=np.ones_like(lengths), where=lengths > 0
    )
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))[:, np.newaxis, np.newaxis]
    t, sine = share[:, np.newaxis], np.sin(angle)
    curved = sine > 1e-4
    sine = np.where(curved, sine, 1.0)
    path = np.sin((1.0 - t) * angle) / sine * z1[:, np.newaxis]
    path += np.sin(t * angle) / sine * z2[:, np.newaxis]
    return np.where(curved, path, linear(z1, z2, share))


def _checked_values(values: Any) -> np.ndarray:
    try:
        points = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 1 or points.size == 0 or not np.isfinite(points).all():
        raise OptionsError(f"values must be a list of finite numbers. Received: {values!r}.")
    return points
