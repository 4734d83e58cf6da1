"""From the plain values of a run to a checked plan, before TensorFlow is loaded.

Everything that can be refused cheaply is refused here: unknown names, wrong options, a model and
an engine that cannot work together, a file that is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from . import config, specs
from . import registry as registry_module
from .config import Config, Field
from .errors import (
    CapabilityError,
    DataError,
    ModelError,
    OptionsError,
    UnknownNameError,
    did_you_mean,
)
from .registry import Registry
from .specs import (
    Capability,
    DatasetSpec,
    EngineSpec,
    ModelSpec,
    PanelSpec,
    PriorSpec,
    RunSpec,
)

__all__ = ["ObjectDataOptions", "Plan", "default_engine_for", "offered", "panels_for", "plan"]

FILE_DATASET = "file"
FILE_SUFFIXES = (".csv", ".tsv", ".parquet", ".npz")
# What an object must have, where it does not say itself what it offers: see tfbdl.protocols.
_ATTRIBUTES: Mapping[Capability, tuple[str, ...]] = {
    Capability.TRAINABLE: ("compile", "fit"),
    Capability.LOG_JOINT: ("sites", "init", "log_joint"),
    Capability.EM: ("e_step", "m_step", "log_likelihood"),
    Capability.EXACT: ("condition",),
    Capability.CONDITIONALS: ("conditionals",),
    Capability.GAUSSIAN_PRIOR: ("sites", "init", "gaussian_prior", "log_likelihood_total"),
    Capability.POTTS: ("edges", "num_sites", "num_states", "beta"),
}
# In the order in which they are preferred; exact answers come before draws.
_DEFAULT_ENGINES: Mapping[Capability, str] = {
    Capability.TRAINABLE: "variational",
    Capability.EXACT: "exact",
    Capability.EM: "em",
    Capability.POTTS: "swendsen_wang",
    Capability.LOG_JOINT: "nuts",
    Capability.GAUSSIAN_PRIOR: "elliptical_slice",
    Capability.CONDITIONALS: "gibbs",
}


class ObjectDataOptions(Config):
    """What may be said of data that is given as an object."""

    target: tuple[str, ...] | None = Field(
        None,
        description="Columns of a data frame to predict; none: the data has no targets.",
    )
    features: tuple[str, ...] | None = Field(
        None, description="Columns of a data frame to predict from; none: all others."
    )
    task: Literal["regression", "classification"] | None = Field(
        None,
        description="Take the targets as numbers or as classes; none: as the model's likelihood "
        "says, else by their dtype.",
    )
    num_classes: int | None = Field(
        None, ge=2, description="Classes of the targets; none: as many as occur."
    )
    num_rows: int | None = Field(
        None, ge=1, description="Training rows of a stream of batches that cannot tell."
    )

    @pydantic.field_validator("target", "features", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run whose names are resolved, options checked, and parts known to fit together.

    Attributes:
        run: What was asked for.
        model, model_options: None where an object was given in the model's place.
        engine, engine_options: The engine asked for, or the model's default.
        prior, prior_options: The prior asked for, or the model's default; None if it takes none.
        data: None where an object was given in its place.
        data_options: Those of the data set, or ObjectDataOptions.
    """

    run: RunSpec
    model: ModelSpec | None
    model_options: Config | None
    engine: EngineSpec
    engine_options: Config
    prior: PriorSpec | None
    prior_options: Config | None
    data: DatasetSpec | None
    data_options: Config | None


def plan(
    run: RunSpec,
    *,
    offered: frozenset[Capability] | None = None,
    default_engine: str | None = None,
    has_prior: bool = False,
    registry: Registry | None = None,
) -> Plan:
    """Resolve and check ``run``.

    Args:
        run: The run in plain values.
        offered: Where an object stands in the model's place: what it offers.
        default_engine: Where an object stands in the model's place: the engine to use by default.
        has_prior: Whether that object has a prior of its own; it is named in the error then.
        registry: The specs to choose from; by default all that is installed.

    Raises:
        UnknownNameError: If a name is not provided; the message has the nearest one.
        OptionsError: If an option is unknown or its value not admitted, or a prior is asked for
            where none is taken.
        CapabilityError: If the engine cannot fit the model; the message names those that can.
        DataError: If a file is not there.
    """
    known = registry_module.registry() if registry is None else registry
    model = None if run.model is None else known.models[run.model]
    admitted = (offered or frozenset()) if model is None else model.capabilities
    who = "the given object" if model is None else f"model {model.name!r}"
    by_default = default_engine if model is None else model.default_engine
    engine = _engine(known, by_default if run.engine is None else run.engine, who, admitted)
    prior, prior_options = _prior(known, run, model, has_prior)
    if model is None and run.model_options:
        raise OptionsError(
            "model_options belong to a model given by name, but an object was given. "
            f"Received: {dict(run.model_options)!r}."
        )
    data, data_options = _data(known, run)
    return Plan(
        run=run,
        model=model,
        model_options=_options("model", model, run.model_options) if model else None,
        engine=engine,
        engine_options=_options("engine", engine, run.engine_options),
        prior=prior,
        prior_options=prior_options,
        data=data,
        data_options=data_options,
    )


def offered(model: object) -> frozenset[Capability]:
    """What a model that is given as an object offers; TensorFlow is not needed to tell.

    Its attribute ``capabilities`` counts if there is one, else the attributes that
    :mod:`tfbdl.protocols` asks for. A ``tfd.JointDistribution`` offers ``log_joint``.

    Raises:
        ModelError: If a class is given instead of an object.
        SpecError: If ``capabilities`` holds what is no capability.
    """
    if isinstance(model, type):
        raise ModelError(
            f"Expected a model, not its class. Received: the class {model.__name__!r}."
        )
    said = getattr(model, "capabilities", None)
    if isinstance(said, Iterable) and not isinstance(said, (str, bytes)):
        return specs.capabilities(said)
    found = {
        capability
        for capability, attributes in _ATTRIBUTES.items()
        if all(hasattr(model, attribute) for attribute in attributes)
    }
    if any(cls.__name__ == "JointDistribution" for cls in type(model).__mro__):
        found.add(Capability.LOG_JOINT)
    return frozenset(found)


def default_engine_for(model: object) -> str | None:
    """The engine for a model that is given as an object, or None if it must be named.

    Its attribute ``default_engine`` counts if there is one, else what it offers.
    """
    named = getattr(model, "default_engine", None)
    if isinstance(named, str):
        return named
    available = offered(model)
    return next((name for need, name in _DEFAULT_ENGINES.items() if need in available), None)


def panels_for(model: str | None, engine: str | None) -> list[PanelSpec]:
    """The panels that show something of a run, by name.

    Args:
        model: The run's model, or None if it was an object.
        engine: The run's engine, or None for the model's default one.
    """
    known = registry_module.registry()
    if engine is None and model is not None and model in known.models:
        engine = known.models[model].default_engine
    return [panel for panel in known.panels.values() if panel.fits(model, engine)]


def _engine(
    known: Registry, name: str | None, who: str, admitted: frozenset[Capability]
) -> EngineSpec:
    fitting = [n for n, spec in known.engines.items() if spec.fits(admitted)]
    listed = f"Engines that fit: {', '.join(fitting) or 'none'}."
    if not admitted:
        raise CapabilityError(
            f"No engine can fit {who}: it offers none of the capabilities. Expected a model's "
            "name, a tfbdl.BayesianNetwork, a tfbdl.LogDensity, a tfd.JointDistribution, or an "
            "object that fulfils a protocol of tfbdl.protocols."
        )
    if name is None:
        raise CapabilityError(f"Name an engine: {who} has no default one. {listed}")
    engine = known.engines[name]
    if not engine.fits(admitted):
        needs = " or ".join(" and ".join(sorted(need)) for need in engine.needs)
        raise CapabilityError(
            f"Engine {engine.name!r} cannot fit {who}: it needs {needs}, and the model offers "
            f"{', '.join(sorted(admitted))}. {listed}"
        )
    return engine


def _prior(
    known: Registry, run: RunSpec, model: ModelSpec | None, has_prior: bool
) -> tuple[PriorSpec | None, Config | None]:
    asked = run.prior is not None or bool(run.prior_options)
    received = f"Received: prior={run.prior!r}, prior_options={dict(run.prior_options)!r}."
    if model is None:
        if asked:
            own = "has its own; set it where it is made" if has_prior else "takes none"
            raise OptionsError(
                f"A prior goes with a model's name: the given object {own}. {received}"
            )
        return None, None
    if model.default_prior is None:
        if asked:
            raise OptionsError(f"Model {model.name!r} takes no prior. {received}")
        return None, None
    prior = known.priors[model.default_prior if run.prior is None else run.prior]
    return prior, _options("prior", prior, run.prior_options)


def _data(known: Registry, run: RunSpec) -> tuple[DatasetSpec | None, Config]:
    if run.data is None:
        return None, config.make(ObjectDataOptions, run.data_options, "data options")
    if run.data in known.datasets:
        spec = known.datasets[run.data]
        return spec, _options("data set", spec, run.data_options)
    path = os.path.expanduser(run.data)
    if not (path.lower().endswith(FILE_SUFFIXES) or os.path.isfile(path)):
        raise UnknownNameError("dataset", run.data, known.datasets)
    if not os.path.isfile(path):
        raise DataError(_missing(path))
    if "path" in run.data_options and run.data_options["path"] != path:
        raise OptionsError(
            f"The file is given twice: data={run.data!r} and the data option "
            f"path={run.data_options['path']!r}. Give one."
        )
    spec = known.datasets[FILE_DATASET]
    return spec, _options("data set", spec, {**run.data_options, "path": path})


def _missing(path: str) -> str:
    if os.path.isdir(path):
        return f"Expected a file, but {path!r} is a folder."
    folder, name = os.path.split(path)
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return f"No file is at {path!r}: its folder cannot be read."
    return f"No file is at {path!r}.{did_you_mean(name, beside)}"


def _options(
    kind: str,
    spec: ModelSpec | EngineSpec | PriorSpec | DatasetSpec,
    values: Mapping[str, Any],
) -> Config:
    return config.make(spec.config, values, f"{kind} options of {spec.name!r}")
