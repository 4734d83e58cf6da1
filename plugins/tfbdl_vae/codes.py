"""Codes of rows, and rows of codes: what may be asked of any encoder and decoder."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError
from tfbdl.serial import map_serially

from . import bayesian_decoder
from .encoder_decoder import EncoderDecoder

BLOCK_NUMBERS = 2**22
"""Numbers of the decoder's outputs that a query holds at once."""


class Codes(EncoderDecoder):
    """Codes, reconstructions and what lies between them; NumPy out.

    ``x`` is ``[n, ...]`` as in training, ``z`` is ``[n, latent_dim]``. Rows are taken as they are:
    grey values are not drawn as 0 or 1 here. A Bayesian decoder stands at the mean of its weights.
    """

    def codes(self, x: Any) -> np.ndarray:
        """The code of each row: ``[n, latent_dim]``.

        Of a VAE it is ``E[z | x]``. Where that has no closed form another point of q(z | x) stands
        for it: of an inverse autoregressive flow the image of ``eps = 0``, and of relaxed discrete
        variables (``concrete``) the probabilities of their classes, which are the mean of what is
        relaxed. A mean over draws is ``encode(x).sample(100).numpy().mean(0)``.
        """
        codes: np.ndarray = self.encoded("codes", self.rows(x)).numpy()
        return codes

    def transform(self, x: Any) -> np.ndarray:
        """As ``codes``, by scikit-learn's name."""
        return self.codes(x)

    def decode(self, z: Any) -> Any:
        """p(x | z) as a tfd distribution of batch shape ``[n]``; its event is one row.

        Args:
            z: Codes ``[n, latent_dim]``.

        Raises:
            DataError: If they are of another width.
        """
        outputs = self.outputs_at(self.checked_codes(z))
        return self.likelihood.distribution(outputs, self.likelihood_parameters())

    def reconstruct(self, x: Any) -> np.ndarray:
        """``E[x | z]`` at the code of each row, see ``codes``, of the shape of ``x``.

        It is not ``E[x' | x]``, the mean over q(z | x), and z of ``iaf`` and ``concrete`` is not
        ``E[z | x]`` either; of ``concrete`` the decoder sees probabilities, no draw near one-hot.

        Of labels the probabilities of the classes: ``[n, ..., classes]``.
        """
        return self.mean_at(self.codes(x))

    def decoder_kl(self, draws: int = 100, seed: int = 0) -> float:
        """KL(q(weights) || prior) of a Bayesian decoder in nats; 0 of one that is none.

        Args:
            draws, seed: Of the weights, where the KL is not closed.
        """
        return bayesian_decoder.kl(self.decoder, draws, seed) if self.is_bayesian else 0.0

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        """As ``reconstruct``; Keras' other arguments are accepted and play no part."""
        return self.reconstruct(x)

    # -- how -------------------------------------------------------------------------------------

    @abc.abstractmethod
    def code_of(self, x: tf.Tensor) -> tf.Tensor:
        """The code of rows as ``unchanged`` gives them, in TensorFlow: ``[n, latent_dim]``."""

    def checked_codes(self, z: Any) -> tf.Tensor:
        """Codes as a tensor.

        Raises:
            DataError: If they are of another width.
        """
        z = tf.cast(as_numbers(z), keras.config.floatx())
        if z.shape.rank != 2 or z.shape[-1] != self.latent_dim:
            raise DataError(
                f"Expected codes [n, {self.latent_dim}]. Received: shape {list(z.shape)}."
            )
        return z

    def encoded(self, name: str, *rows: tf.Tensor) -> Any:
        """What a query of the encoder alone says of rows, in blocks of them.

        Args:
            name: Of the query, see ``program``.
            *rows: Rows ``x``, and what else the query takes of each of them.
        """
        x = rows[0]
        size = max(1, BLOCK_NUMBERS // max(1, int(np.prod(x.shape[1:]))))
        program = self.query(name, x)
        starts = range(0, x.shape[0], size)
        blocks = [program(*(part[i : i + size] for part in rows)) for i in starts]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *blocks)

    def outputs_at(self, z: tf.Tensor, key: tf.Tensor | None = None) -> tf.Tensor:
        """The decoder's outputs at codes, in blocks of rows.

        Args:
            z: Codes.
            key: With a Bayesian decoder, each code has a draw of the weights of its own, from this
                key; without a key, it stands at the mean of its weights.
        """
        size = self.rows_at_once()
        starts = range(0, z.shape[0], size)
        if key is None or not self.is_bayesian:
            program = self.query("decode", z)
            return tf.concat([program(z[i : i + size]) for i in starts], axis=0)
        keys, program = random.split(key, z.shape[0]), self.query("decode_draws", z)
        return tf.concat([program(z[i : i + size], keys[i : i + size]) for i in starts], axis=0)

    def mean_at(self, z: Any) -> np.ndarray:
        """``E[x | z]``: ``[n, ...]``."""
        outputs = self.outputs_at(self.checked_codes(z))
        return self.likelihood.mean(outputs, self.likelihood_parameters()).numpy()

    def rows_at_once(self) -> int:
        """How many rows the decoder takes at once, so that its outputs fit into memory."""
        shape = getattr(self.decoder_net, "output_shape", None)
        numbers = int(np.prod(shape[1:])) if isinstance(shape, tuple) else 4096
        return max(1, BLOCK_NUMBERS // max(numbers, 512))

    def program(
        self, name: str, row: tf.TensorSpec
    ) -> tuple[Callable[..., Any], Sequence[tf.TensorSpec]]:
        """A query's function and the signature of its arguments, of which ``row`` is the first."""
        if name == "codes":
            return (lambda x: self.code_of(self.unchanged(x))), [row]
        if name == "decode_draws":
            return self._decode_draws, [row, tf.TensorSpec([None, 2], tf.uint32)]
        return (lambda z: self.outputs(z)[0]), [row]

    def _decode_draws(self, z: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Outputs at each code with a draw of the weights of its own."""

        def at_one(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            return self.outputs(pair[0][tf.newaxis], pair[1])[0][0]

        kind = tf.TensorSpec(None, keras.config.floatx())
        outputs = map_serially(at_one, (z, keys), kind)
        shape = getattr(self.decoder_net, "output_shape", None)
        return tf.ensure_shape(outputs, shape if isinstance(shape, tuple) else None)

    def query(self, name: str, rows: tf.Tensor) -> Any:
        """A query's program, traced once for rows of a shape and type; no part of the state."""
        programs = self.__dict__.setdefault("_programs", {})
        kind = name, tuple(rows.shape[1:]), rows.dtype
        if kind not in programs:
            row = tf.TensorSpec([None, *rows.shape[1:]], rows.dtype)
            function, signature = self.program(name, row)
            programs[kind] = tf.function(function, input_signature=signature, autograph=False)
        return programs[kind]


def as_numbers(z: Any) -> tf.Tensor:
    """Codes of any kind as a tensor, of at least one row.

    Raises:
        DataError: If they are no numbers, or none.
    """
    try:
        codes = tf.convert_to_tensor(z)
    except (TypeError, ValueError):
        codes = None
    numeric = codes is not None and (codes.dtype.is_floating or codes.dtype.is_integer)
    if not numeric or not codes.shape.rank or codes.shape[0] == 0:
        received = f"shape {list(codes.shape)}" if numeric else f"{z!r:.60}"
        raise DataError(
            f"Expected codes [n, ...]: numbers, of one row at least. Received: {received}."
        )
    return codes
