"""Short runs: an engine's options made small, and what a run leaves as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from .. import registry
from ..config import fields_of, make
from ..data import Dataset
from ..planning import Plan
from ..protocols import Context, EngineResult
from ..specs import EngineSpec
from .steps import value_of

# The words for lengths that the engines' options share, and others of the field.
_SMALL: Mapping[str, int] = {
    "batch_size": 12,
    "burn_in": 10,
    "chains": 2,
    "cycles": 2,
    "draws": 10,
    "epochs": 2,
    "members": 2,
    "num_members": 2,
    "num_particles": 16,
    "particles": 16,
    "restarts": 1,
    "steps": 4,
    "warmup": 10,
}


def quick_options(engine: EngineSpec) -> dict[str, Any]:
    """The options that make a run of ``engine`` short, as far as its bounds admit."""
    fields = {field.name: field for field in fields_of(engine.config)}
    chosen: dict[str, Any] = {}
    for name, value in _SMALL.items():
        field = fields.get(name)
        if field is not None and field.kind == "int":
            chosen[name] = int(min(max(value, field.low or 0), field.high or value))
    return chosen


def run_engine(plan: Plan, model: Any, data: Dataset | None, context: Context) -> EngineResult:
    """Fit a built model with a plan's engine, without scoring it afterwards."""
    engine = registry.resolve(plan.engine.factory)(plan.engine_options)
    result: EngineResult = engine.fit(model, data, context)
    return result


def engine_of(spec: EngineSpec) -> Any:
    """An engine with short options."""
    options = make(spec.config, quick_options(spec), f"engine options of {spec.name!r}")
    return registry.resolve(spec.factory)(options)


def state_of(model: Any, result: EngineResult) -> dict[str, np.ndarray]:
    """What a run has decided: draws, weights, and fitted attributes such as ``means_``."""
    state: dict[str, Any] = {}
    if result.posterior is not None:
        state |= {f"draws of {name!r}": v for name, v in result.posterior.draws.items()}
    if isinstance(model, keras.Model):
        for i, variable in enumerate(model.trainable_variables):
            state[f"weight {i} ({variable.path.rpartition('/')[2]})"] = value_of(variable)
    for name in dir(type(model)) + list(vars(model)):
        if name.endswith("_") and not name.startswith("_"):
            state[name] = getattr(model, name)
    return {name: np.asarray(value) for name, value in state.items()}
