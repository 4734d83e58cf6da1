"""How well an auto-encoder gives back rows that it has not seen."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random

from .codes import Codes


class HeldOutRows(Codes):
    """Scores of rows outside training, a model's nets being deterministic but for grey values.

    Each row's grey values are drawn as 0 or 1 from a key of its own where training draws them.
    """

    def scores(self, x: Any, seed: int = 0) -> dict[str, np.ndarray]:
        """What ``scores_of`` says of checked rows, in blocks that fit into memory.

        Args:
            x: Rows.
            seed: Of the grey values.
        """
        x = self.rows(x)
        key = random.fold_in(random.key(seed, "scores"), "rows")
        found = self.encoded("scores", x, random.fold_in(key, tf.range(x.shape[0])))
        return {name: value.numpy() for name, value in found.items()}

    @abc.abstractmethod
    def scores_of(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Name -> a score of each row, in TensorFlow; rows are as the model sees them."""

    def program(
        self, name: str, row: tf.TensorSpec
    ) -> tuple[Callable[..., Any], Sequence[tf.TensorSpec]]:
        """See Codes."""
        if name == "scores":
            keys = tf.TensorSpec([None, 2], tf.uint32)
            return (lambda x, keys: self.scores_of(self.observed(x, keys))), [row, keys]
        return super().program(name, row)
