"""A run's draws from ``posterior.nc``, by site and by label of an element, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from tfbdl.errors import RunError
from tfbdl.labels import element_of, label_of
from tfbdl.runs import POSTERIOR, RunFolder

CONSTANT = "posterior_constant"
"""The group of sites that one array stands for in all draws."""
_CHUNK = 4096  # elements in float64 at a time
_OF_INDICES = "[],0123456789"


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws by site.

    Attributes:
        sites: Site name -> ``[chain, draw, ...]``.
        stats: Name of a sampler's statistic -> ``[chain, draw]``.
    """

    sites: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]

    @property
    def num_chains(self) -> int:
        """Chains; 1 for draws that are of none."""
        return int(next(iter(self.sites.values())).shape[0])

    @property
    def num_draws(self) -> int:
        """Draws of each chain."""
        return int(next(iter(self.sites.values())).shape[1])

    @property
    def num_elements(self) -> int:
        """Numbers of one state."""
        return sum(size_of(values) for values in self.sites.values())

    def element(self, label: str) -> np.ndarray:
        """The draws of one element, ``[chain, draw]`` in float64.

        Args:
            label: Such as ``"scale"`` or ``"dense.kernel[0, 1]"``.

        Raises:
            OptionsError: If the run has no such element.
        """
        site, index = self.place(label)
        place: Any = (slice(None), slice(None), *index)
        return np.asarray(self.sites[site][place], np.float64)

    def place(self, label: str) -> tuple[str, tuple[int, ...]]:
        """The site and the index of an element.

        Raises:
            OptionsError: If the run has no such element.
        """
        return element_of(label, {name: values.shape[2:] for name, values in self.sites.items()})

    def find(self, text: str = "", site: str | None = None, most: int = 500) -> list[str]:
        """The first ``most`` labels that contain a text; case and spaces do not matter."""
        names = self.sites if site is None else (site,)
        orders = ((name, np.arange(size_of(self.sites[name]))) for name in names)
        found = (label for name, order in orders for _, label in self._matching(name, order, text))
        return list(islice(found, most))

    def most_certain(self, text: str = "", site: str | None = None, most: int = 60) -> list[str]:
        """Labels of the elements whose mean is most standard deviations away from zero.

        Args:
            text, site: As in ``find``.
            most: How many at the most.
        """
        found: list[tuple[float, str]] = []
        for name in self.sites if site is None else (site,):
            ratio, order = self.ranking[name]
            matching = islice(self._matching(name, order, text), most)
            found += ((float(ratio[i]), label) for i, label in matching)
        return [label for _, label in sorted(found, key=lambda pair: -pair[0])[:most]]

    def _matching(self, site: str, order: np.ndarray, text: str) -> Iterator[tuple[int, str]]:
        """The places and labels of a site's elements, in an order, that contain a text."""
        wanted, bare = _bare(text), _bare(site)
        all_of_them = wanted in bare
        if not all_of_them and wanted.rstrip(_OF_INDICES) not in bare:
            return  # more than an index is wanted, and the site does not have it
        shape = self.sites[site].shape[2:]
        for start in range(0, len(order), _CHUNK):
            places = order[start : start + _CHUNK]
            axes = [axis.tolist() for axis in np.unravel_index(places, shape)] if shape else []
            indices = zip(*axes, strict=True) if axes else [()] * len(places)
            for place, index in zip(places.tolist(), indices, strict=True):
                label = label_of(site, index)
                if all_of_them or wanted in _bare(label):
                    yield place, label

    @cached_property
    def moments(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Site name -> mean and standard deviation of its flattened elements."""
        return {name: _moments(values) for name, values in self.sites.items()}

    @cached_property
    def ranking(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Site name -> ``|mean| / sd`` of its flattened elements, and their order, greatest first.

        Elements without a spread come last.
        """
        return {name: _ranked(mean, sd) for name, (mean, sd) in self.moments.items()}


def read(path: Path) -> Draws:
    """Read ``posterior.nc``.

    Raises:
        RunError: If it cannot be read.
    """
    import xarray as xr

    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            sites = {str(n): v.values for n, v in tree["posterior"].data_vars.items()}
            stats = tree["sample_stats"].data_vars if "sample_stats" in tree else {}
            if CONSTANT in tree:
                leading = next(iter(sites.values())).shape[:2]
                for name, variable in tree[CONSTANT].data_vars.items():
                    value = variable.values
                    sites[str(name)] = np.broadcast_to(value, (*leading, *value.shape))
                sites = {name: sites[name] for name in tree[CONSTANT].attrs["sites"].split("/")}
            return Draws(sites=sites, stats={str(n): v.values for n, v in stats.items()})
    except (OSError, KeyError, ValueError, StopIteration):
        raise RunError(
            f"{POSTERIOR} of this run cannot be read: it was cut short or altered."
        ) from None


def draws_of(folder: RunFolder) -> Draws | None:
    """The draws that a run left, read once for each writing; None if it left none.

    Raises:
        RunError: If they cannot be read.
    """
    path = folder.path / POSTERIOR
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _read_once(str(path), changed)


def size_of(values: np.ndarray) -> int:
    """Elements of a site's draws ``[chain, draw, ...]``."""
    return int(np.prod(values.shape[2:]))


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_once(path: str, changed: int) -> Draws:
    return read(Path(path))


def is_constant(values: np.ndarray) -> bool:
    """Whether one array stands for all draws ``[chain, draw, ...]``."""
    return values.strides[:2] == (0, 0)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if is_constant(values):
        return values[0, 0].reshape(-1).astype(np.float64), np.zeros(size_of(values))
    flat = values.reshape(-1, size_of(values))
    mean, sd = np.empty(flat.shape[1]), np.empty(flat.shape[1])
    for start in range(0, flat.shape[1], _CHUNK):
        part = flat[:, start : start + _CHUNK].astype(np.float64)
        mean[start : start + _CHUNK] = part.mean(axis=0)
        sd[start : start + _CHUNK] = part.std(axis=0)
    return mean, sd


def _ranked(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ratio = np.divide(np.abs(mean), sd, out=np.zeros_like(mean), where=sd > 0)
    ratio = np.where(np.isfinite(ratio), ratio, 0.0)
    return ratio, np.argsort(-ratio, kind="stable")


def _bare(text: str) -> str:
    return text.replace(" ", "").lower()
