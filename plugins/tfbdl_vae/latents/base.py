"""What the bound needs of an approximate posterior q(z | x)."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import Config
from tfbdl.specs import NoOptions

Parameters = Any
"""Tensors ``[n, ...]`` (a NamedTuple of such): what the encoder said of each row."""


class Draw(NamedTuple):
    """Draws of z and their density.

    Attributes:
        z: ``[S, n, d]``.
        log_q: ``log q(z | x)`` in nats, ``[S, n]``.
    """

    z: tf.Tensor
    log_q: tf.Tensor


class LatentPosterior(keras.layers.Layer, abc.ABC):
    """A family of distributions of z, one for each row, parameterised by the encoder's outputs.

    Args:
        latent_dim: Size ``d`` of z.
        options: As declared in ``Options``.
        seed: Of weights that the family has of its own.

    Attributes:
        family: The word users type.
        units: How many units the encoder ends in.
        has_density: Whether training may ask for ``log_prob`` at any z, not at its own draws alone.
        is_reparameterised: Whether draws are a smooth function of the parameters and of noise that
            does not depend on them.
    """

    family: ClassVar[str]
    Options: ClassVar[type[Config]] = NoOptions
    has_density: ClassVar[bool] = True
    is_reparameterised: bool = True
    units: int

    def __init__(self, latent_dim: int, options: Config, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(dtype=keras.config.floatx(), **kwargs)
        self.latent_dim, self.options, self.seed = latent_dim, options, seed

    @property
    def num_variables(self) -> int:
        """How many latent variables z holds: as many as dimensions, unless they are discrete."""
        return self.latent_dim

    @abc.abstractmethod
    def parameters(self, outputs: tf.Tensor) -> Parameters:
        """From the encoder's outputs ``[n, units]``."""

    @abc.abstractmethod
    def draw(self, parameters: Parameters, keys: tf.Tensor) -> Draw:
        """Draws that are differentiable in the parameters.

        Args:
            parameters: Of n rows.
            keys: ``[S, 2]``: all rows of a draw share a key; or ``[S, n, 2]``: each has its own.
        """

    @abc.abstractmethod
    def log_prob(self, parameters: Parameters, z: tf.Tensor) -> tf.Tensor:
        """``log q(z | x)`` of ``z [S, n, d]``, in nats: ``[S, n]``."""

    @abc.abstractmethod
    def mean(self, parameters: Parameters) -> tf.Tensor:
        """``E[z | x]``, or the point that stands for it: ``[n, d]``."""

    def kl(self, parameters: Parameters, prior: Any) -> tf.Tensor | None:
        """``KL(q(z | x) || p(z))`` in closed form, in nats; None where there is none.

        Args:
            parameters: Of n rows.
            prior: The tfd distribution p(z), of event shape ``[d]``.

        Returns:
            ``[n, d]``, one term for each latent dimension, or ``[n, 1]`` where they do not part.
        """
        return None

    def own_prior(self) -> tfd.Distribution | None:
        """The prior of a family that goes with no other, such as one of discrete latents."""
        return None

    @abc.abstractmethod
    def distribution(self, parameters: Parameters) -> tfd.Distribution:
        """q(z | x) as a tfd distribution of batch shape ``[n]`` and event shape ``[d]``."""


def epsilon(dtype: Any) -> float:
    """What is added to a softplus, so that no scale is zero: the dtype's rounding."""
    return float(np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps)
