"""The filters that are compared, each as a function from observations to means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from tfbdl_kalman_lstm import KalmanFilter, KalmanNet, LSTMKalman
from tfbdl_kalman_lstm.dynamics import lorenz
from tfbdl_kalman_lstm.extended import ExtendedKalmanFilter

from benchmarks.kalman.data import Q2, R2

Filter = Callable[[np.ndarray], np.ndarray]
BATCH = 50
RATES = {"lstm_kalman": 3e-3, "residual_lstm": 3e-3, "lstm": 3e-3, "kalman_net": 1e-3}
STEP = 0.02


class CosineByTime(keras.callbacks.Callback):
    """Lets the learning rate fall to zero over a time, and then stops; compiling does not count.

    The time is the processor's, so that other work on the machine does not change the budget.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        super().__init__()
        self.rate, self.seconds, self.steps = rate, seconds, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Set the rate of the next step."""
        if not self.steps:
            self.started = time.process_time()
        self.steps += 1
        share = min((time.process_time() - self.started) / self.seconds, 1.0)
        rate = self.rate * 0.5 * (1.0 + np.cos(np.pi * share))
        self.model.optimizer.learning_rate.assign(rate)
        self.model.stop_training = share >= 1.0


def extended(observed: tuple[int, ...]) -> Filter:
    """The extended Kalman filter that knows the dynamics and the noise."""
    known = ExtendedKalmanFilter(*lorenz(q2=Q2, r2=R2, observed=observed))
    return lambda y: known.filter(y).means


def constant_velocity(x: np.ndarray, y: np.ndarray) -> Filter:
    """The best of a range of constant-velocity filters on these sequences."""
    candidates = [_velocity_filter(variance) for variance in 10.0 ** np.arange(0, 6.1, 0.5)]
    errors = [np.mean((run(y) - x) ** 2) for run in candidates]
    return candidates[int(np.argmin(errors))]


def _velocity_filter(variance: float) -> Filter:
    """Position and velocity of each coordinate; acceleration is white noise of a variance."""
    one = np.array([[1.0, STEP], [0.0, 1.0]])
    noise = variance * np.array([[STEP**3 / 3, STEP**2 / 2], [STEP**2 / 2, STEP]])
    three = np.eye(3)
    model = KalmanFilter(
        np.kron(one, three), np.kron([[1.0, 0.0]], three), np.kron(noise, three), R2 * three,
        np.r_[np.ones(3), np.zeros(3)], np.diag([1.0] * 3 + [1e3] * 3),
    )  # fmt: skip
    return lambda y: model.filter(y).means[..., :3]


def trained(
    name: str, y: np.ndarray, x: np.ndarray, observed: tuple[int, ...], seed: int, seconds: float
) -> tuple[Filter, int]:
    """A filter by name, trained for a time: it, and its steps."""
    H = np.eye(3)[list(observed)]
    if name == "lstm_kalman":
        model: Any = LSTMKalman(3, len(observed), H=H, seed=seed)
        answer = lambda y: model.filter(y).means  # noqa: E731
    elif name == "kalman_net":
        options = {"observed": observed}
        model = KalmanNet(3, len(observed), "lorenz", dynamics_options=options, seed=seed)
        answer = lambda y: model.filter(y).means  # noqa: E731
    else:
        model, answer = _lstm(y, x, H, name == "residual_lstm", seed)
    return answer, _train(model, y, x, RATES[name], seconds)


def trained_by_likelihood(y: np.ndarray, seed: int, seconds: float, **options: Any) -> LSTMKalman:
    """An LSTMKalman that never saw a state."""
    model = LSTMKalman(3, y.shape[-1], seed=seed, **options)
    _train(model, y, None, RATES["lstm_kalman"], seconds)
    return model


def _train(model: Any, y: np.ndarray, x: Any, rate: float, seconds: float) -> int:
    clock = CosineByTime(rate, seconds)
    loss = {} if isinstance(model, (LSTMKalman, KalmanNet)) else {"loss": "mse"}
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), jit_compile=True, **loss)
    inputs = [part.astype("float32") for part in (y, x) if part is not None]
    model.fit(*inputs, batch_size=BATCH, epochs=100_000, verbose=0, callbacks=[clock])
    return clock.steps


def _lstm(
    y: np.ndarray, x: np.ndarray, H: np.ndarray, residual: bool, seed: int
) -> tuple[keras.Model, Filter]:
    """An LSTM(64) and a dense layer from observations to states, in standard units."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input(y.shape[1:])
    before = layers.Normalization(mean=y.mean((0, 1)), variance=y.var((0, 1)))
    hidden = layers.LSTM(64, return_sequences=True)(before(inputs))
    outputs = layers.Dense(3)(hidden)
    outputs = layers.Rescaling(x.std((0, 1)).tolist(), (x.mean((0, 1)) * (not residual)).tolist())(
        outputs
    )
    if residual:
        back = layers.Dense(3, use_bias=False, trainable=False)
        outputs = layers.Add()([outputs, back(inputs)])
    model = keras.Model(inputs, outputs)
    if residual:
        back.kernel.assign(H)

    def answer(values: np.ndarray) -> np.ndarray:
        """An LSTM knows no gaps: it is given the last observation again."""
        filled = values.copy()
        for t in range(values.shape[1]):
            last = filled[:, t - 1] if t else np.broadcast_to(y[:, 0].mean(0), filled[:, 0].shape)
            filled[:, t] = np.where(np.isnan(filled[:, t]), last, filled[:, t])
        found: np.ndarray = model.predict(filled.astype("float32"), verbose=0)
        return found

    return model, answer
