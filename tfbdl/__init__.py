"""Bayesian deep learning for TensorFlow and Keras 3, as a host for plugins.

Importing this package does not import TensorFlow: the names that need it are loaded when they
are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from .config import Config, Field
from .hookspecs import hookimpl
from .specs import Capability, DatasetSpec, EngineSpec, ModelSpec, PanelSpec, PriorSpec

if TYPE_CHECKING:
    from . import calibration, inference, layers, likelihoods, runs, sklearn, testing
    from ._version import __version__
    from .api import build, fit, load, plan, resume
    from .data import Dataset
    from .distributions import prior
    from .fitted import Fit
    from .log_density import LogDensity
    from .network import BayesianNetwork, bayesianize
    from .posterior import Posterior
    from .predictive import Predictive
    from .registry import Catalog, Provider

    models: Catalog[ModelSpec]
    engines: Catalog[EngineSpec]
    priors: Catalog[PriorSpec]
    datasets: Catalog[DatasetSpec]
    plugins: Catalog[Provider]

__all__ = [
    "BayesianNetwork",
    "Capability",
    "Config",
    "Dataset",
    "DatasetSpec",
    "EngineSpec",
    "Field",
    "Fit",
    "LogDensity",
    "ModelSpec",
    "PanelSpec",
    "Posterior",
    "Predictive",
    "PriorSpec",
    "__version__",
    "bayesianize",
    "build",
    "calibration",
    "datasets",
    "engines",
    "errors",
    "fit",
    "hookimpl",
    "inference",
    "layers",
    "likelihoods",
    "load",
    "models",
    "plan",
    "plugins",
    "prior",
    "priors",
    "resume",
    "runs",
    "sklearn",
    "testing",
]

_LIGHT = {
    "__version__": "_version",
    "build": "api",
    "fit": "api",
    "load": "api",
    "plan": "api",
    "resume": "api",
}
_HEAVY = {
    "BayesianNetwork": "network",
    "Dataset": "data",
    "Fit": "fitted",
    "LogDensity": "log_density",
    "Posterior": "posterior",
    "Predictive": "predictive",
    "bayesianize": "network",
    "prior": "distributions",
}
_LIGHT_MODULES = frozenset({"runs"})
_HEAVY_MODULES = frozenset(
    {"calibration", "inference", "layers", "likelihoods", "sklearn", "testing"}
)
_CATALOGS = frozenset({"datasets", "engines", "models", "plugins", "priors"})


def __getattr__(name: str) -> Any:
    if name in _CATALOGS:
        return getattr(importlib.import_module(".registry", __name__).registry(), name)
    if name in _HEAVY or name in _HEAVY_MODULES:
        importlib.import_module("._backend", __name__)  # the gate: Keras must be on TensorFlow
    if name in _LIGHT_MODULES or name in _HEAVY_MODULES:
        return importlib.import_module(f".{name}", __name__)
    home = _LIGHT.get(name) or _HEAVY.get(name)
    if home is None:
        hint = "" if name.startswith("_") else errors.did_you_mean(name, __all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{hint}", name=name)
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
