"""Discrete latent variables, relaxed into the simplex or drawn straight through."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import pydantic
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfbdl import Config, Field
from tfbdl.errors import OptionsError
from tfbdl.inference.reparameterizations import concrete

from .base import Draw, LatentPosterior
from .noise import standard_gumbel


class ConcreteOptions(Config):
    """Of the discrete latent variables and their relaxation."""

    classes: int | None = Field(
        None, ge=2, description="Of each discrete variable; none: latent_dim, of a single one."
    )
    temperature: float = Field(
        2 / 3, gt=0, description="Of the relaxed draws; the lower, the nearer they are to one-hot."
    )
    prior_temperature: float = Field(
        0.5, gt=0, description="Of the relaxed prior that kl='relaxed' compares with."
    )
    straight_through: bool = Field(
        False, description="Draw one-hot vectors, whose gradient is that of the relaxed draw."
    )
    kl: Literal["auto", "relaxed", "categorical"] = Field(
        "auto",
        description="relaxed: by draws of the relaxed variables, a bound; categorical: closed, of "
        "the discrete ones, a bound for straight_through alone; auto: what is a bound.",
    )

    @pydantic.model_validator(mode="after")
    def _one_hot_draws_have_no_relaxed_density(self) -> ConcreteOptions:
        if self.straight_through and self.kl == "relaxed":
            raise ValueError(
                "straight_through=True draws one-hot vectors, which have no relaxed density. "
                "Expected: kl='auto' or 'categorical'. Received: kl='relaxed'"
            )
        return self


class Logits(NamedTuple):
    """Normalised log-probabilities of each variable's classes, ``[n, groups, classes]``."""

    log_probs: tf.Tensor


class Concrete(LatentPosterior):
    """Independent discrete variables by Gumbel-softmax, ``latent_dim = groups * classes``.

    z is a row of parts, one for each variable: its classes' shares, which sum to one. The encoder
    ends in ``latent_dim`` logits, ``log alpha``. A draw is ``softmax((log alpha + g) / t)`` with
    Gumbel noise g and the temperature t; it nears one-hot as t falls to 0. What is a bound of what:

    - relaxed draws with ``kl="relaxed"``: a bound of the log-likelihood of a model whose latent
      variables are themselves relaxed, with a prior of uniform logits and its own temperature
      (Maddison et al. 2017). It is not one of the discrete model: the mean of a relaxed
      draw is not alpha (of probabilities .5, .3, .2 at temperature 1 it is .4468, .3154, .2378).
    - ``straight_through=True``: the draws are exact draws of the discrete posterior, the KL is the
      closed one, and all figures are of the discrete model. The gradients of the encoder are those
      of relaxed draws, and biased.
    - relaxed draws with ``kl="categorical"`` (Jang et al. 2017): relaxed reconstructions beside the
      discrete KL. Often used, and not a bound of anything.

    A part below ``exp(-86)`` (in float32; ``exp(-707)`` in float64) counts as that. It takes
    perturbed log-odds of ``86 t``, so that relaxed densities want temperatures of at least 0.2.

    References:
        Maddison, Mnih & Teh 2017, "The concrete distribution"; Jang, Gu & Poole 2017, "Categorical
        reparameterization with Gumbel-softmax".
    """

    family: ClassVar[str] = "concrete"
    Options: ClassVar[type[Config]] = ConcreteOptions
    options: ConcreteOptions

    def __init__(self, latent_dim: int, options: Config, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, options, seed, **kwargs)
        self.classes = self.options.classes or latent_dim
        self.groups, rest = divmod(latent_dim, self.classes)
        if rest or self.classes < 2:
            raise OptionsError(
                "Discrete latent variables share latent_dim between them, two classes or more "
                f"each. Expected: latent_dim a multiple of classes={self.classes}, at least 2. "
                f"Received: latent_dim={latent_dim}."
            )
        self.units = latent_dim
        self.is_reparameterised = self.relaxed

    @property
    def num_variables(self) -> int:
        """See LatentPosterior: ``groups``, each of ``classes`` dimensions."""
        return self.groups

    @property
    def relaxed(self) -> bool:
        """Whether draws lie within the simplex, not in its corners."""
        return not self.options.straight_through

    def parameters(self, outputs: tf.Tensor) -> Logits:
        """See LatentPosterior."""
        return Logits(tf.nn.log_softmax(self._parted(outputs)))

    def draw(self, parameters: Logits, keys: tf.Tensor) -> Draw:
        """See LatentPosterior: ``z = softmax((log alpha + g) / t)``, or its largest part."""
        gumbel = self._parted(standard_gumbel(keys, self._joined(parameters.log_probs)))
        perturbed = parameters.log_probs + gumbel
        log_z = concrete.log_relaxed(perturbed, self.options.temperature)
        z = tf.exp(log_z)
        if self.relaxed:
            return Draw(self._joined(z), self._relaxed_log_prob(parameters, log_z))
        z = self._joined(concrete.through(z, perturbed))
        return Draw(z, self._discrete_log_prob(parameters, z))

    def log_prob(self, parameters: Logits, z: tf.Tensor) -> tf.Tensor:
        """See LatentPosterior; of one-hot z a log probability if draws are such."""
        if not self.relaxed:
            return self._discrete_log_prob(parameters, z)
        log_z = tf.math.log(tf.maximum(self._parted(z), math.exp(concrete.floor(z.dtype))))
        return self._relaxed_log_prob(parameters, log_z)

    def mean(self, parameters: Logits) -> tf.Tensor:
        """The probabilities of the classes: the mean of discrete draws, not of relaxed ones."""
        return self._joined(tf.exp(parameters.log_probs))

    def kl(self, parameters: Logits, prior: Any) -> tf.Tensor | None:
        """``sum_k q_k log(q_k C)`` of the discrete variables ``[n, 1]``; None for relaxed ones."""
        if self.options.kl == "relaxed" or (self.options.kl == "auto" and self.relaxed):
            return None
        log_ratio = parameters.log_probs + math.log(self.classes)
        kl = tf.reduce_sum(tf.exp(parameters.log_probs) * log_ratio, axis=[-2, -1])
        return kl[..., tf.newaxis]

    def own_prior(self) -> tfd.Distribution | None:
        """Uniform classes; relaxed at the prior's temperature where draws are relaxed."""
        uniform = tf.zeros([self.groups, self.classes], self.compute_dtype)
        return self._of(uniform, self.options.prior_temperature)

    def distribution(self, parameters: Logits) -> tfd.Distribution:
        """See LatentPosterior."""
        return self._of(parameters.log_probs, self.options.temperature)

    def _of(self, logits: tf.Tensor, temperature: float) -> tfd.Distribution:
        """The joint distribution of all parts, as one vector."""
        if self.relaxed:
            single: Any = tfd.RelaxedOneHotCategorical(temperature, logits=logits)
        else:
            single = tfd.OneHotCategorical(logits=logits, dtype=logits.dtype)
        shapes = {"event_shape_in": logits.shape[-2:], "event_shape_out": [self.latent_dim]}
        return tfd.TransformedDistribution(tfd.Independent(single, 1), tfb.Reshape(**shapes))

    def _relaxed_log_prob(self, parameters: Logits, log_z: tf.Tensor) -> tf.Tensor:
        """Of all parts together: ``[S, n]``."""
        each = concrete.log_prob(log_z, parameters.log_probs, self.options.temperature)
        return tf.reduce_sum(each, axis=-1)

    def _discrete_log_prob(self, parameters: Logits, z: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._parted(z) * parameters.log_probs, axis=[-2, -1])

    def _parted(self, z: tf.Tensor) -> tf.Tensor:
        """``[..., d]`` to ``[..., groups, classes]``."""
        leading = tf.shape(z)[:-1]
        parted = tf.reshape(z, tf.concat([leading, [self.groups, self.classes]], axis=0))
        return tf.ensure_shape(parted, (*z.shape[:-1], self.groups, self.classes))

    def _joined(self, z: tf.Tensor) -> tf.Tensor:
        """``[..., groups, classes]`` to ``[..., d]``."""
        joined = tf.reshape(z, tf.concat([tf.shape(z)[:-2], [self.latent_dim]], axis=0))
        return tf.ensure_shape(joined, (*z.shape[:-2], self.latent_dim))
