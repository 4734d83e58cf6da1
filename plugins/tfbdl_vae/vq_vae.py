"""VQVAE: an auto-encoder whose codes are entries of a codebook."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.config import check_choice, check_whole
from tfbdl.errors import OptionsError
from tfbdl.likelihoods import Likelihood
from tfbdl.trainable import THREAD, row_mean

from .code_use import CodeUse, perplexity
from .codebook import Codebook, straight_through
from .encoder_decoder import Pass, widened
from .held_out import HeldOutRows
from .quantised import QuantisedCodes
from .schedules import checked_number

UPDATES = ("moving_averages", "gradient")


@dataclasses.dataclass(frozen=True)
class QuantisedPass(Pass):
    """What ``call`` leaves for the loss and the codebook.

    Attributes:
        z: The encoder's vectors, ``[n, ..., embedding_dim]``.
        indices: The code of each, ``[n, ...]``.
        e: The codebook's vectors of these codes, ``[n, ..., embedding_dim]``.
    """

    z: tf.Tensor
    indices: tf.Tensor
    e: tf.Tensor


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class VQVAE(HeldOutRows, QuantisedCodes):
    """A vector-quantised auto-encoder: each vector of the encoder gives way to the nearest code.

    The loss of a row is ``-log p(x | e) + beta |z - sg(e)|²``, with ``+ |sg(z) - e|²`` where the
    codebook learns by gradients (van den Oord et al. 2017, eq. 3); the squares are a mean over the
    row's positions, ``sg`` holds its argument constant. The gradient of the decoder's inputs goes
    to the encoder's outputs as it is. ``model(x)`` gives the likelihood's outputs;
    ``model.predict(x)`` is ``model.reconstruct(x)``.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``[n, ..., embedding_dim]``, a code at each
            position (of an image's map, say); or to ``[n, positions * embedding_dim]``.
        decoder: A Keras net from what the encoder gives, quantised, in the same shape, to the
            outputs that the likelihood asks for.
        embedding_dim: Size of a code's vector.
        codebook_size: Number of codes.
        likelihood: p(x | z): a name, or a Likelihood.
        likelihood_options: Options of a likelihood given by name.
        beta: Weight of the commitment ``|z - sg(e)|²``.
        update: How the codebook learns: ``moving_averages`` or ``gradient``.
        decay: Of the moving averages of vectors and counts.
        restart: A code that is chosen less often, on a moving average, than this part of even use
            begins anew at a vector of the batch; 0: never, as in the paper. In even use a code has
            ``points / codebook_size`` of the points of a step.
        grey, num_data, seed, name: As in VAE.

    Raises:
        UnknownNameError: If the likelihood does not exist.
        OptionsError: If an option is out of range.
        ModelError: If the nets do not fit the codes or one another.

    References:
        van den Oord, Vinyals & Kavukcuoglu 2017, "Neural Discrete Representation Learning".

    Example:
        ```python
        layers = keras.layers
        encoder = keras.Sequential([keras.Input((28, 28, 1)),
                                    layers.Conv2D(32, 4, 2, "same", activation="relu"),
                                    layers.Conv2D(16, 4, 2, "same")])
        decoder = keras.Sequential([keras.Input((7, 7, 16)),
                                    layers.Conv2DTranspose(32, 4, 2, "same", activation="relu"),
                                    layers.Conv2DTranspose(1, 4, 2, "same")])
        model = VQVAE(encoder, decoder, embedding_dim=16, codebook_size=64)
        model.compile()
        model.fit(x, epochs=10)
        model.codes(x)  # [n, 7, 7] integers
        ```
    """

    objective = "the negative log-likelihood of its reconstructions and its codes' distances"
    arguments: ClassVar[tuple[str, ...]] = (
        "embedding_dim",
        "codebook_size",
        "beta",
        "update",
        "decay",
        "restart",
        "grey",
        "num_data",
        "name",
    )

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        embedding_dim: int,
        codebook_size: int = 512,
        likelihood: str | Likelihood = "bernoulli",
        *,
        likelihood_options: Mapping[str, Any] | None = None,
        beta: float = 0.25,
        update: str = "moving_averages",
        decay: float = 0.99,
        restart: float = 0.5,
        grey: str = "sample",
        num_data: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_options(embedding_dim, codebook_size, beta, update, decay, restart)
        super().__init__(
            encoder,
            decoder,
            embedding_dim,
            likelihood,
            likelihood_options=likelihood_options,
            grey=grey,
            num_data=num_data,
            seed=seed,
            name=name,
            **kwargs,
        )
        self.embedding_dim, self.codebook_size = int(embedding_dim), int(codebook_size)
        self.beta, self.update = float(beta), update
        self.decay, self.restart = float(decay), float(restart)
        self.book = Codebook(
            self.codebook_size,
            self.embedding_dim,
            update == "moving_averages",
            self.decay,
            self.restart,
            int(self.rng_seed.numpy()),
            name="codebook",
        )
        self.distances = {
            name: keras.metrics.Mean(name=name) for name in ("reconstruction", "commitment")
        }
        self.code_use = CodeUse(self.codebook_size)
        self.finish()

    # -- a step ----------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Encode, quantise and decode; gives the likelihood's outputs, ``[n, ...]``."""
        key = self.noise_key(training)
        x = self.observed(inputs, key, training)
        encoded = widened(self.encoder(x, training=training))
        self.set_code_shape("encoder", encoded.shape)
        z = self.parted(encoded)
        indices = self.book.nearest(z)
        e = self.book(indices)
        taken = self.joined(straight_through(z, e))
        outputs, kl = self.outputs(taken, random.fold_in(key, "decoder"), training)
        THREAD.passed = QuantisedPass(x, outputs, kl, z, indices, e)
        return outputs

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """The loss of the rows of the last call, a mean over rows (eq. 3)."""
        passed: QuantisedPass = THREAD.passed
        log_lik = self.log_lik(passed.outputs, passed.x)[0]
        rows = tf.shape(log_lik)[0]
        reconstruction = row_mean(log_lik, rows)
        commitment = row_mean(_distance(passed.z, tf.stop_gradient(passed.e)), rows)
        loss = self.beta * commitment - reconstruction
        if self.update == "gradient":
            loss += row_mean(_distance(tf.stop_gradient(passed.z), passed.e), rows)
        self.distances["reconstruction"].update_state(reconstruction, sample_weight=rows)
        self.distances["commitment"].update_state(commitment, sample_weight=rows)
        self.code_use.update_state(passed.indices)
        return loss + self.decoder_cost(passed.decoder_kl, loss.dtype)

    def train_step(self, data: Any) -> Any:
        """Keras' own step, after which the codebook follows the encoder's vectors."""
        logs = super().train_step(data)
        passed: QuantisedPass = THREAD.passed
        self.book.follow(passed.z, passed.indices, self.noise_key(True, "codebook"))
        return logs

    # -- rows it has not seen --------------------------------------------------------------------

    def held_out(self, x: Any) -> dict[str, float]:
        """Means over rows of the reconstruction, in nats, and the commitment; the perplexity.

        See ``tfbdl.protocols.HeldOut``.
        """
        found = self.scores(x)
        counts = np.bincount(found["indices"].ravel(), minlength=self.codebook_size)
        return {
            "reconstruction": float(found["reconstruction"].mean()),
            "commitment": float(found["commitment"].mean()),
            "perplexity": float(perplexity(counts.astype("float64"))),
        }

    def scores_of(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """See HeldOutRows; the codes too, as ``indices``."""
        z = self.parted(widened(self.encoder(x)))
        indices = self.book.nearest(z)
        e = self.book(indices)
        log_lik = self.log_lik(self.outputs(self.joined(e))[0], x)[0]
        return {"reconstruction": log_lik, "commitment": _distance(z, e), "indices": indices}


def _distance(z: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
    """``|z - e|²`` of each row, a mean over its positions: ``[n]``."""
    squares = tf.reduce_sum(tf.math.squared_difference(z, e), axis=-1)
    return tf.reduce_mean(squares, axis=range(1, squares.shape.rank))


def _check_options(
    embedding_dim: int, codebook_size: int, beta: float, update: str, decay: float, restart: float
) -> None:
    for name, number in (("embedding_dim", embedding_dim), ("codebook_size", codebook_size)):
        check_whole(name, number)
    check_choice("update", update, UPDATES)
    checked_number("beta", beta)
    for name, share in (("decay", decay), ("restart", restart)):
        if not isinstance(share, numbers.Real) or not 0.0 <= share < 1.0:
            raise OptionsError(f"{name} must be at least 0 and below 1. Received: {share!r}.")
