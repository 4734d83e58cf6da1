"""The check of an engine: it fits what it says it needs, and gives back draws."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import inference, random, registry
from ..api import plan
from ..data import Dataset
from ..errors import CapabilityError, RunCancelled
from ..network import BayesianNetwork
from ..posterior import Posterior
from ..protocols import Conditional, Context, EngineResult, Params
from ..run import build_model
from ..specs import Capability, EngineSpec
from .data import data_for, regression_data
from .expect import differing, require, require_finite
from .quick import engine_of, state_of
from .steps import without_xla


def check_engine(name: str, model: Any = None, data: Dataset | None = None) -> None:
    """An engine fits a small model in a short run, reports its steps and can be cancelled.

    Its posterior has finite draws ``[chain, draw, ...]`` of every site; the same seed gives the
    same bits and another seed others; what ``on_step`` raises ends the run.

    Args:
        name: Of the engine.
        model: A function from a seed to the model to fit; by default a linear regression as a
            BayesianNetwork or, where the engine needs other capabilities, the first installed
            model that offers them.
        data: What to fit it to; by default simulated data of the model's task.

    Raises:
        AssertionError: If one of these does not hold.
        CapabilityError: If nothing installed offers what the engine needs; give ``model``.
    """
    spec = registry.registry().engines[name]
    make, chosen = (model, data) if model is not None else suitable(spec)
    data = chosen if data is None else data

    def run(seed: int, on_step: Any = None) -> tuple[Any, EngineResult]:
        made = make(seed)
        return made, engine_of(spec).fit(made, data, Context(seed=seed, on_step=on_step))

    steps: list[dict[str, float]] = []
    made, result = run(3, lambda metrics: steps.append(dict(metrics)))
    who = f"Engine {name!r}"
    _check_result(who, made if samples_sites(spec) else None, result)
    first = state_of(made, result)
    require(first, f"{who} leaves neither a posterior nor anything fitted.")
    require_finite(who, first)
    wrong = [metrics for metrics in steps if not all(map(_is_number, metrics.values()))]
    require(not wrong, f"{who}: on_step takes numbers by name. Received: {wrong[:1]}.")
    changed = differing(first, state_of(*run(3)))
    require(not changed, f"{who}: the same seed gives another result: {', '.join(changed)}.")
    other = _cancelled(who, run, 4) if steps else []
    drawing = {Capability.TRAINABLE, Capability.LOG_JOINT, Capability.NETWORK}
    is_random = any(need & drawing for need in spec.needs)
    if is_random and other[:1] == steps[:1]:  # its first report does not tell seeds apart
        again = state_of(*run(4))
        require(
            differing(_draws(first), _draws(again)), f"{who}: another seed gives the same result."
        )


def samples_sites(spec: EngineSpec) -> bool:
    """Whether the engine's posterior is over the sites of a log joint."""
    over_sites = {Capability.LOG_JOINT, Capability.GAUSSIAN_PRIOR}
    return any(need & over_sites for need in spec.needs)


def is_checkable(spec: EngineSpec) -> bool:
    """Whether something installed offers what the engine needs."""
    try:
        suitable(spec)
    except CapabilityError:
        return False
    return True


def _check_result(who: str, model: Any, result: Any) -> None:
    require(
        isinstance(result, EngineResult),
        f"{who}: fit must return a tfbdl.protocols.EngineResult. "
        f"Received: {type(result).__name__}.",
    )
    require_finite(who, {**result.history, **result.metrics})
    if result.posterior is None:
        return
    require(
        isinstance(result.posterior, Posterior),
        f"{who}: the posterior must be a tfbdl.Posterior. "
        f"Received: {type(result.posterior).__name__}.",
    )
    draws = result.posterior.draws
    for site in getattr(model, "sites", ()):
        require(site.name in draws, f"{who}: no draws of {site.name!r}. Received: {list(draws)}.")
        require(
            draws[site.name].shape[2:] == tuple(site.shape),
            f"{who}: draws of {site.name!r} must be [chain, draw, {site.shape}]. "
            f"Received: {draws[site.name].shape}.",
        )


def _draws(state: dict[str, Any]) -> dict[str, Any]:
    """The draws in a state, which the engine alone decides; without any, the whole state."""
    return {name: value for name, value in state.items() if name.startswith("draws")} or state


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def _cancelled(who: str, run: Any, seed: int) -> list[dict[str, float]]:
    """Stop a run at its first report, which is returned."""
    reported: list[dict[str, float]] = []

    def cancel(metrics: Any) -> None:
        reported.append(dict(metrics))
        raise RunCancelled("Cancelled by the check.")

    try:
        run(seed, cancel)
    except RunCancelled:
        return reported
    raise AssertionError(f"{who} goes on when on_step raises RunCancelled.")


def suitable(spec: EngineSpec) -> tuple[Callable[[int], Any], Dataset | None]:
    """(a function from a seed to a model, its data)."""
    if all(Capability.NETWORK in need for need in spec.needs):
        return _dropout_net, regression_data()
    if spec.fits(BayesianNetwork.capabilities | {Capability.GAUSSIAN_PRIOR}):
        return _linear_regression, regression_data()
    if spec.fits({Capability.CONDITIONALS}):
        return lambda seed: _Pair(), None
    if spec.fits({Capability.POTTS}):
        return _potts, None
    for model in registry.registry().models.values():
        if spec.fits(model.capabilities):
            data = data_for(model)[0]
            return functools.partial(_registered, model.name, data), data
    needs = " or ".join(" and ".join(sorted(need)) for need in spec.needs)
    raise CapabilityError(
        f"No installed model offers what engine {spec.name!r} needs ({needs}). "
        "Give one: check_engine(name, model=...)."
    )


def _linear_regression(seed: int) -> Any:
    """Three weights and a bias, noise of known scale: the posterior is Gaussian."""
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="dense")])
    rows = regression_data().num_rows
    model = BayesianNetwork(net, "gaussian", likelihood_options={"scale": 0.5}, num_data=rows)
    return without_xla(model.clone(seed=seed))


class _Pair:
    """Two normals with correlation 0.6, each of which can be drawn given the other."""

    def __init__(self) -> None:
        self.conditionals = {"x": self._part("x", "y"), "y": self._part("y", "x")}

    def init(self, seed: int) -> Params:
        return {"x": tf.zeros(()), "y": tf.zeros(())}

    @staticmethod
    def _part(name: str, other: str) -> Conditional:
        return lambda key, state, _: {name: 0.6 * state[other] + 0.8 * random.normal((), key)}


def _dropout_net(seed: int) -> Any:
    """A linear regression whose inputs are dropped, for engines that train copies of a net."""
    parts = [keras.Input((3,)), keras.layers.Dropout(0.1), keras.layers.Dense(1, name="dense")]
    rows = regression_data().num_rows
    model = BayesianNetwork(keras.Sequential(parts), "gaussian", num_data=rows)
    return without_xla(model.clone(seed=seed))


def _potts(seed: int) -> Any:
    """Three spins in a row; the model holds no random state."""
    return inference.Potts([[0, 1], [1, 2]], num_sites=3, num_states=2, beta=0.5)


def _registered(name: str, data: Dataset, seed: int) -> Any:
    return without_xla(build_model(plan(name, None, seed=seed), data.info))
