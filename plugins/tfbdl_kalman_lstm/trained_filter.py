"""TrainedFilter: what learned filters share: sequences as rows, their states as targets."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl.config import check_choice, check_whole
from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError
from tfbdl.inference.surrogate import read
from tfbdl.trainable import BATCH_SIZE, THREAD, TrainableModel, row_mean

from .recurrence import scan
from .sequences import arrange

WORTH_COMPILING = 10_000
"""Steps of sequences in a training, of all batches: XLA takes as long as some thousand to begin."""


class Pass(NamedTuple):
    """What a run over a batch leaves for the loss; masks are 1 where an element is known.

    Attributes:
        found: Of each step, time first.
        y, seen: Observations ``[n, T, m]``.
        kl: Of random weights, in nats.
    """

    found: Any
    y: tf.Tensor
    seen: tf.Tensor
    kl: Any


class TrainedFilter(TrainableModel):
    """A filter whose parts are learned from sequences, as a ``keras.Model``.

    Rows are sequences: ``fit(y, x)`` takes observations ``[n, T, m]`` (``[n, T]`` where m is 1) and
    states ``[n, T, d]`` (``[n, T]`` where d is 1), or lists of sequences of unequal length; NaN
    stands for what is not known. ``model(y)`` gives the filtered means ``[n, T, d]``.

    A subclass has ``start``, ``advance``, ``row_losses`` and ``drawn_weights``.

    Args:
        state_dim: d.
        observation_dim: m.
        objective: What training minimises.
        truncate: Steps after which gradients are cut; None: never.
        seed: Of weights and noise; None: drawn from Python's ``random``.
        **kwargs: Of ``keras.Model``.
    """

    default_learning_rate = 3e-3
    given_jit_compile: bool | str = "auto"
    jit_compile: bool  # a property of keras.Model
    may_compile = True
    gives: ClassVar[type[Any]]
    objectives: ClassVar[tuple[str, ...]] = ("auto", "squared", "likelihood")
    objective: ClassVar[str] = "the error of its states, or the negative log-likelihood"

    def __init__(
        self,
        state_dim: int,
        observation_dim: int,
        *,
        objective: str = "auto",
        truncate: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None))
        # covariances want the precision of the variables, whatever a policy computes in
        super().__init__(seed=seed, dtype=policy.variable_dtype, **kwargs)
        self.state_dim = check_whole("state_dim", state_dim)
        self.observation_dim = check_whole("observation_dim", observation_dim)
        check_choice("objective", objective, self.objectives)
        self.objective_name = objective
        self.truncate = None if truncate is None else check_whole("truncate", truncate)
        self.with_states = False
        self.state_error = keras.metrics.Mean(name="mse")

    # -- Keras' verbs ----------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """As in Keras; by default Adam with gradients clipped to a norm of 1.

        ``jit_compile="auto"`` means XLA where a ``fit`` is long enough to pay for compiling, on one
        device.
        """
        if optimizer is None:
            optimizer = keras.optimizers.Adam(self.default_learning_rate, global_clipnorm=1.0)
        self.given_jit_compile = jit_compile
        several = self.distribute_strategy.num_replicas_in_sync > 1
        supported = all(layer.supports_jit for layer in self._flatten_layers(include_self=False))
        self.may_compile = supported and not several and not kwargs.get("run_eagerly")
        jit_compile = jit_compile is not False and jit_compile != "auto"
        super().compile(optimizer, loss, jit_compile=jit_compile, **kwargs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *args: Any,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As in Keras: observations ``x [n, T, m]`` and, where they are known, states ``y``.

        Raises:
            DataError: If shapes do not fit the model or each other, or states are needed.
        """
        self.planned = (batch_size or BATCH_SIZE, epochs)
        return super().fit(x, y, batch_size, epochs, *args, **kwargs)

    def on_fit(self, data: Dataset) -> None:
        """Choose whether XLA compiles the step of training, where nobody has said so."""
        if self.given_jit_compile != "auto":
            return
        size, epochs = self.planned
        batches = math.inf if data.num_rows is None else epochs * data.steps_per_epoch(size)
        shape: Any = data.info.x_shape
        length = shape[0] or math.inf
        wanted = self.may_compile and batches * length >= WORTH_COMPILING
        if wanted != self.jit_compile:
            self.jit_compile = wanted
            self.train_function = self.test_function = None  # traced without

    def get_compile_config(self) -> dict[str, Any] | None:
        """As in Keras, with ``jit_compile`` as it was given: devices may differ on loading."""
        config = super().get_compile_config()
        return config and {**config, "jit_compile": self.given_jit_compile}

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in Keras: means over sequences ``x`` of observations, with states ``y`` if given."""
        return super().evaluate(x if y is None else (x, y), None, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Filtered means ``[n, T, d]`` of observations ``[n, T, m]``, NaN where one is missing."""
        y, seen = self.masked(inputs)
        weights, kl = self.drawn_weights(training)
        _, found = self.run(y, seen, weights)
        THREAD.passed = Pass(found, y, seen, kl)
        return tf.transpose(found.means, [1, 0, 2])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """See TrainableModel; ``y`` are the states, where they are known."""
        THREAD.states = y
        self.with_states = y is not None
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """The mean over sequences of what the objective says."""
        passed: Pass = THREAD.passed
        states, known = None, None
        if THREAD.states is not None:
            states = tf.cast(THREAD.states, self.dtype)
            states = states if states.shape.rank == 3 else states[..., tf.newaxis]
            known = tf.cast(~tf.math.is_nan(states), self.dtype)
            states = tf.where(known > 0, states, 0.0)
            error = squares(states, known, passed.found.means)
            self.state_error.update_state(
                tf.math.divide_no_nan(tf.reduce_sum(error), tf.reduce_sum(known)),
                sample_weight=tf.reduce_sum(known),
            )
        return row_mean(self.row_losses(passed, states, known), tf.shape(passed.y)[0])

    def get_metrics_result(self) -> dict[str, Any]:
        """As in Keras, without errors of states where none were given."""
        results = super().get_metrics_result()
        if not self.with_states:
            results.pop(self.state_error.name, None)
        return results

    # -- what a subclass gives -------------------------------------------------------------------

    def start(self, batch: Any) -> Any:
        """The state before the first observation, of ``batch`` sequences, a number or tensor."""
        raise NotImplementedError

    def advance(self, state: Any, y: tf.Tensor, seen: tf.Tensor, weights: Any) -> tuple[Any, Any]:
        """One step: the next state, and what was found (of the type ``gives``)."""
        raise NotImplementedError

    def row_losses(
        self, passed: Pass, states: tf.Tensor | None, known: tf.Tensor | None
    ) -> tf.Tensor:
        """What is minimised, ``[n]``; metrics are updated here."""
        raise NotImplementedError

    def drawn_weights(self, training: bool | None) -> tuple[Any, Any]:
        """What ``advance`` is given as weights, read once a call, and the KL of random ones."""
        raise NotImplementedError

    # -- running ---------------------------------------------------------------------------------

    def run(
        self, y: tf.Tensor, seen: tf.Tensor, weights: Any = None, state: Any = None
    ) -> tuple[Any, Any]:
        """Run over sequences ``[n, T, m]``: the last state, and what was found, time first."""
        if state is None:
            state = self.start(tf.shape(y)[0])
        if weights is None:
            weights = self.drawn_weights(None)[0]

        def step(state: Any, y: tf.Tensor, seen: tf.Tensor) -> tuple[Any, Any]:
            return self.advance(state, y, seen, weights)

        return scan(step, state, y, seen, self.gives, self.truncate)

    def masked(self, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Observations without NaN, and 1 where one was seen, else 0: ``[n, T, m]`` each."""
        y = tf.cast(y, self.dtype)
        y = y if y.shape.rank == 3 else y[..., tf.newaxis]
        seen = tf.cast(~tf.math.is_nan(y), self.dtype)
        return tf.where(seen > 0, y, 0.0), seen

    def observation(self, y_t: Any, batch: int | None) -> tuple[tf.Tensor, tf.Tensor]:
        """One observation of each sequence without NaN, and 1 where one was seen, ``[n, m]`` each.

        Args:
            y_t: ``[n, m]``, NaN where an element is missing.
            batch: n; None where a graph does not know it.

        Raises:
            DataError: If ``y_t`` has another shape, or is infinite and not part of a graph.
        """
        y = tf.convert_to_tensor(y_t)
        size = self.observation_dim
        if y.shape.rank != 2 or y.shape[1] != size or batch not in (None, y.shape[0]):
            raise DataError(
                f"step takes one observation of each sequence, [{batch or 'batch'}, {size}]. "
                f"Received: shape {list(y.shape)}."
            )
        if tf.executing_eagerly() and np.isinf(y.numpy()).any():
            raise DataError(
                "step takes observations that are finite, or NaN where one is missing. "
                "Received: Inf."
            )
        y, seen = self.masked(y[:, tf.newaxis])
        return y[:, 0], seen[:, 0]

    def sequences(self, y: Any) -> tuple[tf.Tensor, bool]:
        """What a query was given as ``[n, T, m]``, and whether it was one sequence alone.

        Raises:
            DataError: If it is neither ``[T, m]`` nor ``[n, T, m]``.
        """
        values, single = arrange(y, self.observation_dim)
        return tf.constant(values, self.dtype), single

    # -- rows ------------------------------------------------------------------------------------

    def training_rows(self, x: Any, y: Any = None, what: str = "x") -> Dataset:
        """Observations as checked rows, with states as their targets if these are given.

        Raises:
            DataError: If shapes do not fit the model or each other, or the objective needs states
                that were not given.
        """
        if isinstance(x, tuple) and y is None and len(x) == 2:
            x, y = x
        x, y = (padded(part) for part in (x, y))
        kind = str(self.dtype)
        given = x if y is None else (x, y)
        data = as_dataset(given, dtype=kind, allow_nan=True, task="regression" if y is not None
                          else None)  # fmt: skip
        info: Any = data.info
        self.refuse_weights({"sample_weight": data.sample_weight})
        check_shape(f"Observations {what}", info.x_shape, self.observation_dim, "m")
        if data.stream is None:
            check_seen(np.asarray(data.x))
        if info.y_shape is None:
            if self.objective_name == "squared":
                raise DataError(
                    f"objective='squared' of {type(self).__name__} compares with states. Expected: "
                    f"fit(y, x) with states x, or objective='auto' or {self.objectives[-1]!r}. "
                    "Received: observations alone."
                )
        else:
            check_shape("States", info.y_shape, self.state_dim, "d")
            if info.y_shape[0] != info.x_shape[0]:
                raise DataError(
                    "Expected a state for each observation. Received: observations of "
                    f"{info.x_shape[0]} steps and states of {info.y_shape[0]}."
                )
        return data

    def make_ready(self, rows: Any) -> None:
        """There is nothing to build: sizes are arguments."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments that all learned filters have."""
        return {
            "state_dim": self.state_dim,
            "observation_dim": self.observation_dim,
            "objective": self.objective_name,
            "truncate": self.truncate,
            "seed": int(read(self.rng_seed).numpy()),
            "name": self.name,
            "dtype": str(self.dtype),
        }

    def clone(self, seed: int | None = None) -> Self:
        """A copy, initialised anew from ``seed``; with None of the same weights and noise."""
        config = self.get_config()
        copy = self.from_config({**config, "seed": config["seed"] if seed is None else seed})
        if seed is None:
            for old, new in zip(self.weights, copy.weights, strict=True):
                new.assign(old)
        return copy


def squares(states: tf.Tensor, known: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
    """``||x_t - mean_t||^2`` over known elements, ``[n, T]``.

    Shapes:
        states, known: ``[n, T, d]``.
        means: Time first, ``[T, n, d]``.
    """
    return tf.reduce_sum(known * tf.square(states - tf.transpose(means, [1, 0, 2])), -1)


def over_time(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Means ``[n]`` over the steps of which something is known.

    Shapes:
        values: ``[n, T]``, 0 where nothing is known.
        known: ``[n, T, a]``.
    """
    steps = tf.reduce_sum(tf.reduce_max(known, -1), -1)
    return tf.math.divide_no_nan(tf.reduce_sum(values, -1), steps)


def padded(values: Any) -> Any:
    """A list of sequences of unequal length as one array, filled up with NaN; else as given."""
    if isinstance(values, list) and len({np.shape(part) for part in values}) > 1:
        return arrange(values, None, "Sequences")[0]
    return values


def check_seen(values: np.ndarray) -> None:
    """Refuse sequences ``[n, T, ...]`` of which nothing is known.

    Raises:
        DataError: If they have no steps, or one has no observation at all.
    """
    empty = np.flatnonzero(np.isnan(values).all(axis=tuple(range(1, values.ndim))))
    if empty.size:
        received = (
            f"all of sequence {empty[0]} are missing (NaN)"
            if values.shape[1]
            else "sequences of 0 steps"
        )
        raise DataError(f"Each sequence needs an observation. Received: {received}.")


def check_shape(what: str, shape: Any, size: int, letter: str) -> None:
    """Refuse rows that are no sequences of vectors of this size.

    Raises:
        DataError: With what was expected.
    """
    fits = isinstance(shape, tuple) and (
        (len(shape) == 2 and shape[1] == size) or (len(shape) == 1 and size == 1)
    )
    if not fits:
        alone = f" or [n, T], for {letter} is 1" if size == 1 else ""
        one = " One sequence is given as y[np.newaxis]." if shape == (size,) and size > 1 else ""
        received = f"[n, {', '.join(map(str, shape))}]" if isinstance(shape, tuple) else "parts"
        raise DataError(f"{what} must be [n, T, {size}]{alone}.{one} Received: shape {received}.")
