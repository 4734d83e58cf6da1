"""The task ``panel``: what a plugin's panel computes of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import planning, registry
from ..config import make
from ..errors import OptionsError
from ..specs import PanelSpec
from .tasks import FitsByRun, as_arrays


def panel(runs: FitsByRun, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute a panel.

    Args:
        runs: Where the fits are.
        arguments: ``name`` of the panel; ``controls``, those that differ from their defaults; and
            ``run``, None for a demonstration.

    Raises:
        UnknownNameError: If there is no such panel or run.
        OptionsError: If a control is not admitted, or a run is missing or too much.
        SpecError: If the panel gives something else than arrays.
    """
    name = str(arguments.get("name", ""))
    spec: PanelSpec = registry.registry().panels[name]
    controls = make(spec.controls, arguments.get("controls") or {}, f"controls of panel {name!r}")
    return compute(spec, _fit(spec, runs, arguments.get("run")), controls)


def compute(spec: PanelSpec, fit: Any, controls: Any) -> dict[str, np.ndarray]:
    """The arrays of a panel, checked.

    Raises:
        SpecError: If the panel gives something else than arrays.
    """
    return as_arrays(registry.resolve(spec.compute)(fit, controls), f"The panel {spec.name!r}")


def _fit(spec: PanelSpec, runs: FitsByRun, run: Any) -> Any:
    if spec.is_demonstration != (run is None):
        expected = "no run" if spec.is_demonstration else "a run"
        raise OptionsError(f"The panel {spec.name!r} shows {expected}. Received: run={run!r}.")
    if run is None:
        return None
    fit = runs.fit(run)
    named = getattr(fit.model, "as_named", lambda: None)() or {}
    model = fit.spec.model or named.get("model")
    fitting = {panel.name for panel in planning.panels_for(model, fit.spec.engine)}
    if spec.name not in fitting:
        raise OptionsError(
            f"The panel {spec.name!r} shows nothing of this run. Those that do: "
            f"{', '.join(sorted(fitting)) or 'none'}."
        )
    return fit
