"""A run's draws from ``posterior.nc``, by site and by label of an element, without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from tfbdl.errors import RunError, did_you_mean
from tfbdl.runs import POSTERIOR, RunFolder

CONSTANT = "posterior_constant"
"""The group of sites that one array stands for in all draws."""
_LABEL = re.compile(r"(?P<site>.+?)(?:\[(?P<index>[\d,\s]+)\])?")
_CHUNK = 4096  # elements in float64 at a time


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
            RunError: If the run has no such element.
        """
        match = _LABEL.fullmatch(label)
        site = match["site"] if match else label
        if site not in self.sites:
            raise RunError(
                f"The run has no site {site!r}.{did_you_mean(site, self.sites)} "
                f"Known: {', '.join(self.sites)}."
            )
        values = self.sites[site]
        index = tuple(int(i) for i in match["index"].split(",")) if match and match["index"] else ()
        shape = values.shape[2:]
        if len(index) != len(shape) or any(i >= n for i, n in zip(index, shape, strict=False)):
            raise RunError(f"The site {site!r} has the shape {list(shape)}. Received: {label!r}.")
        place: Any = (slice(None), slice(None), *index)
        return np.asarray(values[place], np.float64)

    def labels(self, site: str | None = None) -> Iterator[str]:
        """The labels of the elements of one site or of all, in order."""
        for name in self.sites if site is None else (site,):
            shape = self.sites[name].shape[2:]
            for index in np.ndindex(*shape):
                yield label_of(name, index)

    def find(self, text: str = "", site: str | None = None, most: int = 500) -> list[str]:
        """The first ``most`` labels that contain a text; case and spaces do not matter."""
        wanted = _bare(text)
        found = (label for label in self.labels(site) if not wanted or wanted in _bare(label))
        return list(islice(found, most))

    def most_certain(self, text: str = "", site: str | None = None, most: int = 60) -> list[str]:
        """Labels of the elements whose mean is most standard deviations away from zero.

        Args:
            text, site: As in ``find``.
            most: How many at the most.
        """
        wanted = _bare(text)
        found: list[tuple[float, str]] = []
        for name in self.sites if site is None else (site,):
            mean, sd = self.moments[name]
            ratio = np.divide(np.abs(mean), sd, out=np.zeros_like(mean), where=sd > 0)
            ratio = np.where(np.isfinite(ratio), ratio, 0.0)
            shape = self.sites[name].shape[2:]
            ranked = (
                (float(ratio[i]), label_of(name, np.unravel_index(i, shape)))
                for i in np.argsort(-ratio, kind="stable")
            )
            found += islice((pair for pair in ranked if wanted in _bare(pair[1])), most)
        return [label for _, label in sorted(found, key=lambda pair: -pair[0])[:most]]

    @cached_property
    def moments(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Site name -> mean and standard deviation of its flattened elements."""
        return {name: _moments(values) for name, values in self.sites.items()}


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


def label_of(site: str, index: Sequence[int]) -> str:
    """``"scale"``, or ``"dense.kernel[0, 1]"``."""
    return f"{site}[{', '.join(str(int(i)) for i in index)}]" if len(index) else site


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


def _bare(text: str) -> str:
    return text.replace(" ", "").lower()
