"""What a trained GAN answers: generated rows, and how true rows seem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_whole
from tfbdl.data import as_dataset
from tfbdl.errors import ModelError

from .adversarial import Adversarial

BLOCK = 1024
"""Rows at a time, so that memory does not grow with them."""


class Queries(Adversarial):
    """The part of a GAN that answers in NumPy arrays; nothing here is random but ``sample``."""

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Generated rows ``[n, ...]``; the same seed gives the same rows.

        Args:
            n: How many, at least 1.
            seed: Of the noise.
        """
        key = random.key(seed, "sample")
        return self.generate(self.noise(check_whole("n", n), key).inputs)

    def generate(self, z: Any) -> np.ndarray:
        """The generator's rows of given noise ``[n, latent_dim]``, codes included."""
        z = tf.cast(tf.convert_to_tensor(z), tf.float32)
        return self.in_blocks("generate", lambda rows: self.generator(rows), z)

    def logits(self, x: Any) -> np.ndarray:
        """The discriminator's output of rows, ``[n]``: logits, or a critic's numbers.

        Raises:
            DataError: If the rows do not suit the model.
        """
        return self.in_blocks("logits", lambda rows: self.judge(rows).outputs, self.checked(x))

    def probability(self, x: Any) -> np.ndarray:
        """D(x): the probability ``[n]`` that a row is of the data, where half of all rows are.

        Raises:
            DataError: If the rows do not suit the model.
            ModelError: If the objective is of another kind.
        """
        if not self.game.probabilistic:
            raise ModelError(
                f"With objective={self.loss_name!r} the discriminator gives no probability. "
                "Expected: 'minimax' or 'non_saturating'; logits(x) gives what there is."
            )
        return np.asarray(tf.sigmoid(self.logits(x)))

    def held_out(self, x: Any) -> dict[str, float]:
        """What the discriminator maximises, of rows it has not seen and of as many generated ones.

        See ``tfbdl.protocols.HeldOut``.
        """
        real = tf.convert_to_tensor(self.logits(x))
        fake = tf.convert_to_tensor(self.logits(self.sample(len(real), seed=0)))
        on_real, on_fake = self.game.on_real(real), self.game.on_fake(fake)
        return {"value": -float(tf.reduce_mean(on_real) + tf.reduce_mean(on_fake))}

    def checked(self, x: Any) -> tf.Tensor:
        """Rows of a query in memory, of the shape that the generator gives.

        Raises:
            DataError: If they do not suit the model.
        """
        data = as_dataset(x.numpy() if isinstance(x, tf.Tensor) else x).in_memory()
        self.check_rows(data.x)
        return self.as_rows(data.x)

    def in_blocks(self, name: str, function: Callable[..., tf.Tensor], x: tf.Tensor) -> np.ndarray:
        """A function of rows, traced once under a name and run on a block of rows at a time."""
        programs = self.__dict__.setdefault("_programs", {})
        if name not in programs:
            row = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
            programs[name] = tf.function(function, input_signature=[row])
        parts = [programs[name](x[i : i + BLOCK]).numpy() for i in range(0, len(x), BLOCK)]
        return np.concatenate(parts)
