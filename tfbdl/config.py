"""Options: frozen pydantic models that serve Python, the command line, run.json and forms alike.

A plugin declares its options once::

    class Options(tfbdl.Config):
        latent_dim: int = tfbdl.Field(10, ge=1, description="Size of the latent space.")

and every face of tfbdl reads the same schema.
"""

from __future__ import annotations

import contextlib
import json
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pydantic
from pydantic import Field

from .arrays import Array, Arrays
from .errors import OptionsError, SpecError, did_you_mean

__all__ = [
    "SET_BY_SHOW",
    "Array",
    "Arrays",
    "Config",
    "Field",
    "OptionField",
    "check_choice",
    "check_whole",
    "fields_of",
    "from_text",
    "make",
]

C = TypeVar("C", bound="Config")
Kind = Literal["bool", "int", "float", "str", "choice", "list", "array", "arrays"]
_SCALARS: Mapping[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
_NESTED: Mapping[Any, Kind] = {Array: "array", Arrays: "arrays"}
_NONE_WORDS = ("none", "null")

SET_BY_SHOW: dict[str, Any] = {"set_by_show": True}
"""The ``json_schema_extra`` of a panel's control that its picture alone sets: it has no widget."""


class Config(pydantic.BaseModel):
    """Base class of all options: frozen, without unknown fields, plain values only."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        ser_json_inf_nan="strings",
        protected_namespaces=(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionField:
    """One option, as a command line or a form reads it.

    Attributes:
        name: The field's name.
        kind: What a form shows: a switch, a number, a text, a choice, a list, an array (numbers
            in nested lists), or arrays by name; the last two are JSON on a command line.
        item: For a list, the kind of its items; ``arrays`` for a choice that admits arrays by name
            instead; otherwise equal to ``kind``.
        optional: Whether ``None`` is allowed.
        default: The default, or ``...`` if the option must be given.
        description: One sentence.
        low, high: Bounds of a number, or None; ``low_open`` and ``high_open`` exclude the bound.
        choices: The admitted values of a choice.
        set_by_show: Whether the picture of a panel sets it, so that a form has no widget for it.
    """

    name: str
    kind: Kind
    item: Kind
    optional: bool
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[Any, ...] = ()
    set_by_show: bool = False

    @property
    def required(self) -> bool:
        """Whether the option has no default."""
        return self.default is ...


def fields_of(config: type[Config]) -> tuple[OptionField, ...]:
    """The options of ``config``, in the order of their declaration.

    Raises:
        SpecError: If ``config`` is no subclass of Config, a field has no description, or a field
            has a type that a command line and a form cannot show.
    """
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise SpecError(f"Options must be a subclass of tfbdl.Config. Received: {config!r}.")
    return tuple(_option_field(config, name) for name in config.model_fields)


def make(config: type[C], values: Mapping[str, Any], group: str = "options") -> C:
    """Build ``config`` from plain values.

    Args:
        config: The options' class.
        values: Option name -> value.
        group: What to call the options in an error, for example ``"engine options of 'nuts'"``.

    Raises:
        OptionsError: If an option is unknown, missing, or its value is not admitted.
    """
    known = {field.name: field for field in fields_of(config)}
    for name in values:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise OptionsError(
                f"The {group} have no {name!r}.{did_you_mean(name, known)} Known: {listed}."
            )
    try:
        return config(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # a validator of the whole model: its message stands alone
            raise OptionsError(f"The {group} do not fit together: {first['msg']}.") from None
        name = str(first["loc"][0])
        received = f" Received: {values[name]!r}." if name in values else " It was not given."
        expected = expected_text(known[name]) if name in known else first["msg"]
        detail = _explanation(error, name, values.get(name))
        raise OptionsError(
            f"{name!r} of the {group} must be {expected}.{detail}{received}"
        ) from None


def check_choice(name: str, value: Any, admitted: Sequence[str]) -> None:
    """Refuse a word that an argument of a constructor does not admit.

    Raises:
        OptionsError: With the words that it admits, and the nearest of them.
    """
    if value not in admitted:
        raise OptionsError(
            f"{name} must be one of {', '.join(admitted)}."
            f"{did_you_mean(str(value), admitted)} Received: {value!r}."
        )


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """A number that counts something, as an argument of a constructor or a query.

    Args:
        name: Of the argument.
        value: What was given; an integer of Python or NumPy, and no boolean.
        least: The least that is admitted.

    Returns:
        ``value`` as an int.

    Raises:
        OptionsError: If it is no integer, or below ``least``.
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise OptionsError(f"{name} must be an integer of at least {least}. Received: {value!r}.")
    return int(value)


def _explanation(error: pydantic.ValidationError, name: str, value: Any) -> str:
    """What a validator said of an option beyond its type, or an empty text.

    Of a choice that admits arrays too, a text is a misspelt word, whatever the arrays say.
    """
    errors = [e for e in error.errors() if e["loc"][0] == name]
    if isinstance(value, str):
        errors = errors[:1]
    said = [e["msg"].removeprefix("Value error, ") for e in errors if e["type"] == "value_error"]
    return f" {said[0]}." if said else ""


def from_text(config: type[Config], values: Mapping[str, str]) -> dict[str, Any]:
    """Turn the texts of a command line into plain values; what is no option passes unchanged.

    ``none`` stands for None where it is admitted, commas part the items of a list (brackets around
    it may stand; texts that hold commas themselves are a list in JSON), and arrays are JSON.
    """
    known = {field.name: field for field in fields_of(config)}
    return {
        name: _plain(known[name], text) if name in known else text for name, text in values.items()
    }


def expected_text(field: OptionField) -> str:
    """Say what ``field`` admits: ``"an integer of at least 1, or none"``."""
    if field.kind == "choice":
        text = "one of " + ", ".join(repr(choice) for choice in field.choices)
        if field.item == "arrays":
            text += ", or a mapping from names to nested lists of numbers"
    else:
        text = {
            "bool": "true or false",
            "int": "an integer",
            "float": "a finite number",
            "str": "a text",
            "list": f"a list of {field.item} values separated by commas",
            "array": "a number or nested lists of numbers",
            "arrays": "a mapping from names to nested lists of numbers",
        }[field.kind]
    bounds = []
    if field.low is not None:
        bounds.append(f"{'above' if field.low_open else 'of at least'} {field.low:g}")
    if field.high is not None:
        bounds.append(f"{'below' if field.high_open else 'at most'} {field.high:g}")
    return " ".join(filter(None, [text, " and ".join(bounds)])) + (
        ", or none" if field.optional else ""
    )


def _plain(field: OptionField, text: str) -> Any:
    if field.optional and text.lower() in _NONE_WORDS:
        return None
    if field.kind == "list":
        return _items(field, text)
    if field.item in ("array", "arrays") and text not in map(str, field.choices):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if field.kind == "choice":
        return next((c for c in field.choices if str(c) == text), text)
    return text


def _items(field: OptionField, text: str) -> tuple[str, ...]:
    if field.item == "str" and text.startswith("["):
        with contextlib.suppress(ValueError):  # no JSON: commas part it
            items = json.loads(text)
            if all(isinstance(item, str) for item in items):
                return tuple(items)
    return tuple(item.strip() for item in text.strip("[]").split(",") if item.strip())


def _option_field(config: type[Config], name: str) -> OptionField:
    info = config.model_fields[name]
    where = f"{config.__name__}.{name}"
    if not info.description:
        raise SpecError(
            f"{where} has no description. Declare it with tfbdl.Field(..., description=...)."
        )
    optional, hint = _without_none(info.annotation)
    choices: tuple[Any, ...] = ()
    item: Kind
    if typing.get_origin(hint) is Literal:
        kind: Kind = "choice"
        item, choices = kind, typing.get_args(hint)
    elif hint in _SCALARS:
        kind = item = _SCALARS[hint]
    elif hint in _NESTED:
        kind = item = _NESTED[hint]
    elif _is_choice_or_arrays(hint):
        kind, item, choices = "choice", "arrays", typing.get_args(typing.get_args(hint)[0])
    elif typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (Ellipsis,):
        if typing.get_args(hint)[0] not in _SCALARS:
            raise SpecError(_unsupported(where, hint))
        kind, item = "list", _SCALARS[typing.get_args(hint)[0]]
    else:
        raise SpecError(_unsupported(where, hint))
    extra = info.json_schema_extra
    bounds: dict[str, Any] = {}
    for rule in info.metadata:
        for attribute, key, is_open in (
            ("ge", "low", False),
            ("gt", "low", True),
            ("le", "high", False),
            ("lt", "high", True),
        ):
            if getattr(rule, attribute, None) is not None:
                bounds[key], bounds[f"{key}_open"] = float(getattr(rule, attribute)), is_open
    return OptionField(
        name=name,
        kind=kind,
        item=item,
        optional=optional,
        default=... if info.is_required() else info.get_default(call_default_factory=True),
        description=info.description,
        choices=choices,
        set_by_show=isinstance(extra, dict) and bool(extra.get("set_by_show")),
        **bounds,
    )


def _without_none(hint: Any) -> tuple[bool, Any]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return True, rest[0]
    return False, hint


def _is_choice_or_arrays(hint: Any) -> bool:
    """Whether ``hint`` is ``Literal[...] | Arrays``."""
    parts = typing.get_args(hint)
    return len(parts) == 2 and typing.get_origin(parts[0]) is Literal and parts[1] is Arrays


def _unsupported(where: str, hint: Any) -> str:
    return (
        f"{where} has the type {hint}, which a command line and a form cannot show. Use bool, int, "
        "float, str, Literal[...] or tuple[<one of these>, ...], Array or Arrays, or any of them | "
        "None."
    )
