"""Discovery of plugins by their entry points, and what they provide, by kind and name.

Each plugin is loaded, checked and asked alone. What is wrong with one is a Problem to be shown,
and never keeps another from working.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Generic, TypeVar

from ._examine import AnySpec, PluginError, examine, examining
from ._probing import probe
from .errors import MissingDependencyError, SpecError, UnknownNameError, did_you_mean
from .hookspecs import GROUP
from .specs import (
    KINDS,
    DatasetSpec,
    EngineSpec,
    Factory,
    ModelSpec,
    PanelSpec,
    PriorSpec,
)

__all__ = [
    "Catalog",
    "Problem",
    "Provider",
    "Registry",
    "discover",
    "load",
    "registry",
    "resolve",
]

OWN = "tfbdl"
DISABLE_VARIABLE = "TFBDL_DISABLE_PLUGINS"
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, order=True)
class Provider:
    """Where a contribution comes from: an entry point of an installed distribution."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Problem:
    """Something wrong with one plugin; the others still work.

    Attributes:
        provider: The plugin.
        stage: ``discovery``, ``import``, ``hooks``, ``specs`` or ``names``.
        message: What is wrong.
        advice: What to do.
    """

    provider: Provider
    stage: str
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.provider}: {self.stage}: {self.message} {self.advice}"


class Catalog(Mapping[str, T_co], Generic[T_co]):
    """Contributions of one kind, by name and in alphabetical order.

    Args:
        kind: What an entry is called in errors.
        entries: Name -> entry and its provider.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, tuple[T_co, Provider]] | None = None
    ) -> None:
        self.kind = kind
        self._entries = {} if entries is None else entries

    def __getitem__(self, name: str) -> T_co:
        """The entry named ``name``.

        Raises:
            UnknownNameError: If there is none; the message has the nearest name.
        """
        return self._entry(name)[0]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{len(self)} {self.kind}s: {', '.join(self) or 'none'}>"

    def provider(self, name: str) -> Provider:
        """Who gave the entry named ``name``.

        Raises:
            UnknownNameError: If there is none.
        """
        return self._entry(name)[1]

    def _entry(self, name: str) -> tuple[T_co, Provider]:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self.kind, name, self._entries) from None


@dataclass(frozen=True)
class Registry:
    """All that the installed plugins provide, and what is wrong with those left out."""

    models: Catalog[ModelSpec]
    engines: Catalog[EngineSpec]
    priors: Catalog[PriorSpec]
    datasets: Catalog[DatasetSpec]
    panels: Catalog[PanelSpec]
    plugins: Catalog[Provider]
    providers: list[Provider] = field(default_factory=list, init=False)
    problems: list[Problem] = field(default_factory=list, init=False)

    def catalog(self, kind: str) -> Catalog[Any]:
        """The catalog of a kind of ``tfbdl.specs.KINDS``, such as ``"model"``."""
        found: Catalog[Any] = getattr(self, f"{kind}s")
        return found


_lock = threading.RLock()
_loaded: list[Registry] = []


def registry() -> Registry:
    """The registry of this process, built on first use.

    Raises:
        SpecError: If a plugin asks for it while it is itself being loaded.
    """
    with _lock:
        if examining():
            raise SpecError(
                "A plugin must not read tfbdl's registry while it is being loaded. "
                "Do it in the module that its factory's address names."
            )
        if not _loaded:
            names = os.environ.get(DISABLE_VARIABLE, "").split(",")
            points, problems = discover()
            found = load(points, frozenset(name.strip() for name in names if name.strip()))
            found.problems[:0] = problems
            _loaded.append(found)
        return _loaded[0]


def discover(
    path: Iterable[str] | None = None,
) -> tuple[list[EntryPoint], list[Problem]]:
    """The entry points of group ``tfbdl`` in the installed distributions, and unreadable ones.

    Args:
        path: Folders to search instead of ``sys.path``.
    """
    found: list[EntryPoint] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for distribution in metadata.distributions(path=sys.path if path is None else list(path)):
        try:
            listed = distribution.read_text("entry_points.txt") or ""
            if GROUP not in listed:  # spares parsing the metadata of all that is installed
                continue
            points = [point for point in distribution.entry_points if point.group == GROUP]
            name = _canonical(distribution.name) if points else ""
        except Exception as error:
            place = getattr(distribution, "_path", None)
            provider = Provider("(unknown)", Path(place).name if place else "(unknown)", "")
            message = f"Its metadata cannot be read: {type(error).__name__}: {error}."
            problems.append(Problem(provider, "discovery", message, "Install it anew."))
            continue
        # Of two distributions with one name, the first on the path is the one that is imported.
        if points and name not in seen:
            seen.add(name)
            found += points
    return found, problems


def load(
    points: Iterable[EntryPoint],
    blocked: frozenset[str] = frozenset(),
    *,
    seconds: float | None = None,
    cache: Path | None = None,
) -> Registry:
    """Build a registry: tfbdl's own plugins first, then by distribution and name.

    Args:
        points: Entry points; duplicates count once.
        blocked: Names of entry points or distributions to leave out.
        seconds: Time limit of each probe process; see :func:`tfbdl._probing.probe`.
        cache: Folder where the results of probes are remembered.
    """
    chosen = _chosen(points, {_canonical(name) for name in blocked})
    foreign = [key for key in chosen if key[1] != OWN]
    probed = probe([chosen[key] for key in foreign], seconds=seconds, cache=cache)
    faults = dict(zip(foreign, probed, strict=True))
    entries: dict[str, dict[str, tuple[Any, Provider]]] = {kind: {} for kind in (*KINDS, "plugin")}
    found = Registry(**{f"{kind}s": Catalog(kind, entries[kind]) for kind in entries})
    for key, point in chosen.items():
        provider, fault = _provider(point), faults.get(key)
        try:
            if fault is not None:
                raise fault
            specs = examine(point)
        except PluginError as error:
            advice = f"{error.advice} {_block(provider)}"
            found.problems.append(Problem(provider, error.stage, error.message, advice))
            continue
        found.providers.append(provider)
        name = point.name
        if name in entries["plugin"]:
            name = f"{provider.distribution}:{point.name}"
        entries["plugin"][name] = provider, provider
        found.problems.extend(_add(entries, specs, provider))
    return found


def resolve(factory: Factory, provider: Provider | None = None) -> Any:
    """The object that ``factory`` is or whose address it is: the one dynamic import.

    Args:
        factory: ``"package.module:attribute"``, or an object, which is returned as it is.
        provider: Whom to name in an error; by default who gave the address to the registry.

    Raises:
        SpecError: If there is no such module or attribute.
        MissingDependencyError: If the module needs a package that is not installed.
    """
    if not isinstance(factory, str):
        return factory
    module_name, _, attribute = factory.partition(":")
    source = provider or _provider_of(factory)
    given = f"{factory!r}, given by {source}," if source else f"{factory!r}"
    try:
        module = importlib.import_module(module_name)
    except MissingDependencyError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module_name}.".startswith(f"{missing}."):
            raise SpecError(
                f"{given} points to a module that does not exist: {missing!r}."
            ) from error
        raise MissingDependencyError(
            f"{given} needs the module {missing!r}, which is not installed. "
            "Install the package that brings it."
        ) from error
    except ImportError as error:
        raise SpecError(f"{given} cannot be imported: {error}.") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = did_you_mean(attribute, [name for name in dir(module) if not name.startswith("_")])
        message = f"{given} points to nothing: {module_name} has no attribute {attribute!r}.{hint}"
        raise SpecError(message) from None


def _chosen(points: Iterable[EntryPoint], blocked: set[str]) -> dict[tuple[str, ...], EntryPoint]:
    """(rank, distribution, name, value) -> entry point, without duplicates, in loading order."""
    found: dict[tuple[str, ...], EntryPoint] = {}
    for point in points:
        distribution = _canonical(_provider(point).distribution)
        if not blocked & {_canonical(point.name), distribution}:
            rank = "0" if distribution == OWN else "1"
            found.setdefault((rank, distribution, point.name, point.value), point)
    return dict(sorted(found.items()))


def _add(
    entries: Mapping[str, dict[str, tuple[Any, Provider]]],
    specs: Iterable[AnySpec],
    provider: Provider,
) -> Iterator[Problem]:
    for spec in specs:
        taken = entries[spec.kind]
        if spec.name in taken:
            first = taken[spec.name][1]
            yield Problem(
                provider,
                "names",
                f"The {spec.kind} {spec.name!r} is already given by {first}; "
                f"that of {provider} is left out.",
                f"Rename one of them. {_block(provider)}",
            )
        else:
            taken[spec.name] = spec, provider


def _block(provider: Provider) -> str:
    own = _canonical(provider.distribution) == OWN
    remove = "" if own else f"pip uninstall {provider.distribution}, or "
    return f"To do without it: {remove}set {DISABLE_VARIABLE}={provider.plugin}."


def _provider(point: EntryPoint) -> Provider:
    name, version = "(unknown)", "(unknown)"
    with contextlib.suppress(Exception):  # metadata of others: any fault leaves it unknown
        if point.dist is not None:
            name, version = point.dist.name or name, point.dist.version or version
    return Provider(point.name, name, version)


def _provider_of(address: str) -> Provider | None:
    """Who gave ``address``, if the registry has been read already."""
    for kind in KINDS if _loaded else ():
        catalog = _loaded[0].catalog(kind)
        for name, spec in catalog.items():
            if address in (getattr(spec, slot, None) for slot in ("factory", "compute", "show")):
                return catalog.provider(name)
    return None


def _canonical(name: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
