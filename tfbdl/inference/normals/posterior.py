"""The posterior of a network as a structured normal over its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ... import functional, random
from ...errors import ModelError
from ...posterior import DRAWS_BYTES, MAX_DRAWS, Arrays, Posterior
from ...predictive import Predictive
from ...protocols import Site
from .base import Normal
from .dense import DenseNormal
from .diagonal import DiagonalNormal
from .kronecker import KroneckerNormal
from .low_rank import LowRankNormal

KINDS: Mapping[str, type[Normal]] = {
    kind.kind: kind for kind in (DenseNormal, DiagonalNormal, KroneckerNormal, LowRankNormal)
}
GROUP = "posterior_normal"
STORED_BYTES = 64 * 2**20
MAX_COVARIANCE = 10_000


class NormalPosterior(Posterior):
    """A normal over some sites of a network; the others are known.

    Args:
        model: The network, of which sites and weights have their shapes and bijectors.
        normal: Over the unconstrained sites, flattened and joined in the order of ``names``.
        names: The sites of the normal: weights of the net, or learned parameters.
        points: Site name -> its one value, for all others.
        linearized: How it predicts: None, by the net under draws of the weights; ``closed_form``,
            by the net's linearisation at the mean, in closed form; ``draws``, by the linearisation
            under draws.

    References:
        Immer, Korzepa and Bauer 2021, "Improving predictions of Bayesian neural nets via local
        linearization"; Daxberger et al. 2021, "Laplace Redux", section 3.
    """

    is_finite = False
    stored_as = "normal"

    def __init__(
        self,
        model: Any,
        normal: Normal,
        names: Sequence[str],
        points: Mapping[str, Any],
        linearized: str | None = None,
    ) -> None:
        self.model, self.normal, self.linearized = model, normal, linearized
        self.flat_sites = sites_of(model, names)
        self.points = {name: np.asarray(value) for name, value in points.items()}
        self.independent = True
        self.sample_stats: Arrays = {}
        self.ends = np.cumsum([size_of(site) for site in self.flat_sites])

    @property
    def num_draws(self) -> int:
        """How many draws ``.draws`` holds: 1,000, or fewer where they would not fit in memory."""
        return int(np.clip(DRAWS_BYTES // (4 * len(self.normal.mean)), 10, MAX_DRAWS))

    @cached_property
    def _drawn(self) -> Arrays:
        count = self.num_draws
        names = [site.name for site in self.flat_sites]
        drawn = self._states(random.key(0, "posterior"), tf.range(count))
        own = {name: drawn[name].numpy()[np.newaxis] for name in names}
        return own | {
            name: np.broadcast_to(value, (1, count, *value.shape))
            for name, value in self.points.items()
        }

    @property
    def draws(self) -> Mapping[str, np.ndarray]:
        """Site name -> ``[1, draw, ...]``, drawn on first use at seed 0."""
        return self._drawn

    def states(self, start: int, stop: int, seed: int, total: int) -> dict[str, tf.Tensor]:
        """Draws ``start`` to ``stop``: draw i is a function of (seed, i) alone."""
        return dict(self._states(random.key(seed, "posterior"), tf.range(start, stop)))

    @cached_property
    def _states(self) -> Any:
        """The compiled draw of states."""

        def states(key: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            drawn = self.split(self.normal.sample(random.fold_in(key, index)))
            count = tf.shape(index)[0]
            for name, value in self.points.items():
                drawn[name] = tf.broadcast_to(value, (count, *value.shape))
            return drawn

        return tf.function(states, autograph=False, reduce_retracing=True)

    def split(self, flat: tf.Tensor) -> dict[str, tf.Tensor]:
        """Site name -> constrained values, of states ``[..., D]``."""
        values = {}
        sizes = np.diff(self.ends, prepend=0)
        parts = tf.split(flat, sizes, axis=-1)
        for site, part in zip(self.flat_sites, parts, strict=True):
            value = tf.cast(part, site.dtype)
            value = tf.reshape(value, (*tf.unstack(tf.shape(flat)[:-1]), *site.shape))
            values[site.name] = value if site.bijector is None else site.bijector.forward(value)
        return values

    def point(self) -> Arrays:
        """Site name -> its value at the centre of the normal."""
        centre = {n: v.numpy() for n, v in self.split(tf.constant(self.normal.mean)).items()}
        return centre | self.points

    def mean(self) -> Arrays:
        """Site name -> mean of the normal (of the draws, for a site with a bijector)."""
        curved = {n: self.draws[n].mean(axis=(0, 1)) for n in self._curved}
        return self.point() | curved

    def stddev(self) -> Arrays:
        """Site name -> standard deviation (of the draws, with a bijector; zero of a point)."""
        flat = np.split(self.normal.stddev(), self.ends[:-1])
        own = {
            site.name: part.reshape(site.shape)
            for site, part in zip(self.flat_sites, flat, strict=True)
        }
        own |= {name: self.draws[name].std(axis=(0, 1)) for name in self._curved}
        return own | {name: np.zeros_like(value) for name, value in self.points.items()}

    def covariance(self) -> Arrays:
        """Site name -> ``[size, size]`` of the flattened site, for those that are not points.

        Raises:
            ModelError: If a site has more than 10,000 numbers.
        """
        largest = max(self.flat_sites, key=size_of)
        if size_of(largest) > MAX_COVARIANCE:
            raise ModelError(
                f"The covariance of the {size_of(largest):,} numbers of {largest.name!r} is too "
                "large to write out. Use stddev()."
            )
        blocks = {
            site.name: self.normal.covariance(end - size_of(site), end)
            for site, end in zip(self.flat_sites, self.ends, strict=True)
        }
        curved = {name: self.draws[name] for name in self._curved}
        return blocks | (Posterior(curved).covariance() if curved else {})

    @property
    def _curved(self) -> list[str]:
        return [site.name for site in self.flat_sites if site.bijector is not None]

    def predictive_of(
        self, model: Any, x: Any, draws: int, seed: int, **options: Any
    ) -> Predictive:
        """What the model says of inputs under this posterior."""
        from .. import linearized

        if self.linearized is None:
            return Predictive(model, self, x, draws, seed, **options)
        if self.linearized == "draws":
            return Predictive(self._linear_model, self, x, draws, seed, **options)
        return linearized.closed_form(model, self, x, seed)

    @cached_property
    def _linear_model(self) -> Any:
        from ..linearized import LinearizedNetwork

        return LinearizedNetwork(self.model, self)

    def to_netcdf(self, path: str | Path) -> None:
        """Write a file that ArviZ reads, and ``read_normal`` with the normal itself."""
        import xarray as xr

        size = sum(draws.dtype.itemsize * draws[0, 0].size for draws in self.draws.values())
        count = int(np.clip(STORED_BYTES // size, 1, self.num_draws))
        Posterior({name: value[:, :count] for name, value in self.draws.items()}).to_netcdf(path)
        arrays = self.normal.arrays()
        variables = {n: ([f"{n}_dim_{i}" for i in range(v.ndim)], v) for n, v in arrays.items()}
        notes = {
            "kind": self.normal.kind,
            "names": json.dumps([site.name for site in self.flat_sites]),
            "linearized": self.linearized or "",
        }
        own = xr.Dataset(variables, attrs=notes)
        own.to_netcdf(path, mode="a", group=GROUP, engine="h5netcdf")


def read_normal(path: str | Path, model: Any) -> Posterior:
    """Read what ``NormalPosterior.to_netcdf`` wrote; without a model, its draws."""
    import xarray as xr

    drawn = Posterior.from_netcdf(path, independent=True)
    if model is None:
        return drawn
    with xr.open_dataset(path, group=GROUP, engine="h5netcdf") as stored:
        arrays = {str(name): value.values for name, value in stored.data_vars.items()}
        notes = dict(stored.attrs)
    names = json.loads(notes["names"])
    points = {name: value[0, 0] for name, value in drawn.draws.items() if name not in names}
    normal = KINDS[notes["kind"]].from_arrays(arrays)
    return NormalPosterior(model, normal, names, points, notes["linearized"] or None)


def sites_of(model: Any, names: Sequence[str]) -> tuple[Site, ...]:
    """The sites of these names; any weight of the net is one."""
    known = {site.name: site for site in model.sites}
    weights = functional.site_names(model.net)
    return tuple(
        known[name]
        if name in known
        else Site(
            name,
            tuple(weights[name].shape),
            None,
            keras.backend.standardize_dtype(weights[name].dtype),
        )
        for name in names
    )


def size_of(site: Site) -> int:
    """How many numbers a site holds."""
    return int(np.prod(site.shape))
