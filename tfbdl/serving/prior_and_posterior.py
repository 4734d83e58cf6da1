"""The task ``prior_draws``: what a run's prior says of elements of its posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import ModelError, OptionsError
from ..labels import element_of
from ..protocols import PriorBySite
from . import marginals
from .tasks import FitsByRun

MOST_ELEMENTS = 24
NOT_APART = "The model gives no prior of its parameters apart."
FLAT = "The prior of this element is flat: it has no density."


def prior_draws(runs: FitsByRun, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The prior's marginal density of elements of a run's posterior.

    Where the prior has parameters of its own that were learned or sampled too, they have their
    posterior mean.

    Args:
        runs: Where the fits are.
        arguments: ``run``; ``elements``, labels such as ``"dense.kernel[0, 1]"``; ``low`` and
            ``high``, for each what the grid is to take in, such as the range of its draws.

    Returns:
        ``element`` ``[k]``, ``x`` and ``density`` ``[k, m]``, and ``note`` ``[k]``, which says why
        a row of NaN has no density.

    Raises:
        ModelError: If the run has no posterior.
        OptionsError: If an element is unknown, or there are too many.
    """
    fit = runs.fit(str(arguments["run"]))
    elements = [str(label) for label in arguments.get("elements", ())]
    if len(elements) > MOST_ELEMENTS:
        raise OptionsError(
            f"At most {MOST_ELEMENTS} elements are drawn at a time. Received: {len(elements)}."
        )
    if fit.posterior is None:
        raise ModelError("The fit of this run is a point estimate, which has no posterior.")
    model = fit.model if isinstance(fit.model, PriorBySite) else None
    mean = fit.posterior.mean()
    params = {name: tf.convert_to_tensor(value) for name, value in mean.items()}
    blank = [float("nan")] * len(elements)
    ends = zip(arguments.get("low", blank), arguments.get("high", blank), strict=True)
    rows = [
        _of_element(model, params, label, *end) for label, end in zip(elements, ends, strict=True)
    ]
    empty = np.empty((0, marginals.POINTS))
    return {
        "element": np.asarray(elements, np.str_),
        "x": np.stack([row[0] for row in rows]) if rows else empty,
        "density": np.stack([row[1] for row in rows]) if rows else empty,
        "note": np.asarray([row[2] for row in rows], np.str_),
    }


def _of_element(
    model: PriorBySite | None, params: Mapping[str, tf.Tensor], label: str, low: float, high: float
) -> tuple[np.ndarray, np.ndarray, str]:
    site, index = element_of(label, {name: value.shape for name, value in params.items()})
    nothing = np.full(marginals.POINTS, np.nan)
    if model is None:
        return nothing, nothing, NOT_APART
    distribution = model.prior_of(site, params)
    if distribution is None:
        return nothing, nothing, FLAT
    draws = marginals.draws_of(distribution, index)
    grid = marginals.grid_over(draws, low, high)
    return grid, marginals.density(distribution, index, grid, draws), ""
