"""What a plugin hands to tfbdl, and what a run is: small frozen descriptions of plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import pydantic

from .arrays import to_plain
from .config import Config, fields_of, make
from .errors import SpecError, did_you_mean

Factory = str | Callable[..., Any]
"""An object, or its address ``"package.module:attribute"``, imported on first use."""

DATA_VARIABLE = "TFBDL_DATA"
"""The environment variable that names the folder of data sets which are not bundled."""

KINDS = ("model", "engine", "prior", "dataset", "panel")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ADDRESS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Capability(StrEnum):
    """What a model offers, and so which engines can fit it (each name is a protocol)."""

    TRAINABLE = "trainable"
    LOG_JOINT = "log_joint"
    NETWORK = "network"
    CONDITIONALS = "conditionals"
    GAUSSIAN_PRIOR = "gaussian_prior"
    EM = "em"
    EXACT = "exact"
    POTTS = "potts"


def capabilities(names: Iterable[str]) -> frozenset[Capability]:
    """Turn names into capabilities.

    Raises:
        SpecError: If a name is no capability.
    """
    known = [capability.value for capability in Capability]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise SpecError(f"No capability is named {name!r}.{hint} Known: {', '.join(known)}.")
    return frozenset(Capability(name) for name in names)


class NoOptions(Config):
    """The options of what has none."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every contribution of a plugin says of itself.

    Attributes:
        name: The word users type: lower case, digits and underscores; unique within its kind.
        summary: One line.
        factory: The object that makes it, or its address ``"package.module:attribute"``.
        config: Its options, a subclass of Config.
        references: Papers or books, with equation numbers where they help.
    """

    kind: ClassVar[str] = ""

    name: str
    summary: str
    factory: Factory
    config: type[Config] = NoOptions
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if not (
            isinstance(self.summary, str) and self.summary.strip() and "\n" not in self.summary
        ):
            raise SpecError(
                f"{self.name}: the summary must be one line. Received: {self.summary!r}."
            )
        check_address(self.name, self.factory)
        fields_of(self.config)
        object.__setattr__(self, "references", tuple(self.references))


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A model: ``factory(options, info, prior, seed) -> model``.

    ``info`` is the DataInfo of the training data and ``prior`` a Prior, or None if the model has
    no ``default_prior`` and none was asked for. ``missing_values`` says that NaN in the data
    stands for a value that was not observed, which the model can do without. Data are taken in
    the precision of the model's option ``dtype``, if it has one, else in Keras' own.
    ``max_classes`` is 2 for a model that tells two classes apart and no more. ``symbols`` says
    that rows are sequences of symbols 0, 1, ..., K - 1, such as the characters of a text, with K in
    the description's ``num_classes``.
    """

    kind: ClassVar[str] = "model"

    task: str
    capabilities: frozenset[Capability]
    default_engine: str
    default_prior: str | None = None
    missing_values: bool = False
    max_classes: int | None = None
    symbols: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "capabilities", capabilities(self.capabilities))


@dataclass(frozen=True, kw_only=True)
class EngineSpec(Spec):
    """An inference engine: ``factory(options)`` has ``fit(model, data, context) -> EngineResult``.

    ``needs`` holds alternatives: sets of capabilities, one of which a model must offer whole.
    """

    kind: ClassVar[str] = "engine"

    needs: tuple[frozenset[Capability], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.needs, (str, frozenset, set)) or not self.needs:
            raise SpecError(
                f"{self.name}: needs must be a tuple of sets, each an alternative. "
                f"Received: {self.needs!r}."
            )
        object.__setattr__(self, "needs", tuple(capabilities(n) for n in self.needs))

    def fits(self, offered: Iterable[Capability]) -> bool:
        """Whether a model that offers these capabilities can be fitted by this engine."""
        return any(need <= frozenset(offered) for need in self.needs)


@dataclass(frozen=True, kw_only=True)
class PriorSpec(Spec):
    """A prior over tensors: ``factory(options)`` is a ``tfbdl.distributions.Prior``."""

    kind: ClassVar[str] = "prior"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set: ``factory(options)`` is a ``tfbdl.Dataset``."""

    kind: ClassVar[str] = "dataset"

    task: str = "supervised"


@dataclass(frozen=True, kw_only=True)
class PanelSpec:
    """A panel of the dashboard.

    ``compute(fit, controls) -> {name: array}`` runs beside the model, ``show(st, arrays)`` in the
    dashboard's server, without TensorFlow. A panel stands with the runs of its models and with
    those of its engines. One that names neither needs no run: it is a demonstration, and ``fit`` is
    None.

    ``show`` may return ``{control: value}`` when its picture was used, such as clicked: the panel
    is then computed and drawn anew with these values. A control that is declared with
    ``json_schema_extra=tfbdl.config.SET_BY_SHOW`` has no widget beside the picture.
    """

    kind: ClassVar[str] = "panel"

    name: str
    compute: Factory
    show: Factory
    controls: type[Config] = NoOptions
    models: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_address(self.name, self.compute)
        check_address(self.name, self.show)
        for control in fields_of(self.controls):
            if control.set_by_show and control.required:
                raise SpecError(
                    f"{self.name}: the control {control.name!r} is set by show alone, which is "
                    "drawn after compute. Expected: a default."
                )
        for what in ("models", "engines"):
            if isinstance(getattr(self, what), str):
                raise SpecError(
                    f"{self.name}: {what} must be a tuple of names. "
                    f"Received: {getattr(self, what)!r}."
                )
            object.__setattr__(self, what, tuple(getattr(self, what)))

    @property
    def is_demonstration(self) -> bool:
        """Whether the panel needs no run."""
        return not (self.models or self.engines)

    def controls_after(self, controls: Mapping[str, Any], returned: Any) -> dict[str, Any]:
        """All controls of a panel after it was drawn, as plain values.

        Args:
            controls: Those that it was computed with; what is left out is at its default.
            returned: What ``show`` returned: the values that it sets, or None.

        Raises:
            SpecError: If ``show`` returned something else.
            OptionsError: If it set a control that there is not, or to what is not admitted.
        """
        if returned is not None and not isinstance(returned, Mapping):
            raise SpecError(
                f"{self.name}: show must return None, or a mapping from names of controls to "
                f"values. Received: a {type(returned).__name__}."
            )
        given = {**controls, **to_plain(returned or {})}
        found = make(self.controls, given, f"controls of panel {self.name!r}")
        return found.model_dump(mode="json")

    def fits(self, model: str | None, engine: str | None) -> bool:
        """Whether the panel shows something of a run of this model by this engine."""
        return model in self.models or engine in self.engines


class RunSpec(pydantic.BaseModel):
    """One run in plain values: what Python, the command line and the dashboard all write.

    ``model`` or ``data`` is None where an object was given in its place; ``fingerprints`` then
    identifies the objects, so that a run is resumed with the same ones alone.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None
    data: str | None = None
    engine: str | None = None
    prior: str | None = None
    model_options: Mapping[str, Any] = {}
    engine_options: Mapping[str, Any] = {}
    prior_options: Mapping[str, Any] = {}
    data_options: Mapping[str, Any] = {}
    seed: int = pydantic.Field(0, ge=0, lt=2**63)
    fingerprints: Mapping[str, str] = {}

    @pydantic.field_validator(
        "model_options", "engine_options", "prior_options", "data_options", mode="before"
    )
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return to_plain(value)


def check_name(name: str) -> None:
    """Raise SpecError unless ``name`` may name a contribution."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise SpecError(
            f"{name!r} is not a name. Use lower case letters, digits and underscores, "
            "beginning with a letter."
        )


def check_address(name: str, factory: Factory) -> None:
    """Raise SpecError unless ``factory`` is callable or an address."""
    if callable(factory) or (isinstance(factory, str) and _ADDRESS.fullmatch(factory)):
        return
    raise SpecError(
        f"{name}: expected an object that can be called, or its address "
        f"'package.module:attribute'. Received: {factory!r}."
    )
