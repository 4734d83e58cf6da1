"""StateSpaceFilter: what any filter of a known model answers, however it keeps its belief."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.config import check_whole

from .controls import matched
from .sequences import by_sequence


class StateSpaceFilter:
    """Draws of a model's sequences, and of the states behind those that were observed.

    A subclass has ``_simulate`` and ``_draw_paths``.

    Attributes:
        state_dim: Size d of a state.
        observation_dim: Size m of an observation.
    """

    state_dim: int
    observation_dim: int

    def sample(self, T: int, n: int = 1, seed: int = 0, u: Any = None) -> tuple[Any, Any]:
        """Draw states ``[n, T, d]`` and observations ``[n, T, m]`` of the model itself.

        Args:
            T: Steps.
            n: Sequences.
            seed: Of the draws.
            u: Control inputs, ``[T, u]`` or ``[n, T, u]``.

        Raises:
            OptionsError: If T or n is no positive integer.
        """
        check_whole("T", T)
        check_whole("n", n)
        states, values = self._simulate(int(T), int(n), seed, u)
        return by_sequence(states), by_sequence(values)

    def sample_states(self, y: Any, n: int = 1, seed: int = 0, u: Any = None) -> np.ndarray:
        """Draw ``n`` paths from ``p(x_1..T | y)``: ``[n, T, d]``.

        Of several sequences ``[n, sequence, T, d]``. As good as the filter's belief: exact in a
        linear model, with the moments of ``smooth`` where Gaussians stand for what is none, by
        backward simulation among particles.

        Args:
            y, u: As ``filter``.
            n: Paths of each sequence.
            seed: Of the draws.

        Raises:
            OptionsError: If n is no positive integer.
        """
        check_whole("n", n)
        values, single, _, u = matched(y, u, self.observation_dim)
        paths = self._draw_paths(values, int(n), seed, u)
        return paths[:, 0] if single else paths

    def _simulate(self, T: int, n: int, seed: int, u: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """States ``[T, n, d]`` and observations ``[T, n, m]``."""
        raise NotImplementedError

    def _draw_paths(self, values: np.ndarray, n: int, seed: int, u: Any) -> np.ndarray:
        """Paths given ``values [sequence, T, m]``: ``[n, sequence, T, d]``."""
        raise NotImplementedError
