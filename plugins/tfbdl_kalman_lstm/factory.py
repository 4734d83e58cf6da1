"""From options and a description of the data to a learned filter."""

from __future__ import annotations

from typing import Any

from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError

from .kalman_net import KalmanNet
from .lstm_kalman import LSTMKalman
from .network_config import KalmanNetOptions, LSTMKalmanOptions


def build_lstm_kalman(
    options: LSTMKalmanOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> LSTMKalman:
    """An LSTMKalman for sequences that ``info`` describes.

    Args:
        options: See LSTMKalmanOptions.
        info: Of observations ``[n, T, m]``, or ``[n, T]`` where m is 1, and states as targets.
        prior: None: the weights' prior is an option.
        seed: Of weights and noise.

    Raises:
        DataError: If the data are no sequences.
    """
    chosen = options.model_dump(exclude={"state_dim"})
    return LSTMKalman(*sizes(options.state_dim, info), seed=seed, name="lstm_kalman", **chosen)


def build_kalman_net(
    options: KalmanNetOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> KalmanNet:
    """A KalmanNet for sequences that ``info`` describes; see ``build_lstm_kalman``."""
    chosen = options.model_dump(exclude={"state_dim", "dynamics"})
    state_dim, observation_dim = sizes(options.state_dim, info)
    return KalmanNet(
        state_dim, observation_dim, options.dynamics, seed=seed, name="kalman_net", **chosen
    )


def sizes(state_dim: int | None, info: DataInfo | None) -> tuple[int, int]:
    """Sizes of a state and of an observation.

    Args:
        state_dim: If it was given.
        info: Of the data.

    Raises:
        DataError: If rows are no sequences, or targets no sequences of states.
    """
    x_shape: Any = None if info is None else info.x_shape
    y_shape: Any = None if info is None else info.y_shape
    if not isinstance(x_shape, tuple) or len(x_shape) not in (1, 2):
        raise DataError(
            "A learned filter is made for sequences: observations [n, T, m], or [n, T] of single "
            f"numbers. Received: {'no data' if info is None else f'rows of shape {x_shape}'}."
        )
    observation_dim = x_shape[1] if len(x_shape) == 2 else 1
    if y_shape is None:
        return state_dim or observation_dim, observation_dim
    if len(y_shape) not in (1, 2) or y_shape[0] != x_shape[0]:
        raise DataError(
            f"Targets of a learned filter are states, one for each of {x_shape[0]} observations: "
            f"[n, {x_shape[0]}, d]. Received: targets of shape [n, {', '.join(map(str, y_shape))}]."
        )
    found = y_shape[1] if len(y_shape) == 2 else 1
    if state_dim not in (None, found):
        raise DataError(
            f"The targets are states of size {found}. Expected: state_dim={found}, or none. "
            f"Received: state_dim={state_dim}."
        )
    return found, observation_dim
