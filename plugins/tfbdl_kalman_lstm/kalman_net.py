"""KalmanNet: a filter of known motion whose gain a recurrent net gives (Revach et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tfbdl import functional
from tfbdl.config import check_whole
from tfbdl.data import Dataset
from tfbdl.errors import ModelError, OptionsError, did_you_mean
from tfbdl.inference.surrogate import read

from . import parameters
from .dynamics import SYSTEMS
from .gain_steps import GainState, GainStep, PointStates, unit
from .sequences import by_sequence
from .trained_filter import Pass, TrainedFilter, over_time, squares

RANDOM_WALK = "random_walk"
SMALL = 0.1
"""Size of the gain's first kernel beside Glorot's: large gains drive a nonlinear f to infinity."""


@keras.saving.register_keras_serializable(package="tfbdl_kalman_lstm")
class KalmanNet(TrainedFilter):
    """``x_t = f(x_t-1)``, ``y_t = h(x_t)`` with noise of unknown size; a GRU gives the gain.

    ``mean_t = f(mean_t-1) + K_t (y_t - h(f(mean_t-1)))``, where ``K_t`` comes from the innovation,
    the change of the observation, and the last update and change of the estimate, each scaled to
    length one. It gives a point estimate of the state, and no covariance: there is no likelihood
    and no interval. Choose ``LSTMKalman`` for these.

    Args:
        state_dim: d.
        observation_dim: m.
        f: From a state ``[d]`` to the next: a TensorFlow function; or a system's name, which brings
            h with it: ``lorenz``, ``pendulum``, ``track``, or ``random_walk``.
        h: From a state to what is seen of it, ``[m]``; None with a name.
        dynamics_options: Of a system given by name, such as ``{"J": 2}`` of ``lorenz``.
        m0: The first state before its observation, ``[d]``; by default ``fit`` takes it from its
            states, and without states it is 0.
        units: Of the GRU; None: ``10 (d^2 + m^2)``, as in the paper.
        hidden: Units of the dense layers before and after it; None: as many.
        objective: ``squared``: the mean over steps of ``|x_t - mean_t|^2``; ``prediction``: of
            ``|y_t - h(f(mean_t-1))|^2``, which needs no states; ``auto``: the first where states
            are given.
        seed: Of the weights; None: drawn from Python's ``random``.
        name: Of the model.
        **kwargs: ``truncate`` as in LSTMKalman; others of ``keras.Model``.

    Raises:
        OptionsError: If sizes do not fit, or there is no such system.

    References:
        Revach et al. 2022, "KalmanNet: neural network aided Kalman filtering for partially known
        dynamics", section III (architecture 1); Revach et al. 2022, "Unsupervised learned Kalman
        filtering" (``prediction``).
    """

    gives = GainStep
    objectives = ("auto", "squared", "prediction")
    objective = "the squared error of its estimates"
    default_learning_rate = 1e-3

    def __init__(
        self,
        state_dim: int,
        observation_dim: int,
        f: str | Callable[[tf.Tensor], tf.Tensor] = RANDOM_WALK,
        h: Callable[[tf.Tensor], tf.Tensor] | None = None,
        *,
        dynamics_options: Mapping[str, Any] | None = None,
        m0: Any = None,
        units: int | None = None,
        hidden: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(state_dim, observation_dim, **kwargs)
        d, m = state_dim, observation_dim
        self.f, self.h, self.dynamics_options = f, h, dict(dynamics_options or {})
        self.given_m0 = None if m0 is None else parameters.vector("m0", m0, d)
        self.units = check_whole("units", 10 * (d * d + m * m) if units is None else units)
        self.hidden = check_whole("hidden", self.units if hidden is None else hidden)
        self.move, self.see = self._functions()
        kind = np.dtype(self.dtype)
        start = np.zeros(d) if self.given_m0 is None else self.given_m0
        self.m0 = self.add_state("m0", start.astype(kind))
        self.m0_known = self.add_state("m0_known", np.int64(self.given_m0 is not None))
        with functional.seeded(int(read(self.rng_seed).numpy())):
            layers = keras.layers
            self.before = layers.Dense(self.hidden, "relu", dtype=self.dtype)
            self.gru = layers.GRUCell(self.units, dtype=self.dtype)
            self.after = layers.Dense(self.hidden, "relu", dtype=self.dtype)
            small = keras.initializers.VarianceScaling(SMALL**2, "fan_avg", "uniform")
            self.gain = layers.Dense(d * m, kernel_initializer=small, dtype=self.dtype)
            sizes = (2 * d + 2 * m, self.hidden, self.units, self.hidden)
            for layer, size in zip((self.before, self.gru, self.after, self.gain), sizes,
                                   strict=True):  # fmt: skip
                layer.build((None, size))
        self._check_functions()
        self.prediction_error = keras.metrics.Mean(name="prediction_mse")
        self.built = True

    def _functions(self) -> tuple[Any, Any]:
        if not isinstance(self.f, str):
            if self.h is None or not callable(self.f):
                raise OptionsError(
                    "Expected f and h as TensorFlow functions of one state, or a system's name as "
                    f"f. Received: f={self.f!r}, h={self.h!r}."
                )
            return partial(tf.vectorized_map, self.f), partial(tf.vectorized_map, self.h)
        if self.h is not None:
            raise OptionsError(
                f"The system {self.f!r} brings its own h. Expected: h=None. Received: {self.h!r}."
            )
        if self.f == RANDOM_WALK:
            if self.observation_dim > self.state_dim:
                raise OptionsError(
                    "Of a random walk the first elements of the state are seen. Expected: "
                    f"observation_dim of at most {self.state_dim}. Received: "
                    f"{self.observation_dim}."
                )
            return tf.identity, lambda x: x[..., : self.observation_dim]
        if self.f not in SYSTEMS:
            known = [RANDOM_WALK, *SYSTEMS]
            raise OptionsError(
                f"No system is named {self.f!r}.{did_you_mean(self.f, known)} "
                f"Known: {', '.join(known)}."
            )
        system = SYSTEMS[self.f](**self.dynamics_options)
        return system.f, system.h

    def _check_functions(self) -> None:
        state = tf.ones([2, self.state_dim], self.dtype)
        for role, function, size in (
            ("f", self.move, self.state_dim),
            ("h", self.see, self.observation_dim),
        ):
            try:
                shape = list(function(state).shape)[1:]
            except (tf.errors.InvalidArgumentError, ValueError, IndexError) as error:
                shape = [f"an error: {error}"]
            if shape != [size]:
                raise OptionsError(
                    f"{role} must give [{size}] of a state [{self.state_dim}]. Received: {shape}."
                )

    # -- a step ----------------------------------------------------------------------------------

    def start(self, batch: Any) -> GainState:
        """The state before the first observation; see ``initial_state``."""
        d, m = self.state_dim, self.observation_dim
        mean = tf.broadcast_to(read(self.m0), [batch, d])
        still = tf.zeros([batch, d], self.dtype)
        observed = tf.ensure_shape(self.see(mean), [None, m])
        return GainState(
            mean, mean, observed, still, still, tf.zeros([batch, self.units], self.dtype)
        )

    def advance(
        self, state: GainState, y: tf.Tensor, seen: tf.Tensor, weights: Any
    ) -> tuple[GainState, GainStep]:
        """Take in an observation, then move on to the next step."""
        expected = self.see(state.mean)
        innovation = seen * (y - expected)
        change = seen * (y - state.observed)
        features = [unit(part) for part in (change, innovation, state.change, state.update)]
        hidden, memory = self.gru(self.before(tf.concat(features, -1)), [state.memory])
        gain = tf.reshape(self.gain(self.after(hidden)), [-1, self.state_dim, self.observation_dim])
        update = tf.linalg.matvec(gain, innovation)
        is_seen = tf.reduce_max(seen, -1, keepdims=True) > 0  # else the GRU stays as it was
        mean = state.mean + update
        after = GainState(
            mean=self.move(mean),
            filtered=mean,
            observed=tf.where(seen > 0, y, state.observed),
            update=update,
            change=mean - state.filtered,
            memory=tf.where(is_seen, memory[0] if isinstance(memory, list) else memory,
                            state.memory),
        )  # fmt: skip
        return after, GainStep(mean, state.mean, expected, gain * seen[:, tf.newaxis])

    def drawn_weights(self, training: bool | None) -> tuple[Any, Any]:
        """Its layers read their weights themselves."""
        return None, 0.0

    # -- training --------------------------------------------------------------------------------

    def row_losses(
        self, passed: Pass, states: tf.Tensor | None, known: tf.Tensor | None
    ) -> tf.Tensor:
        """See objective."""
        found = passed.found
        ahead = over_time(squares(passed.y, passed.seen, found.predicted_observations), passed.seen)
        self.prediction_error.update_state(ahead / self.observation_dim)
        if states is None or self.objective_name == "prediction":
            return ahead
        return over_time(squares(states, known, found.means), known)

    def on_fit(self, data: Dataset) -> None:
        """The first time, find m0 where it was not given and states are."""
        super().on_fit(data)
        if int(read(self.m0_known).numpy()):
            return
        held = data.in_memory(8) if data.stream is not None else data
        if held.y is not None:
            first = np.asarray(held.y, np.float64).reshape(len(held.y), -1)[:, : self.state_dim]
            known = ~np.isnan(first)
            self.m0.assign(np.where(known, first, 0.0).sum(0) / np.maximum(known.sum(0), 1))
            self.m0_known.assign(1)

    # -- answers ---------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1) -> GainState:
        """The state before the first observation, for ``step``, of ``batch`` sequences."""
        return self.start(check_whole("batch", batch))

    def step(self, state: GainState, y_t: Any) -> tuple[GainState, tf.Tensor]:
        """Take in one observation of each sequence, ``[batch, m]``: the next state, the estimate.

        Raises:
            DataError: If ``y_t`` has another shape, or is infinite (which nobody looks for within
                a ``tf.function``).
        """
        y, seen = self.observation(y_t, state.mean.shape[0])
        after, found = self.advance(state, y, seen, None)
        return after, found.means

    def filter(self, y: Any) -> PointStates:
        """Estimates of the states given what was observed up to them; there is no covariance.

        Args:
            y: ``[T, m]`` for one sequence (``[T]`` where m is 1), ``[n, T, m]`` for several, or a
                list of sequences of unequal length; NaN where an element is missing.

        Raises:
            DataError: If the shape is none of these.
        """
        values, single = self.sequences(y)
        found = self._found(values)
        arrays = {
            name: by_sequence(getattr(found, name))
            for name in ("means", "predicted_means", "gains")
        }
        return PointStates(**arrays).of(single)

    def held_out(self, x: Any) -> dict[str, float]:
        """``prediction_mse``: of an element of an observation by the step before it.

        See ``tfbdl.protocols.HeldOut``.
        """
        values = np.asarray(x, np.float64)
        values = tf.constant(values if values.ndim == 3 else values[..., np.newaxis], self.dtype)
        ahead = self._found(values).predicted_observations.numpy()
        return {"prediction_mse": float(np.nanmean((np.moveaxis(ahead, 0, 1) - values) ** 2))}

    @cached_property
    def _found(self) -> Any:
        """The filter, compiled once for each shape."""
        return tf.function(partial(_filtered, self), autograph=False)

    # -- copies ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values.

        Raises:
            ModelError: If f or h is no function with a name.
        """
        stored = {}
        for role, function in (("f", self.f), ("h", self.h)):
            if isinstance(function, partial):
                raise ModelError(
                    f"{role} must have a name to be stored by: a function, registered with "
                    "@keras.saving.register_keras_serializable(), or a system's name with "
                    f"dynamics_options. Received: {function!r}."
                )
            plain = function is None or isinstance(function, str)
            stored[role] = function if plain else keras.saving.serialize_keras_object(function)
        own = {name: getattr(self, name) for name in ("dynamics_options", "units", "hidden")}
        m0 = None if self.given_m0 is None else self.given_m0.tolist()
        return {**super().get_config(), **stored, **own, "m0": m0}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        config = dict(config)
        for role in ("f", "h"):
            if isinstance(config.get(role), dict):
                config[role] = keras.saving.deserialize_keras_object(
                    config[role], custom_objects=custom_objects
                )
        return cls(**config)


def _filtered(model: KalmanNet, values: tf.Tensor) -> GainStep:
    y, seen = model.masked(values)
    found: GainStep = model.run(y, seen)[1]
    return found
