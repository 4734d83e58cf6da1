"""What depth does to a random network: its maps, its fixed points, its place among all others."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tfbdl.errors import ModelError

from .depth_charts import BIAS, WEIGHT
from .depth_panel import DepthControls
from .duals import Dual
from .duals.traced import traced
from .mean_field import MeanField
from .phase_diagram import edge_curve, phases

LAYERS, STEPS = 50, 101
STARTS = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99])
"""Correlations of two inputs whose way through the layers is shown."""
EXTREMES = 1e-6, 1e6
"""Variances on their way to 0 or to infinity end here, where nothing changes any more."""
CELLS = (49, 40)
"""Of the phase diagram, along sigma_w^2 and sigma_b^2."""
EDGE = np.logspace(-6.0, 3.0, 300)
"""Fixed variances of networks on the edge."""


def depth_of_networks(fit: Any, controls: DepthControls) -> dict[str, np.ndarray]:
    """What the panel shows; see ``landscape``.

    Args:
        fit: None: the panel needs no run.
        controls: The network.
    """
    return landscape(
        controls.activation,
        controls.weight_variance,
        controls.bias_variance,
        controls.keep_prob,
    )


def landscape(
    activation: Any, weight_variance: float, bias_variance: float, keep_prob: float = 1.0
) -> dict[str, np.ndarray]:
    """A network's maps and fixed points, and the phases around it.

    Args:
        activation: See ``layers.Activation``.
        weight_variance: sigma_w^2.
        bias_variance: sigma_b^2.
        keep_prob: Of dropout.

    Returns:
        Of the network: ``chosen [2]``, ``keep_prob``; ``variance`` (q*), ``correlation`` (c*),
        ``slope`` (chi_1), ``variance_depth`` and ``correlation_depth``, NaN without a fixed
        variance, with ``why`` as a text; ``q [m]`` and ``variance_map [m]``; ``c [m]`` and
        ``correlation_map [m]``; ``variance_path [layers + 1]`` and ``correlation_path [starts,
        layers + 1]``. Of all networks: ``weight [w]`` and ``bias [b]``, the middles of cells;
        ``depth [b, w]`` (xi_c) and ``chaos [b, w]``; ``edge [k, 2]``, without dropout.

    Raises:
        OptionsError: If an argument is not admitted.
    """
    dual = traced(activation)
    field = MeanField(dual, weight_variance, bias_variance, keep_prob)
    ends = max(WEIGHT[1], 1.2 * weight_variance), max(BIAS[1], 1.2 * bias_variance)
    return {
        "chosen": np.array([weight_variance, bias_variance]),
        "keep_prob": np.array(keep_prob),
        **_network(field),
        **_diagram(dual, keep_prob, *ends),
    }


def _network(field: MeanField) -> dict[str, np.ndarray]:
    """The maps and fixed points of one network."""
    why, names = "", ("variance", "correlation", "slope", "variance_depth", "correlation_depth")
    try:
        figures = {name: float(getattr(field, name)) for name in names}
    except ModelError as error:
        why, figures = str(error), dict.fromkeys(names, np.nan)
    q_star = figures["variance"]
    q = np.linspace(0.0, 3.0 if why else max(1.5, 2.0 * q_star), STEPS)
    q[0] = 1e-9 * q[-1]  # at 0 itself a correlation is none
    path = [float(q[-1])]
    variances, correlations = [1.0 if why else q_star], [STARTS]
    for _ in range(LAYERS):
        path.append(float(field.variance_map(path[-1])))
        correlations.append(np.minimum(field.correlation_map(correlations[-1], variances[-1]), 1.0))
        variances.append(_next(field, variances[-1]) if why else q_star)
    c = np.linspace(0.0, 1.0, STEPS)
    return {
        **{name: np.array(value) for name, value in figures.items()},
        "why": np.array(why),
        "q": q,
        "variance_map": field.variance_map(q),
        "variance_path": np.array(path),
        "c": c,
        "correlation_map": np.minimum(field.correlation_map(c, variances[-1]), 1.0),
        "correlation_path": np.stack(correlations, axis=1),
    }


def _next(field: MeanField, q: float) -> float:
    """The variance after a layer, kept from where a correlation is rounding alone."""
    return float(np.clip(field.variance_map(q), *EXTREMES))


@functools.lru_cache(maxsize=16)  # the same for all networks of an activation
def _diagram(
    dual: Dual, keep_prob: float, most_weight: float, most_bias: float
) -> dict[str, np.ndarray]:
    """Depth scales over both variances, and the edge of chaos."""
    weight = _middles(WEIGHT[0], most_weight, CELLS[0])
    bias = _middles(BIAS[0], most_bias, CELLS[1])
    found = phases(dual, weight, bias[:, np.newaxis], keep_prob)
    edge = np.zeros((0, 2))
    if keep_prob == 1.0:  # with dropout correlations end below 1 everywhere
        edge = np.unique(np.stack(edge_curve(dual, EDGE), axis=1).round(9), axis=0)
    return {
        "weight": weight,
        "bias": bias,
        "depth": found.depth,
        "chaos": found.slope > 1.0,
        "edge": edge[np.argsort(edge[:, 1], kind="stable")],
    }


def _middles(low: float, high: float, count: int) -> np.ndarray:
    ends = np.linspace(low, high, count + 1)
    return 0.5 * (ends[1:] + ends[:-1])
