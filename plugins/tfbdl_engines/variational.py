"""The variational engine: compile, and call ``model.fit`` as any Keras user would."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras

import tfbdl
from tfbdl.data import Dataset, steps_per_execution
from tfbdl.errors import CapabilityError, OptionsError
from tfbdl.inference.elbo import KLSchedule
from tfbdl.inference.surrogate_model import SurrogateModel
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from .callbacks import Checkpoint, EarlyStopping, LayerFigures, Report
from .config import VariationalOptions

SMALL = 50_000  # parameters below which a step takes less time than a look at it
EXECUTION = 32  # steps between two looks, at most
NO_DATA_STEPS = 100  # steps of an "epoch" where there are no data to pass over
LEARNING_RATE = 1e-2
STEPS = 8_000
OF_SURROGATE = ("posterior", "rank", "num_samples")


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
            OptionsError: If an option does not go with this model or these data.
            RunError: If the loss becomes NaN or infinite.
        """
        options = self.options
        train, validation = data, None
        if options.validation_split and data is not None:
            train, validation = data.validation_split(options.validation_split)
            model = _of_fewer_rows(model, data.num_rows, train.num_rows)
        if train is not None and train.stream is None and hasattr(model, "observe"):
            model.observe(train)  # a model whose rows belong together is shown them in their order
        model = self._trainable(model, context.seed)
        self._check_options(model, data)
        steps = _steps_per_epoch(model, train, options.batch_size)
        total = options.steps or int(getattr(model, "default_steps", STEPS))
        epochs = options.epochs or math.ceil(total / steps)
        self._compile(model, steps, epochs)
        callbacks = self._callbacks(context, steps, epochs, validation is not None)
        epoch, ended = 0, False
        if context.checkpoints is not None:
            epoch, ended = callbacks[-1].restore(model)
        if not ended:
            model.fit(
                **_inputs(model, train, validation, options.batch_size, steps, epoch, context.seed),
                epochs=epochs,
                initial_epoch=epoch,
                verbose=0,
                callbacks=callbacks,
            )
        history = callbacks[0].history  # from before a resume too
        posterior = getattr(model, "posterior", None)
        return EngineResult(
            posterior=posterior if isinstance(posterior, Posterior) else None,
            history=history,
            metrics={"elbo": history["elbo"][-1]} if "elbo" in history else {},
        )

    def _trainable(self, model: Any, seed: int) -> keras.Model:
        """The model itself, or the surrogate that is trained in its place."""
        if isinstance(model, keras.Model):
            if _has_objective(model):
                return model
            raise CapabilityError(
                f"The Keras model {model.name!r} has no objective: it was not compiled with a "
                "loss. Make it Bayesian with tfbdl.BayesianNetwork(net, likelihood)."
            )
        if not hasattr(model, "log_joint"):
            offered = getattr(model, "capabilities", ())
            fitting = [name for name, spec in tfbdl.engines.items() if spec.fits(offered)]
            raise CapabilityError(
                f"Engine 'variational' cannot fit a {type(model).__name__}: it offers neither "
                f"training nor a log joint. Engines that fit: {', '.join(fitting) or 'none'}."
            )
        return SurrogateModel(
            model,
            self.options.posterior,
            rank=self.options.rank,
            num_samples=self.options.num_samples,
            seed=seed,
        )

    def _check_options(self, model: keras.Model, data: Dataset | None) -> None:
        options, fields = self.options, type(self.options).model_fields
        wrapped = isinstance(model, SurrogateModel)
        for name in () if wrapped else OF_SURROGATE:
            if getattr(options, name) != fields[name].default:
                raise OptionsError(
                    f"The engine option {name!r} is for models that offer their log joint alone; "
                    f"a {type(model).__name__} has its own. Received: {getattr(options, name)!r}."
                )
        if data is None and (options.validation_split or options.minibatch_weights != "uniform"):
            raise OptionsError(
                "validation_split and minibatch_weights need data to divide. Received: a model "
                "that holds its data itself."
            )
        anneals = options.kl_annealing or options.minibatch_weights != "uniform"
        if anneals and not hasattr(model, "kl_weight"):
            raise OptionsError(
                "kl_annealing and minibatch_weights need a model with a kl_weight. "
                f"Received: a {type(model).__name__}."
            )

    def _compile(self, model: keras.Model, steps: int, epochs: int) -> None:
        options = self.options
        rate: Any = options.learning_rate
        if rate is None:
            rate = getattr(model, "default_learning_rate", LEARNING_RATE)
        if options.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, steps * epochs)
        own = getattr(model, "optimizer_options", {}).get(options.optimizer, {})
        optimizer = keras.optimizers.get(
            {"class_name": options.optimizer, "config": {"learning_rate": rate, **own}}
        )
        if options.kl_annealing or options.minibatch_weights != "uniform":
            model.kl_weight = KLSchedule(
                weight=getattr(model.kl_weight, "weight", model.kl_weight),
                annealing_steps=options.kl_annealing * steps,
                minibatch_weights=options.minibatch_weights,
                batches=steps,
            )
        most = options.steps_per_execution
        if most is None:
            most = EXECUTION if model.count_params() < SMALL else 1
        per_execution = steps_per_execution(steps, most)
        loss = {} if _completes_itself(model) else {"loss": model.loss}
        if not getattr(model, "brings_optimizer", False):
            loss["optimizer"] = optimizer
        model.compile(steps_per_execution=per_execution, **loss)

    def _callbacks(self, context: Context, steps: int, epochs: int, validating: bool) -> list[Any]:
        callbacks: list[Any] = [Report(context.on_step, steps, epochs)]
        if self.options.patience is not None:
            monitor = "val_loss" if validating else "loss"
            callbacks.append(EarlyStopping(monitor, self.options.patience))
        if context.on_step is not None:
            callbacks.append(LayerFigures(callbacks[0]))
        if context.checkpoints is not None:
            callbacks.append(
                Checkpoint(context.checkpoints, callbacks, self.options.checkpoint_seconds)
            )
        return callbacks


def _steps_per_epoch(model: Any, train: Dataset | None, batch_size: int) -> int:
    """Training steps of a pass over the data; a model that cuts its rows says how many."""
    if train is None:
        return NO_DATA_STEPS
    own = getattr(model, "steps_per_epoch", None)
    return train.steps_per_epoch(batch_size) if own is None else int(own(train, batch_size))


def _of_fewer_rows(model: Any, all_rows: int | None, rows: int | None) -> Any:
    """A copy of a log joint that stood for all rows, to stand for those that are trained on.

    A network counts its rows itself, and a number other than that of all rows was meant so.
    """
    if isinstance(model, keras.Model) or getattr(model, "num_data", None) != all_rows:
        return model
    fewer = copy.copy(model)
    try:
        fewer.num_data = rows
    except AttributeError:
        raise OptionsError(
            "With validation_split a model stands for fewer rows, so that its num_data must be "
            f"one that can be set. Received: a {type(model).__name__} whose num_data is fixed."
        ) from None
    return fewer


def _inputs(
    model: Any,
    train: Dataset | None,
    validation: Dataset | None,
    batch_size: int,
    steps: int,
    epoch: int,
    seed: int,
) -> dict[str, Any]:
    """What ``model.fit`` takes: our own models a Dataset, others its batches."""
    if train is None:
        return {"steps_per_epoch": steps, "shuffle": False}
    if getattr(model, "takes_datasets", False):
        return {"x": train, "batch_size": batch_size, "validation_data": validation}
    held_out = None
    if validation is not None:
        held_out = validation.batches(batch_size, seed=seed, shuffle=False, repeat=False)
    return {
        "x": train.batches(batch_size, seed=seed, start_epoch=epoch),
        "steps_per_epoch": steps,
        "shuffle": False,  # the batches come in the order they shall have
        "validation_data": held_out,
    }


def _completes_itself(model: keras.Model) -> bool:
    """Whether a model brings its objective itself, in one of the methods that Keras asks."""
    return any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in ("compile", "compute_loss", "train_step")
    )


def _has_objective(model: keras.Model) -> bool:
    return _completes_itself(model) or getattr(model, "loss", None) is not None
