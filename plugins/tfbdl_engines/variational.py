"""The variational engine: compile, and call ``model.fit`` as any Keras user would."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfbdl.data import Dataset
from tfbdl.errors import CapabilityError
from tfbdl.inference.elbo import KLSchedule
from tfbdl.inference.surrogate_model import SurrogateModel
from tfbdl.posterior import SurrogatePosterior
from tfbdl.protocols import Context, EngineResult, Trainable

from .callbacks import Checkpoint, EarlyStopping, Report
from .config import VariationalOptions

SMALL = 50_000  # parameters below which a step takes less time than a look at it
NO_DATA_STEPS = 100  # steps of an "epoch" where there are no data to pass over


class Variational:
    """Trains any ``keras.Model`` whose objective is the negative ELBO (or its own).

    A model that offers its log joint alone is wrapped in a SurrogateModel first.

    Args:
        options: See VariationalOptions.
    """

    def __init__(self, options: VariationalOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Train ``model`` on ``data``.

        Raises:
            CapabilityError: If the model can neither be trained nor has a log joint.
        """
        options = self.options
        wrapped = not (isinstance(model, keras.Model) and isinstance(model, Trainable))
        if wrapped:
            if not hasattr(model, "log_joint"):
                raise CapabilityError(
                    f"A {type(model).__name__} offers neither training nor a log joint."
                )
            model = SurrogateModel(
                model,
                options.posterior,
                rank=options.rank,
                num_samples=options.num_samples,
                seed=context.seed,
            )
        train, validation = data, None
        if options.validation_split and data is not None:
            train, validation = data.validation_split(options.validation_split)
        steps = NO_DATA_STEPS
        if train is not None:
            steps = train.steps_per_epoch(options.batch_size)
        epochs = math.ceil(options.steps / steps) if options.steps else options.epochs
        self._compile(model, steps, epochs)
        callbacks = self._callbacks(context, steps, epochs, validation is not None)
        initial_epoch, history = self._restore(model, callbacks, context)
        if initial_epoch < epochs and not history.pop("stopped", False):
            fresh = model.fit(
                **_inputs(model, train, options.batch_size, steps, initial_epoch, context.seed),
                validation_data=validation if _takes_datasets(model) else _arrays(validation),
                epochs=epochs,
                initial_epoch=initial_epoch,
                verbose=0,
                callbacks=callbacks,
            )
            del fresh  # Report keeps the history, from before a resume too
        posterior = getattr(model, "posterior", None)
        return EngineResult(
            posterior=posterior if isinstance(posterior, SurrogatePosterior) else None,
            history=callbacks[0].history,
            metrics={"elbo": callbacks[0].history["elbo"][-1]}
            if "elbo" in callbacks[0].history
            else {},
        )

    def _compile(self, model: keras.Model, steps: int, epochs: int) -> None:
        options = self.options
        rate: Any = options.learning_rate
        if options.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, steps * epochs)
        optimizer = keras.optimizers.get(
            {"class_name": options.optimizer, "config": {"learning_rate": rate}}
        )
        if options.kl_annealing or options.minibatch_weights != "uniform":
            model.kl_weight = KLSchedule(
                weight=model.kl_weight if isinstance(model.kl_weight, float) else 1.0,
                annealing_steps=options.kl_annealing * steps,
                minibatch_weights=options.minibatch_weights,
                batches=steps,
            )
        per_execution = options.steps_per_execution
        if per_execution is None:
            per_execution = min(steps, 32) if model.count_params() < SMALL else 1
        model.compile(optimizer=optimizer, steps_per_execution=per_execution)

    def _callbacks(self, context: Context, steps: int, epochs: int, validating: bool) -> list[Any]:
        callbacks: list[Any] = [Report(context.on_step, steps, epochs)]
        if self.options.patience is not None:
            monitor = "val_loss" if validating else "loss"
            callbacks.append(EarlyStopping(monitor, self.options.patience))
        if context.checkpoints is not None:
            callbacks.append(
                Checkpoint(context.checkpoints, callbacks, self.options.checkpoint_seconds)
            )
        return callbacks

    def _restore(
        self, model: keras.Model, callbacks: list[Any], context: Context
    ) -> tuple[int, dict[str, Any]]:
        if context.checkpoints is None:
            return 0, {}
        return callbacks[-1].restore(model)


def _inputs(
    model: Any, train: Dataset | None, batch_size: int, steps: int, epoch: int, seed: int
) -> dict[str, Any]:
    """What ``model.fit`` takes: our own models a Dataset, others its batches."""
    if train is None:
        return {"steps_per_epoch": steps}
    if _takes_datasets(model):
        return {"x": train, "batch_size": batch_size}
    return {"x": train.batches(batch_size, seed=seed, start_epoch=epoch), "steps_per_epoch": steps}


def _takes_datasets(model: Any) -> bool:
    return getattr(model, "takes_datasets", False)


def _arrays(data: Dataset | None) -> Any:
    return None if data is None else (data.x, data.y)
