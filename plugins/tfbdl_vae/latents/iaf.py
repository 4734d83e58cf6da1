"""An inverse autoregressive flow: a normal bent step by step by masked nets."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import Config, Field, random
from tfbdl.errors import OptionsError
from tfbdl.inference.surrogate import read

from .autoregressive import Flow, GatedStep, forward, masks
from .base import Draw, LatentPosterior, epsilon
from .noise import log_standard_normal, standard_normal

OPEN = 2.0
"""Where the gates' logits start: nearly open, so that the first flow is nearly a scaling."""


class IAFOptions(Config):
    """Of the flow."""

    layers: int = Field(2, ge=1, description="Steps of the flow, each in the other's reverse order")
    hidden: tuple[int, ...] = Field((64,), description="Units of each masked net's hidden layers.")
    context: int = Field(16, ge=1, description="Encoder outputs that each masked net sees.")


class Start(NamedTuple):
    """The normal that the flow starts from ``[n, d]``, and what its nets see of a row.

    Attributes:
        loc, scale: Of the normal.
        context: ``[n, context]``.
    """

    loc: tf.Tensor
    scale: tf.Tensor
    context: tf.Tensor


class InverseAutoregressiveFlow(LatentPosterior):
    """``z_0 = mu + sigma * eps``, then ``z_t = s_t * z_{t-1} + (1 - s_t) * m_t``.

    Element i of the gate s_t and of m_t is a function of the elements of ``z_{t-1}`` before i, and
    of a context that the encoder gives; the next step takes the elements in reverse order. The
    encoder ends in ``2 d + context`` units: mean, raw scale, context. The masked nets' weights are
    q's own, and the same for all rows.

    The density of its own draws costs nothing more. At any other z it takes d passes of each net,
    one after the other, and these weights would move with it where a gradient wants q held
    constant: ``has_density`` is False, though ``log_prob`` and ``distribution`` are exact.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow",
        algorithm 1.
    """

    family: ClassVar[str] = "iaf"
    Options: ClassVar[type[Config]] = IAFOptions
    has_density: ClassVar[bool] = False
    options: IAFOptions

    def __init__(self, latent_dim: int, options: Config, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, options, seed, **kwargs)
        if min(self.options.hidden, default=1) < 1:
            raise OptionsError(
                "hidden layers of an inverse autoregressive flow have at least one unit each. "
                f"Received: hidden={self.options.hidden!r}."
            )
        self.units = 2 * latent_dim + self.options.context
        widths = (latent_dim, *self.options.hidden, 2 * latent_dim)
        self._nets = [self._net(t, widths) for t in range(self.options.layers)]
        self.built = True

    def _net(self, step: int, widths: tuple[int, ...]) -> dict[str, list[keras.Variable]]:
        """The weights of one step's net; its gate starts nearly open."""
        pairs = list(pairwise(widths))
        context = self._kernel(f"context_{step}", (self.options.context, widths[1]))
        kernels = [self._kernel(f"kernel_{step}_{i}", pair) for i, pair in enumerate(pairs)]
        biases = [self._bias(f"bias_{step}_{i}", width) for i, (_, width) in enumerate(pairs)]
        biases[-1].assign([0.0] * self.latent_dim + [OPEN] * self.latent_dim)
        return {"kernels": kernels, "biases": biases, "context": [context]}

    def _kernel(self, name: str, shape: tuple[int, int]) -> keras.Variable:
        """Uniform draws, as of Glorot & Bengio 2010, eq. 16."""
        weight = self._bias(name, *shape)
        limit = math.sqrt(6.0 / sum(shape))
        draw = random.uniform(shape, random.key(self.seed, "iaf", name), weight.dtype)
        weight.assign(limit * (2.0 * draw - 1.0))
        return weight

    def _bias(self, name: str, *shape: int) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer="zeros", autocast=False)

    def steps(self) -> tuple[GatedStep, ...]:
        """The masked weights as they are now."""
        made = []
        for t, net in enumerate(self._nets):
            masked = masks(self.latent_dim, self.options.hidden, backward=t % 2 == 1)
            pairs = zip(net["kernels"], masked, strict=True)
            kernels = tuple(read(kernel) * tf.cast(mask, kernel.dtype) for kernel, mask in pairs)
            made.append(
                GatedStep(kernels, tuple(map(read, net["biases"])), read(net["context"][0]))
            )
        return tuple(made)

    def parameters(self, outputs: tf.Tensor) -> Start:
        """See LatentPosterior."""
        d = self.latent_dim
        raw = outputs[..., d : 2 * d]
        scale = tf.math.softplus(raw) + epsilon(raw.dtype)
        return Start(outputs[..., :d], scale, outputs[..., 2 * d :])

    def draw(self, parameters: Start, keys: tf.Tensor) -> Draw:
        """See LatentPosterior."""
        eps = standard_normal(keys, parameters.loc)
        z = parameters.loc + parameters.scale * eps
        log_q = log_standard_normal(eps) - tf.reduce_sum(tf.math.log(parameters.scale), axis=-1)
        for step in self.steps():
            z, log_det = forward(step, z, parameters.context)
            log_q -= log_det
        return Draw(z, log_q)

    def log_prob(self, parameters: Start, z: tf.Tensor) -> tf.Tensor:
        """See LatentPosterior; the flow is inverted, element after element."""
        return self.distribution(parameters).log_prob(z)

    def mean(self, parameters: Start) -> tf.Tensor:
        """The image of ``eps = 0``, which stands for the mean: that has no closed form."""
        z = parameters.loc
        for step in self.steps():
            z, _ = forward(step, z, parameters.context)
        return z

    def distribution(self, parameters: Start) -> tfd.Distribution:
        """See LatentPosterior; with the weights as they are now."""
        start = tfd.MultivariateNormalDiag(parameters.loc, parameters.scale)
        return tfd.TransformedDistribution(start, Flow(self.steps(), parameters.context))
