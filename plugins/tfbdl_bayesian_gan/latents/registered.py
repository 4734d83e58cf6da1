"""Any prior of the registry as the distribution of noise, with what it learns as weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.distributions import Prior, as_normal, name_of
from tfbdl.inference.surrogate import read
from tfbdl.learned import Learned

from .base import LatentPrior


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class RegisteredLatents(LatentPrior):
    """p(z) of a ``tfbdl.distributions.Prior``, over vectors of ``latent_dim`` numbers.

    Args:
        prior: Made by ``tfbdl.prior(name, ...)``.
        latent_dim: Of z.
        seed: Of starts that are drawn.
        weights_rate: How fast vectors, such as the logits of a mixture's weights, are learned
            beside means and scales. They are stored divided by it, since optimisers such as Adam
            take steps of one size.
        options: Others that ``make`` was given.
    """

    def __init__(
        self,
        prior: Prior,
        latent_dim: int,
        *,
        seed: int = 0,
        weights_rate: float = 1.0,
        **options: Any,
    ) -> None:
        plain = prior.options.model_dump(mode="json", exclude_unset=True)
        super().__init__(name_of(prior), latent_dim, **plain, **options, seed=seed)
        self.prior = prior
        self.learned = {
            key: Learned(parameter=key, site="z", definition=definition)
            for key, definition in prior.parameters((latent_dim,), "z", self.dtype).items()
        }
        self.rates = {
            key: weights_rate if len(item.shape) == 1 else 1.0 for key, item in self.learned.items()
        }
        self.raw: dict[str, keras.Variable] = {}
        for key, item in self.learned.items():
            start = item.initial_raw(seed)
            if len(item.shape) == 1 and item.prior is not None and item.bijector is None:
                start = item.prior.mode()  # of sticks: pieces as the process breaks them
            start /= self.rates[key]
            weight = self.add_weight(
                name=f"{key}_raw", shape=start.shape, initializer="zeros", autocast=False
            )
            weight.assign(start)
            self.raw[key] = weight

    def values(self) -> dict[str, tf.Tensor]:
        """What is learned, by the prior's own names, in its constrained space."""
        return {
            key: item.constrain(self.rates[key] * read(self.raw[key]))
            for key, item in self.learned.items()
        }

    def assign(self, **values: Any) -> None:
        """Set what is learned, by the prior's own names; the others stay.

        Args:
            values: In the constrained space.
        """
        for key, value in values.items():
            raw = tf.convert_to_tensor(value, self.dtype)
            bijector = self.learned[key].bijector
            raw = raw if bijector is None else bijector.inverse(raw)
            self.raw[key].assign(raw / self.rates[key])

    def distribution(self) -> tfd.Distribution:
        """p(z) at the present values: event shape ``[d]``."""
        return self.prior.distribution((self.latent_dim,), self.dtype, "z", **self.values())

    def sample(self, n: Any, keys: tf.Tensor) -> tf.Tensor:
        """See LatentPrior."""
        return tf.ensure_shape(drawn(self.distribution(), n, keys), [None, self.latent_dim])

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See LatentPrior."""
        return self.distribution().log_prob(z)

    @property
    def has_hyperprior(self) -> bool:
        """See LatentPrior."""
        return any(item.prior is not None for item in self.learned.values())

    def log_hyperprior(self) -> tf.Tensor:
        """See LatentPrior; point estimates, so without the Jacobians of the weights behind."""
        values = self.values()
        priors = {key: item.prior for key, item in self.learned.items() if item.prior is not None}
        terms = [tf.reduce_sum(prior.log_prob(values[key])) for key, prior in priors.items()]
        return tf.add_n(terms) if terms else super().log_hyperprior()


def drawn(distribution: tfd.Distribution, n: Any, keys: tf.Tensor) -> tf.Tensor:
    """Draws that are a differentiable function of the parameters where there is one.

    Args:
        distribution: Of one tensor.
        n: How many.
        keys: ``[2]``.

    Returns:
        ``[n, *event_shape]``.
    """
    normal = as_normal(distribution)
    if normal is not None:
        noise = random.normal([n, *distribution.event_shape], keys, distribution.dtype)
        return normal.loc + normal.scale * noise
    if isinstance(distribution, tfd.TransformedDistribution):
        return distribution.bijector.forward(drawn(distribution.distribution, n, keys))
    return distribution.sample(n, seed=tf.bitcast(keys, tf.int32))
