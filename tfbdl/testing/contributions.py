"""Checks of what a plugin names: that it is registered whole, and that its options round-trip."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from .. import registry as registry_module
from ..config import Config, OptionField, fields_of, from_text, make
from ..errors import OptionsError
from ..registry import resolve
from ..specs import KINDS, ModelSpec, PanelSpec
from .expect import require


def specs_of(plugin: str) -> Iterator[tuple[str, Any]]:
    """(kind, spec) of everything that a registered plugin provides."""
    known = registry_module.registry()
    provider = known.plugins[plugin]
    for kind in KINDS:
        catalog = known.catalog(kind)
        yield from ((kind, catalog[n]) for n in catalog if catalog.provider(n) == provider)


def check_registered(plugin: str) -> None:
    """The plugin is found, without a problem, and all that it names exists.

    Args:
        plugin: The name of its entry point, as ``tfbdl plugins`` shows it.

    Raises:
        AssertionError: If problems were reported, nothing is provided, or a model names an engine
            or a prior that does not exist or does not fit.
        SpecError: If an address points to nothing.
        UnknownNameError: If no plugin of that name is installed.
    """
    known = registry_module.registry()
    problems = [str(p) for p in known.problems if p.provider.plugin == plugin]
    require(not problems, "\n".join(problems))
    specs = list(specs_of(plugin))
    require(specs, f"The plugin {plugin!r} provides nothing.")
    for kind, spec in specs:
        addresses = (spec.compute, spec.show) if isinstance(spec, PanelSpec) else (spec.factory,)
        for address in addresses:
            require(
                callable(resolve(address, known.plugins[plugin])),
                f"The {kind} {spec.name!r}: {address!r} cannot be called.",
            )
        if isinstance(spec, ModelSpec):
            engine = known.engines[spec.default_engine]
            require(
                engine.fits(spec.capabilities),
                f"The model {spec.name!r} offers {', '.join(sorted(spec.capabilities))}, which is "
                f"not enough for its default engine {engine.name!r}.",
            )
            if spec.default_prior is not None:
                known.priors[spec.default_prior]
        if isinstance(spec, PanelSpec):
            for model in spec.models:
                known.models[model]
            for name in spec.engines:
                known.engines[name]


def check_options(kind: str, name: str) -> None:
    """Options go through JSON and through the texts of a command line; bounds are kept.

    Defaults, written as JSON or as flags, make equal options again, and a number just outside a
    bound is refused.

    Args:
        kind: ``model``, ``engine``, ``prior``, ``dataset`` or ``panel``.
        name: Of the contribution.

    Raises:
        AssertionError: If options change on the way, or a bound is not kept.
        OptionsError: If a default is not admitted.
    """
    spec = registry_module.registry().catalog(kind)[name]
    config: type[Config] = spec.controls if isinstance(spec, PanelSpec) else spec.config
    who = f"{kind} {name!r}"
    needed = {field.name: example(field) for field in fields_of(config) if field.required}
    options = make(config, needed, who)
    stored = json.loads(json.dumps(options.model_dump(mode="json")))
    require(
        make(config, stored, who) == options,
        f"The options of {who} are others after JSON: {options!r}, then {stored!r}.",
    )
    fields = fields_of(config)
    flags = {field.name: _as_flag(field, getattr(options, field.name)) for field in fields}
    require(
        make(config, from_text(config, flags), who) == options,
        f"The options of {who} are others after the command line: {options!r}, from {flags!r}.",
    )
    for field in fields_of(config):
        for outside in _outside(field):
            try:
                make(config, {**needed, field.name: outside}, who)
            except OptionsError:
                continue
            raise AssertionError(
                f"The option {field.name!r} of {who} admits {outside!r}, which its bounds exclude."
            )


def example(field: OptionField) -> Any:
    """A value for an option without a default."""
    if field.kind == "choice":
        return field.choices[0]
    if field.kind in ("int", "float"):
        low = field.low if field.low is not None else (field.high or 1) - 1
        return _type_of(field)(low + 1 if field.low_open else low)
    return {"bool": False, "str": "text", "list": (), "array": 0.0, "arrays": {}}[field.kind]


def _outside(field: OptionField) -> Iterator[Any]:
    """The numbers next to a bound that it excludes."""
    for bound, is_open, towards in (
        (field.low, field.low_open, -1),
        (field.high, field.high_open, 1),
    ):
        if bound is None or field.kind not in ("int", "float"):
            continue
        if field.kind == "int":
            yield int(bound) + (0 if is_open else towards)
        else:
            yield bound if is_open else math.nextafter(bound, towards * math.inf)


def _as_flag(field: OptionField, value: Any) -> str:
    if field.item in ("array", "arrays") and not isinstance(value, str | None):
        return json.dumps(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _type_of(field: OptionField) -> type:
    """The Python type of a number's kind."""
    return int if field.kind == "int" else float
