"""Expectation maximisation, for models with latent variables."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import Posterior, random
from tfbdl.data import Dataset
from tfbdl.errors import OptionsError, did_you_mean
from tfbdl.inference.em import Best, Climb, Schedule, maximise
from tfbdl.parametric import information_criteria
from tfbdl.protocols import Context, EngineResult, Params

from .em_config import EmOptions
from .results import result_of, rows_of
from .variational_em import VariationalEm

OF_KERAS_MODELS = ("e_epochs", "m_epochs", "learning_rate")
STEPS, TOLERANCE = 1_000, 1e-6  # where no numbers are given
ROWS_OF_TEMPLATE = 5_000  # enough to tell which arrays a start has, and of which shapes


class ExpectationMaximization:
    """The engine ``em``: a climb from each start, of which the best is kept.

    A ``keras.Model`` is trained by VariationalEm.

    Args:
        options: See EmOptions.
    """

    def __init__(self, options: EmOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Fit the model's parameters, and its posterior where it has one.

        Raises:
            DataError: If there are no data, or the model cannot be fitted to them.
            OptionsError: If the start, or an option, does not fit the model.
            ModelError: If the trace falls or is not finite, or the model lacks the E-step.
        """
        options = self.options
        if isinstance(model, keras.Model):
            return VariationalEm(options).fit(model, data, context)
        _check_options(options, model)
        rows = model.rows(rows_of(model, data))
        schedule = Schedule(
            tolerance=(TOLERANCE if options.tolerance is None else options.tolerance) or None,
            e_step=options.e_step,
            samples=options.samples,
            batch_size=options.batch_size,
            forgetting=options.forgetting,
        )
        climb = Climb(model, rows, schedule, context.seed)
        objective = "elbo" if options.e_step == "variational" else model.objective
        best = maximise(
            climb,
            lambda restart: self._start(model, climb.rows, context.seed, restart),
            context,
            steps=STEPS if options.steps is None else options.steps,
            restarts=options.restarts,
            objective=objective,
            checkpoint_seconds=options.checkpoint_seconds,
        )
        model.assign(best.params)
        own = getattr(model, "posterior", None)
        posterior = own if isinstance(own, Posterior) else None
        figures = _figures(best, objective) | _criteria(model, best, objective, climb.num_rows)
        return result_of(model, _history(best, objective), figures, posterior)

    def _start(self, model: Any, rows: Any, seed: int, restart: int) -> Params:
        options = self.options
        if isinstance(options.initial, str) and options.initial != "current":
            number = tf.cast(random.bits((), random.key(seed, "em start", restart)), tf.int64)
            return _tensors(model.start(rows, options.initial, int(number)))
        if options.restarts > 1:
            raise OptionsError(
                "A start that is given leads to one climb. Expected restarts=1. "
                f"Received: restarts={options.restarts}."
            )
        if options.initial == "current":
            return _tensors(model.fitted())
        initial: Any = options.initial  # a mapping, once it is validated
        given = _like(_template(model, rows), initial)
        check = getattr(model, "check_start", None)
        if check is not None:
            check(given)
        return _tensors(given)


def _check_options(options: EmOptions, model: Any) -> None:
    for name in OF_KERAS_MODELS:
        if getattr(options, name) != type(options).model_fields[name].default:
            raise OptionsError(
                f"The engine option {name!r} is for Keras models; the steps of a "
                f"{type(model).__name__} are formulas. Received: {getattr(options, name)!r}."
            )


def _history(best: Best, objective: str) -> dict[str, list[float]]:
    history = {objective: best.trace}
    if len(best.finals) > 1:
        history[f"{objective}_of_restarts"] = best.finals
    return history


def _figures(best: Best, objective: str) -> dict[str, float]:
    return {
        objective: best.value,
        "steps": float(len(best.trace)),
        "converged": float(best.converged),
    }


def _criteria(model: Any, best: Best, objective: str, num_rows: int) -> dict[str, float]:
    """BIC and AIC, where a likelihood was climbed and the model counts its parameters."""
    count = getattr(model, "num_parameters", None)
    if count is None or objective != "log_likelihood":
        return {}
    return information_criteria(best.value, count, num_rows)


def _template(model: Any, rows: Any) -> Params:
    """Parameters of the model's names and shapes."""
    some = tf.nest.map_structure(lambda part: part[:ROWS_OF_TEMPLATE], rows)
    try:
        return model.start(some, "random", 0)
    except OptionsError:  # it has no random start
        return model.start(some, "auto", 0)


def _like(template: Params, given: dict[str, Any]) -> dict[str, np.ndarray]:
    """Given parameters in the shapes and precision of the model's own."""
    for name in dict.fromkeys([*given, *template]):
        if name not in template or name not in given:
            hint = did_you_mean(name, template) if name in given else ""
            raise OptionsError(
                f"initial must hold the arrays {', '.join(template)}.{hint} "
                f"Received: {', '.join(given)}."
            )
    arrays = {}
    for name, part in template.items():
        expected = np.asarray(part)
        arrays[name] = np.asarray(given[name], expected.dtype)
        if arrays[name].shape != expected.shape:
            raise OptionsError(
                f"{name!r} of initial must have the shape {list(expected.shape)}. "
                f"Received: {list(arrays[name].shape)}."
            )
    return arrays


def _tensors(params: Params) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(value) for name, value in params.items()}
