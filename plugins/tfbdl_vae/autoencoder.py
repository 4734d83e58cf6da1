"""AutoEncoder: the limit of a VAE without noise and without a prior."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import ModelError
from tfbdl.trainable import THREAD, row_mean

from .encoder_decoder import Pass, widened
from .held_out import HeldOutRows
from .traversal import Traversals


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class AutoEncoder(HeldOutRows, Traversals):
    """Encoder and decoder trained to give back each row: ``max log p(x | z = f(x))``.

    It says nothing of how codes are distributed, so it has neither bounds nor draws. A VAE whose
    KL term has the weight 0 and whose noise is switched off takes the same steps.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``latent_dim`` units.
        decoder, latent_dim, likelihood, likelihood_options, grey, num_data, seed, name: As in VAE.

    Raises:
        UnknownNameError, OptionsError, ModelError: As in VAE.

    References:
        Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
    """

    objective = "the negative log-likelihood of its reconstructions"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reconstruction_metric = keras.metrics.Mean(name="reconstruction")
        self.finish()

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Encode and decode; gives the likelihood's outputs, ``[n, ...]``."""
        key = self.noise_key(training)
        x = self.observed(inputs, key, training)
        z = widened(self.encoder(x, training=training))
        outputs, kl = self.outputs(z, random.fold_in(key, "decoder"), training)
        THREAD.passed = Pass(x, outputs, kl)
        return outputs

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """``mean(-log p(x | z))`` of the rows of the last call."""
        passed: Pass = THREAD.passed
        log_lik = self.log_lik(passed.outputs, passed.x)[0]
        rows = tf.shape(log_lik)[0]
        mean = row_mean(log_lik, rows)
        self.reconstruction_metric.update_state(mean, sample_weight=rows)
        return self.decoder_cost(passed.decoder_kl, mean.dtype) - mean

    def encode(self, x: Any) -> Any:
        """There is no q(z | x): see ``codes``.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"The {type(self).__name__} has one code for each row, and no distribution q(z | x) of "
            "it. Give codes(x), or use a VAE."
        )

    def held_out(self, x: Any) -> dict[str, float]:
        """The mean over rows of the reconstruction ``log p(x | z)``, in nats.

        See ``tfbdl.protocols.HeldOut``.
        """
        return {"reconstruction": float(self.scores(x)["reconstruction"].mean())}

    def scores_of(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """See HeldOutRows."""
        outputs = self.outputs(widened(self.encoder(x)))[0]
        return {"reconstruction": self.log_lik(outputs, x)[0]}

    def code_of(self, x: tf.Tensor) -> tf.Tensor:
        """See Codes."""
        return widened(self.encoder(x))
