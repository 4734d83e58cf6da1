"""Codes that are entries of a codebook: integers of rows, and rows of integers."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, ModelError
from tfbdl.inference.surrogate import read

from . import bayesian_decoder, net_shapes
from .codebook import Codebook
from .codes import Codes, as_numbers
from .encoder_decoder import widened

CODE_PRIORS = ("uniform", "frequencies")


class QuantisedCodes(Codes):
    """The shape of codes, and what may be asked of them; NumPy out.

    Attributes:
        embedding_dim: Size of a code's vector.
        codebook_size: Number of codes.
        book: Their vectors.
        code_shape: What the encoder gives and the decoder takes for a row: ``(...,
            embedding_dim)``, or ``(positions * embedding_dim,)``; empty where it is not known yet.
    """

    embedding_dim: int
    codebook_size: int
    book: Codebook
    code_shape: tuple[int, ...] = ()

    def build(self, input_shape: Any) -> None:
        """Build both nets, the decoder for what the encoder gives."""
        if not self.encoder.built or not self.code_shape:  # by a call, as subclassed nets are
            encoded = self.encoder(keras.KerasTensor(input_shape, self.dtype_of_rows))
            self.set_code_shape("encoder", encoded.shape)
        codes = keras.KerasTensor((None, *self.code_shape), keras.config.floatx())
        if not self.decoder_net.built:
            self.decoder_net(codes)
        if not self.decoder.built:
            self.decoder.build(codes.shape)
        self.check_nets()
        self.built = True

    def check_nets(self) -> None:
        self.set_code_shape("encoder", getattr(self.encoder, "output_shape", None))
        self.set_code_shape("decoder", getattr(self.decoder_net, "input_shape", None))
        if self.is_bayesian:
            bayesian_decoder.check_sites(self.decoder)
        net_shapes.check_outputs(self.encoder, self.decoder_net, self.likelihood)

    def set_code_shape(self, role: str, shape: Any) -> None:
        """Take ``[n, *code_shape]`` from one of the nets, or compare it with the other's.

        Raises:
            ModelError: If it suits neither the codebook nor the other net.
        """
        if not isinstance(shape, (tuple, tf.TensorShape)):
            return
        found, d = tuple(shape)[1:], self.embedding_dim
        if self.code_shape and found != self.code_shape:
            raise ModelError(
                "The decoder must take what the encoder gives, one code after the other. Expected: "
                f"{_shape(self.code_shape)}. Received: a {role} of {_shape(found)}."
            )
        flat = len(found) == 1
        fits = (
            bool(found) and None not in found and (found[-1] % d == 0 if flat else found[-1] == d)
        )
        if not fits:
            raise ModelError(
                f"The {role} must have codes of the fixed shape [n, ..., {d}], or [n, units] with "
                f"a multiple of {d} units, for embedding_dim={d}. Received: {_shape(found)}."
            )
        self.code_shape = found

    @property
    def positions(self) -> tuple[int, ...]:
        """The shape of a row's codes: ``(h, w)`` of a map, say.

        Raises:
            ModelError: If the nets cannot tell it before they have seen rows.
        """
        if not self.code_shape:
            raise ModelError(
                "The shape of the codes is not known yet. Expected: nets that know their shapes, "
                "or a call of the model on rows first. Received: neither."
            )
        flat = len(self.code_shape) == 1
        return (self.code_shape[0] // self.embedding_dim,) if flat else self.code_shape[:-1]

    def parted(self, encoded: tf.Tensor) -> tf.Tensor:
        """What the encoder gives as vectors, ``[n, ..., embedding_dim]``."""
        return tf.reshape(encoded, [-1, *self.positions, self.embedding_dim])

    def joined(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors in the shape that the decoder takes."""
        return tf.reshape(vectors, [-1, *self.code_shape])

    # -- queries ---------------------------------------------------------------------------------

    @property
    def codebook(self) -> np.ndarray:
        """The vectors of the codes: ``[codebook_size, embedding_dim]``."""
        return read(self.book.vectors).numpy()

    @property
    def code_frequencies(self) -> np.ndarray:
        """How often training chose each code, of late: ``[codebook_size]``, of sum 1.

        By a moving average over some ``1 / (1 - decay)`` steps, in which all codes begin alike.
        """
        counts = read(self.book.counts).numpy().astype(np.float64)
        share: np.ndarray = counts / counts.sum()
        return share

    def codes(self, x: Any) -> np.ndarray:
        """The codes of each row: integers ``[n, ...]``, one for each position."""
        return super().codes(x)

    def quantise(self, x: Any) -> np.ndarray:
        """The vectors of each row's codes, ``[n, ..., embedding_dim]``."""
        vectors: np.ndarray = self.codebook[self.codes(x)]
        return vectors

    def decode(self, z: Any) -> Any:
        """p(x | codes) as a tfd distribution of batch shape ``[n]``; its event is one row.

        Args:
            z: Codes ``[n, ...]`` as integers, or vectors ``[n, ..., embedding_dim]``, which need
                not be those of the codebook.

        Raises:
            DataError: If they are of another shape, or no codes of this codebook.
        """
        return super().decode(z)

    def sample(
        self, n: int = 1, seed: int = 0, mean: bool = False, prior: str = "uniform"
    ) -> np.ndarray:
        """Draws of the model under independent codes: ``[n, ...]``.

        Training takes codes for uniform and independent (van den Oord et al. 2017, section 3.2).
        Neither prior knows which codes go together, so that draws of images look poor: for better
        ones fit a distribution to ``model.codes(x)`` and give its draws to ``model.decode``.

        Args:
            n: How many.
            seed: Of the draws.
            mean: Give ``E[x | codes]`` in place of a draw of x.
            prior: Of a code: ``uniform``, or the ``frequencies`` of training.

        Raises:
            OptionsError: If ``n`` or ``prior`` is not admitted.
        """
        indices = self.sample_codes(n, seed, prior)
        if mean:
            return self.mean_at(indices)
        key = random.key(seed, "sample", "rows")
        drawn: np.ndarray = self.decode(indices).sample(seed=tf.bitcast(key, tf.int32)).numpy()
        return drawn

    def sample_codes(self, n: int = 1, seed: int = 0, prior: str = "uniform") -> np.ndarray:
        """Independent codes, integers ``[n, ...]``; see ``sample``."""
        n = check_whole("n", n)
        check_choice("prior", prior, CODE_PRIORS)
        share = np.full(self.codebook_size, 1.0 / self.codebook_size)
        if prior == "frequencies":
            share = self.code_frequencies
        shape = (n, *self.positions)
        drawn = random.uniform(shape, random.key(seed, "sample", "codes"), "float64").numpy()
        found = np.searchsorted(np.cumsum(share), drawn, side="right")
        return np.minimum(found, self.codebook_size - 1).astype(np.int32)

    # -- how -------------------------------------------------------------------------------------

    def code_of(self, x: tf.Tensor) -> tf.Tensor:
        """The codes of rows as ``unchanged`` gives them, in TensorFlow: ``[n, ...]``."""
        return self.book.nearest(self.parted(widened(self.encoder(x))))

    def checked_codes(self, z: Any) -> tf.Tensor:
        """What the decoder takes, from codes or vectors; see ``decode``.

        Raises:
            DataError: If they are of another shape, or no codes of this codebook.
        """
        z = as_numbers(z)
        vectors = (*self.positions, self.embedding_dim)
        if z.dtype.is_integer:
            self._check_indices(z)
            z = self.book(z)
        elif tuple(z.shape[1:]) not in (vectors, self.code_shape):
            raise DataError(
                f"Expected codes {_shape(self.positions)} as integers, or vectors "
                f"{_shape(vectors)}. Received: numbers of shape {list(z.shape)}."
            )
        return self.joined(tf.cast(z, keras.config.floatx()))

    def _check_indices(self, z: tf.Tensor) -> None:
        if tuple(z.shape[1:]) != self.positions:
            raise DataError(
                f"Expected codes {_shape(self.positions)}. Received: shape {list(z.shape)}."
            )
        values = z.numpy()
        if math.prod(values.shape) and not 0 <= values.min() <= values.max() < self.codebook_size:
            raise DataError(
                f"Expected codes from 0 to {self.codebook_size - 1}. "
                f"Received: codes from {values.min()} to {values.max()}."
            )


def _shape(row: tuple[int | None, ...]) -> str:
    return f"[{', '.join(map(str, ('n', *row)))}]"
