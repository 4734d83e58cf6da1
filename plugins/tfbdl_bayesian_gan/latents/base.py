"""LatentPrior: what a model asks of the distribution of its noise z."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf


class Draw(NamedTuple):
    """Noise whose distribution may be learned.

    A loss that is a mean of one number for each row becomes ``mean(weights * losses)``. Its value
    is the same, for all weights are one; its gradient with respect to all that the prior learns is
    unbiased, for they carry the score of what ``z`` cannot be differentiated by.

    Attributes:
        z: ``[n, d]``; its gradient is that of the chosen components.
        weights: ``[n]``, of value one.
        components: ``[n]`` int32: which component each came from; 0 without components.
    """

    z: tf.Tensor
    weights: tf.Tensor
    components: tf.Tensor


class LatentPrior(keras.layers.Layer):
    """p(z), a layer so that a model trains and stores what it learns.

    A subclass has ``sample`` and ``log_prob``.

    Args:
        prior: The name under which ``make`` finds it.
        latent_dim: Of z.
        options: That ``make`` was given beside it.
    """

    bijector: Any = None
    """From all numbers to the support of z; None: z ranges over all numbers."""

    def __init__(self, prior: str, latent_dim: int, **options: Any) -> None:
        super().__init__(name="latent_prior", dtype="float32")
        self.prior_name, self.latent_dim, self.options = prior, int(latent_dim), options
        self.built = True

    def sample(self, n: Any, keys: tf.Tensor) -> tf.Tensor:
        """Independent draws ``[n, d]``, differentiable where the prior learns.

        Args:
            n: How many, a number or a scalar tensor.
            keys: ``[2]``, as ``tfbdl.random.key`` makes it.
        """
        raise NotImplementedError

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density in nats of ``z [..., d]``: ``[...]``."""
        raise NotImplementedError

    def draw(self, n: Any, keys: tf.Tensor) -> Draw:
        """Draws for a step of training, with the weights of their losses."""
        z = self.sample(n, keys)
        ones = tf.ones_like(z[:, 0])
        return Draw(z, ones, tf.zeros_like(ones, tf.int32))

    @property
    def has_hyperprior(self) -> bool:
        """Whether what is learned of the prior has a prior itself."""
        return False

    def log_hyperprior(self) -> tf.Tensor:
        """The log density of what is learned of the prior, in nats: a scalar, 0 without one.

        A loss of which the data are N rows takes ``- log_hyperprior() / N``.
        """
        return tf.zeros((), self.dtype)

    def get_config(self) -> dict[str, Any]:
        """Name and options in plain values: what ``make`` takes."""
        return {"prior": self.prior_name, "latent_dim": self.latent_dim, **self.options}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LatentPrior:
        """The prior of a configuration."""
        from .making import make

        given = dict(config)
        return make(given.pop("prior"), given.pop("latent_dim"), **given)
