"""Checks of a model: what it offers, one training step, seeds, and a file and back."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import planning, registry
from ..api import build, fit, load, plan
from ..data import Dataset
from ..protocols import Context, LogJoint, Stateful, Trainable
from ..run import build_model
from ..specs import Capability
from .data import data_for
from .expect import differing, require, require_finite
from .latent import check_em, check_exact
from .quick import quick_options, run_engine, state_of
from .steps import train_one_step, without_xla

_RANDOM = {Capability.TRAINABLE, Capability.LOG_JOINT, Capability.CONDITIONALS}
# What an object that does not list its capabilities cannot be seen to offer.
_UNSEEN = {Capability.NETWORK, Capability.GAUSSIAN_PRIOR}


def check_model(name: str, data: Dataset | None = None, **options: Any) -> None:
    """A model is made for data of its task, and offers what its spec says.

    ``trainable``: one step of plain SGD gives finite metrics and changes every trainable weight,
    and ``predict`` gives a row for each row. ``log_joint``: sites, start and density agree in
    shape and dtype, the density and its gradient are finite, the same under ``tf.function``, and
    a batch given twice over does not change them (the likelihood is a mean times ``num_data``).
    ``em``: statistics add up over parts of the rows, parameters keep their shapes, the objective
    does not fall; of a ``keras.Model``: two phases part its weights, each changes its own alone.
    ``exact``: two halves one after the other give what all rows give at once.

    Args:
        name: Of the model.
        data: To make it for; by default small simulated data of its task.
        **options: Of the model, other than its defaults.

    Raises:
        AssertionError: If one of these does not hold.
    """
    spec = registry.registry().models[name]
    for dataset in data_for(spec) if data is None else [data]:
        who = f"Model {name!r} on {dataset.name}"
        model = build(name, dataset, model_options=options, seed=0)
        missing = spec.capabilities - planning.offered(model)
        if not hasattr(model, "capabilities"):
            missing -= _UNSEEN
        require(
            not missing,
            f"{who} must offer {', '.join(sorted(missing))}, as its spec says. "
            f"Received: a {type(model).__name__}; see tfbdl.protocols.",
        )
        if Capability.LOG_JOINT in spec.capabilities:
            _check_log_joint(who, model, dataset)
        if Capability.TRAINABLE in spec.capabilities:
            _check_training(who, model, dataset)
        if Capability.EM in spec.capabilities:
            check_em(who, model, dataset)
        if Capability.EXACT in spec.capabilities:
            check_exact(who, model, dataset)


def check_seeds(name: str) -> None:
    """A short run of the default engine: the same seed gives the same bits, another one others.

    Args:
        name: Of the model.

    Raises:
        AssertionError: If draws, weights or fitted attributes differ for one seed, or do not for
            two (unless the engine is exact or EM, which need no random numbers).
    """
    spec = registry.registry().models[name]
    engine = registry.registry().engines[spec.default_engine]
    data = data_for(spec)[0]

    def run(seed: int) -> dict[str, np.ndarray]:
        chosen = plan(name, None, engine_options=quick_options(engine), seed=seed)
        model = without_xla(build_model(chosen, data.info))
        return state_of(model, run_engine(chosen, model, data, Context(seed=seed)))

    first, again, other = run(3), run(3), run(4)
    require(first, f"A run of model {name!r} leaves neither posterior, weights nor attributes.")
    require_finite(f"Model {name!r} after {engine.name!r}", first)
    require(
        not differing(first, again),
        f"Model {name!r}: the same seed gives another result: {', '.join(differing(first, again))}."
        " Draw with tfbdl.random from the seed that factory and engine are given.",
    )
    if any(need & _RANDOM for need in engine.needs):
        require(
            differing(first, other), f"Model {name!r}: another seed gives the same; it is ignored."
        )


def check_saves(name: str) -> None:
    """A run that is stored and loaded predicts the same, bit for bit.

    A model that is a ``keras.Model`` also goes into a ``.keras`` file and back.

    Args:
        name: Of the model.

    Raises:
        AssertionError: If posterior or predictions differ.
    """
    spec = registry.registry().models[name]
    options = quick_options(registry.registry().engines[spec.default_engine])
    data = data_for(spec)[0]
    with tempfile.TemporaryDirectory() as folder:
        stored = fit(name, data, engine_options=options, seed=2, out=Path(folder) / "run")
        first, second = (_seen(one, data) for one in (stored, load(Path(folder) / "run")))
        require(first, f"A run of model {name!r} has neither a posterior nor a prediction.")
        changed = differing(first, second)
        require(not changed, f"Model {name!r} after save and load: {', '.join(changed)} differ.")
        if isinstance(stored.model, keras.Model):
            stored.model.save(Path(folder) / "model.keras")
            copy = load(Path(folder) / "model.keras")
            pairs = zip(stored.model.variables, copy.variables, strict=True)
            changed = [v.path for v, w in pairs if not np.array_equal(v, w)]
            require(not changed, f"Model {name!r} in a .keras file: {', '.join(changed)} differ.")


def _check_training(who: str, model: Any, data: Dataset) -> None:
    require(
        isinstance(model, keras.Model) and isinstance(model, Trainable),
        f"{who}: a trainable model must be a keras.Model. Received: {type(model).__name__}.",
    )
    still = [path for path, change in train_one_step(who, model, data) if not change.any()]
    require(not still, f"{who}: one step of SGD leaves {', '.join(still)} unchanged.")
    if data.y is None:
        return
    predicted = np.asarray(model.predict(data.x, verbose=0))
    classes = data.info.num_classes
    shapes = [(*data.y.shape, classes)] if classes else [data.y.shape, (*data.y.shape, 1)]
    require(
        predicted.shape in shapes,
        f"{who}: predict must give {shapes[0]}. Received: {predicted.shape}.",
    )
    require_finite(who, {"predict(x)": predicted})


def _check_log_joint(who: str, model: Any, data: Dataset) -> None:
    require(isinstance(model, LogJoint), f"{who} must have sites, init(seed) and log_joint.")
    params = model.init(0)
    names = [site.name for site in model.sites]
    require(
        len(set(names)) == len(names) and not any("/" in site for site in names),
        f"{who}: sites need names of their own without '/'. Received: {names}.",
    )
    require(set(params) == set(names), f"{who}: init must give the sites {names}.")
    for site in model.sites:
        value = tf.convert_to_tensor(params[site.name])
        require(
            tuple(value.shape) == tuple(site.shape) and value.dtype.name == site.dtype,
            f"{who}: init must give {site.name!r} as {site.dtype} {tuple(site.shape)}. "
            f"Received: {value.dtype.name} {tuple(value.shape)}.",
        )
    batch = (data.x, data.y) if data.y is not None else data.x
    value, gradients = _density(model, params, batch)
    require(tuple(value.shape) == (), f"{who}: log_joint must be a scalar, not {value.shape}.")
    for site, gradient in gradients.items():
        require(gradient is not None, f"{who}: log_joint does not depend on the site {site!r}.")
        require_finite(who, {"log_joint": value, f"its gradient by {site!r}": gradient})
    compiled, _ = tf.function(_density)(model, params, batch)
    _require_close(f"{who}: log_joint under tf.function", compiled, value)
    if data.y is not None and getattr(model, "num_data", None):
        twice = tf.nest.map_structure(lambda part: np.concatenate([part, part]), batch)
        _require_close(
            f"{who}: log_joint on each row twice (it must be log_prior + num_data * mean of the "
            "log likelihoods)",
            _density(model, params, twice)[0],
            value,
        )


def _density(model: Any, params: Any, batch: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    params = {name: tf.convert_to_tensor(value) for name, value in params.items()}
    with tf.GradientTape() as tape:
        tape.watch(params)
        value = model.log_joint(params, batch)
    return value, tape.gradient(value, params)


def _require_close(what: str, found: Any, expected: Any) -> None:
    require(  # float32 sums of thousands of terms keep four digits
        math.isclose(float(found), float(expected), rel_tol=1e-4, abs_tol=1e-3),
        f"{what} must be {float(expected):.6g}. Received: {float(found):.6g}.",
    )


def _seen(fit: Any, data: Dataset) -> dict[str, np.ndarray]:
    """What a user sees of a fit: posterior means and predictions."""
    seen = {} if fit.posterior is None else dict(fit.posterior.mean())
    predicts = hasattr(fit.model, "likelihood") or hasattr(fit.model, "predictive")
    if predicts and data.y is not None:
        seen["the predictive mean"] = fit.predict(data.x, draws=10).mean
    if isinstance(fit.model, Stateful):
        seen |= {f"state {n!r}": np.asarray(v) for n, v in fit.model.get_state().items()}
    elif isinstance(fit.model, keras.Model):
        seen |= {f"weight {i}": np.asarray(w) for i, w in enumerate(fit.model.get_weights())}
    return seen
