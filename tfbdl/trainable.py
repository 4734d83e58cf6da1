"""TrainableModel: the base of ``keras.Model``s that bring their own objective and noise."""

from __future__ import annotations

import abc
import random as python_random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from . import functional, random
from .data import Dataset, as_dataset, steps_per_execution
from .errors import DataError, OptionsError
from .inference.surrogate import read
from .specs import Capability

BATCH_SIZE = 32

THREAD = threading.local()
"""Replicas are traced in threads of their own; each keeps here what ``call`` leaves to the loss."""


class StepCounter(keras.metrics.Metric):
    """Counts the batches of an evaluation; Keras resets it where an evaluation begins."""

    def __init__(self) -> None:
        super().__init__(name="evaluation_step")
        self.count = self.add_variable(
            (), "zeros", dtype="int64", aggregation="only_first_replica", name="count"
        )

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Count one batch."""
        self.count.assign_add(tf.ones((), tf.int64))

    def result(self) -> tf.Tensor:
        """The index of the batch at hand."""
        return read(self.count)


class TrainableModel(keras.Model, abc.ABC):
    """A model of rows ``x`` alone, whose subclass says what training minimises.

    A subclass overrides ``call`` and ``batch_loss`` and draws its noise with ``noise_key``;
    ``train_step`` stays Keras' own, so that it trains under every strategy. Data are checked,
    counted and ordered by (seed, epoch); targets play no part.

    Args:
        seed: Of the noise of training; None: drawn from Python's ``random``.
        **kwargs: Of ``keras.Model``.

    Attributes:
        objective: What it minimises, in words, for errors.
        rng_seed, rng_step: What the noise of training is a function of, as weights.
        evaluation_step: What the noise of an evaluation is a function of.
    """

    capabilities = frozenset({Capability.TRAINABLE})
    default_engine = "variational"
    takes_datasets = True
    objective: ClassVar[str] = "its own objective"
    given_steps_per_execution = 1

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if seed is None:
            seed = python_random.randint(1, 2**31 - 1)
        self.rng_seed = self.add_state("rng_seed", np.int64(seed))
        self.rng_step = self.add_state("rng_step", np.int64(0))
        self.evaluation_step = StepCounter()

    def add_state(self, name: str, value: Any, trainable: bool = False) -> keras.Variable:
        """Add a weight with a value, which mixed precision leaves alone.

        One that no gradient moves is the same on all replicas.
        """
        more = {} if trainable else {"aggregation": "only_first_replica"}
        weight = self.add_weight(
            name=name,
            shape=np.shape(value),
            dtype=np.asarray(value).dtype.name,
            initializer="zeros",
            trainable=trainable,
            autocast=False,
            **more,
        )
        weight.assign(value)
        return weight

    def take_weights(self, other: keras.Model) -> None:
        """Set all weights, noise included, to those of a model of the same form."""
        for mine, theirs in zip(self.weights, other.weights, strict=True):
            mine.assign(theirs)

    # -- Keras' verbs ---------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        *,
        steps_per_execution: int = 1,
        **kwargs: Any,
    ) -> None:
        """As in Keras, without a loss and metrics of targets.

        ``steps_per_execution`` is lowered by ``fit`` to a divisor of an epoch's steps, so that an
        epoch has as many as it should. Where a layer computes in float16 the loss is scaled.

        Raises:
            OptionsError: If a loss or metrics are given.
        """
        if loss is not None:
            raise OptionsError(
                f"{type(self).__name__} minimises {self.objective} and takes no loss. "
                f"Received: loss={loss!r}."
            )
        for name in ("loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name):
                raise OptionsError(
                    f"{type(self).__name__} minimises {self.objective} and has metrics of its own; "
                    f"there are no targets for others. Received: {name}={kwargs[name]!r}."
                )
        self.given_steps_per_execution = steps_per_execution
        optimizer = functional.scaled_optimizer(self, optimizer)
        super().compile(optimizer=optimizer, steps_per_execution=steps_per_execution, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a stored model was, and make room for the optimizer's state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As in Keras; the rows are checked, and ordered by (seed, epoch).

        Raises:
            DataError: If the rows do not suit the model, or have weights.
        """
        self.refuse_weights(kwargs)
        data = self.training_rows(x, y)
        if validation_split:
            if validation_data is not None:
                raise DataError("Give validation_split or validation_data. Received: both.")
            data, validation_data = data.validation_split(validation_split)
        size = batch_size or BATCH_SIZE
        seed = int(self.rng_seed.numpy())
        held_out = None
        if validation_data is not None:
            rows = self.training_rows(validation_data, what="x_val")
            held_out = rows.batches(size, seed=seed, shuffle=False, repeat=False)
        steps = data.steps_per_epoch(size) if steps_per_epoch is None else steps_per_epoch
        make_whole_executions(self, steps)
        first, skip = start_of(data, size, initial_epoch, steps_per_epoch)
        self.on_fit(data)
        return super().fit(
            self.batches(data, size, seed=seed, shuffle=shuffle, start_epoch=first, skip=skip),
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=held_out,
            shuffle=False,  # the batches come in the order they shall have
            initial_epoch=initial_epoch,
            steps_per_epoch=steps,
            **kwargs,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As in Keras: means over rows, with noise of its own; ``y`` plays no part.

        Raises:
            DataError: If the rows do not suit the model, or have weights.
        """
        self.refuse_weights({"sample_weight": sample_weight})
        if not kwargs.get("_use_cached_eval_dataset"):
            data = self.training_rows(x)
            self.make_ready(data)
            x = data.batches(batch_size or BATCH_SIZE, seed=0, shuffle=False, repeat=False)
        return super().evaluate(x, None, None, verbose, **kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """As in Keras; ``y`` plays no part, and the rows are not checked.

        Raises:
            DataError: If rows have weights.
        """
        self.refuse_weights({"sample_weight": sample_weight, "class_weight": class_weight})
        self.make_ready(x)
        return super().train_on_batch(x, y, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """As in Keras; ``y`` plays no part, and the rows are not checked.

        Raises:
            DataError: If rows have weights.
        """
        self.refuse_weights({"sample_weight": sample_weight})
        self.make_ready(x)
        return super().test_on_batch(x, y, return_dict=return_dict)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """As Keras' step asks for it: ``batch_loss`` and what layers add, by replicas."""
        added = self.losses  # before the loss calls a layer again, which would forget them
        loss = self.batch_loss(x, bool(training))
        for term in added:  # of activities, and of weights
            loss += tf.cast(term, loss.dtype)
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def train_step(self, data: Any) -> Any:
        """Keras' own step, then the count that gives the next step new noise."""
        logs = super().train_step(data)
        self.rng_step.assign_add(tf.ones((), tf.int64))
        return logs

    def test_step(self, data: Any) -> Any:
        """Keras' own step, on a stream of noise that training does not share."""
        with evaluating():
            logs = super().test_step(data)
        self.evaluation_step.update_state()
        return logs

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics of Keras, without the step counter."""
        results: dict[str, Any] = super().get_metrics_result()
        results.pop(self.evaluation_step.name, None)
        return results

    # -- what a subclass uses or overrides ------------------------------------------------------

    @abc.abstractmethod
    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """What is minimised: a mean over the rows of the last call; metrics are updated here.

        Args:
            x: The rows as they were given.
            training: Whether it is a step of training or of an evaluation.
        """

    def training_rows(self, x: Any, y: Any = None, what: str = "x") -> Dataset:
        """Any data as checked rows without targets.

        Raises:
            DataError: If the rows do not suit the model, or have weights.
        """
        return self.rows_alone(as_dataset(x), what)

    def refuse_weights(self, arguments: Mapping[str, Any]) -> None:
        """Refuse weights of rows among the arguments of a verb of Keras.

        Raises:
            DataError: With the argument's name.
        """
        for name in ("sample_weight", "class_weight"):
            if arguments.get(name) is not None:
                raise DataError(
                    f"{type(self).__name__} counts each row once. Expected x or (x, y). "
                    f"Received: a {name}."
                )

    def rows_alone(self, data: Dataset, what: str = "x") -> Dataset:
        """Checked rows of a Dataset, without its targets."""
        spec: Any = None if data.stream is None else data.stream.element_spec
        weighted = isinstance(spec, tuple) and len(spec) > 2
        self.refuse_weights({"sample_weight": True if weighted else data.sample_weight})
        data = data.inputs()
        if data.stream is None:
            self.check_rows(data.x, what)
        return data

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows that the model cannot have produced.

        Raises:
            DataError: With what was expected.
        """

    def on_fit(self, data: Dataset) -> None:
        """Called with the training rows before Keras' ``fit``."""

    def make_ready(self, rows: Any) -> None:
        """Called before Keras' other verbs, with a Dataset or a batch: build what is not built."""

    def batches(self, data: Dataset, batch_size: int, **options: Any) -> Any:
        """The batches of training; ``options`` are those of ``Dataset.batches``."""
        return data.batches(batch_size, **options)

    def noise_key(self, training: bool | None, *salts: Any) -> tf.Tensor:
        """The key of this call's noise: a function of seed, stream, salts, step and replica.

        Validating more often does not change training.
        """
        stream = "train" if training else getattr(THREAD, "stream", "call")
        step = self.evaluation_step.result() if stream == "evaluate" else read(self.rng_step)
        return random.key(read(self.rng_seed), stream, *salts, step, random.replica_id())


@contextmanager
def evaluating() -> Iterator[None]:
    """Within this context noise comes from the stream of evaluations."""
    THREAD.stream = "evaluate"
    try:
        yield
    finally:
        del THREAD.stream


def make_whole_executions(model: Any, steps: int | None) -> None:
    """Lower ``steps_per_execution`` to a divisor of an epoch's steps.

    Keras makes whole executions alone, and of batches that never end it would take more than an
    epoch has.

    Args:
        model: With ``given_steps_per_execution``, which ``compile`` was given.
        steps: Of an epoch; None: not known.
    """
    asked = model.given_steps_per_execution
    lowered = asked if steps is None else steps_per_execution(steps, asked)
    if lowered != model.steps_per_execution:
        model.steps_per_execution = lowered
        model.train_function = model.test_function = None  # traced with the number before


def start_of(
    data: Dataset, batch_size: int, initial_epoch: int, steps_per_epoch: int | None
) -> tuple[int, int]:
    """The pass over the data, and the batch of it, at which ``initial_epoch`` begins."""
    if steps_per_epoch is None or not initial_epoch:
        return initial_epoch, 0
    batches = initial_epoch * steps_per_epoch
    if data.num_rows is None:
        return 0, batches
    return divmod(batches, data.steps_per_epoch(batch_size))


def row_mean(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """``sum(values) / rows``, and zero where a replica gets no share of a small batch."""
    return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(rows, values.dtype))
