"""VariationalWeight: a weight with a posterior and a prior, its draws and its divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ModelError
from .divergences import KLDivergence
from .noise import Call, NoisyLayer
from .sampling import Sample, representative, sample
from .weight_distribution import WeightDistribution

COMPILED_SIZE = 20_000
"""Elements from which on XLA is worth its compilation; below, a graph draws in a millisecond."""

Parts = tuple[tf.Tensor, ...]
Draw = Callable[[tfd.Distribution, tf.Tensor], tuple[Parts, tf.Tensor | None]]


class VariationalWeight:
    """A random tensor of a layer: q(w), p(w), what a call draws of it, and KL(q || p).

    All that is drawn is a pure function of the values of the weights and of the call. Where every
    part is the house's own and the weight is large, that function is one XLA program even within
    a step that is not compiled: there, drawing and divergence cost a third.

    Args:
        layer: Whose noise it draws, and on which its parameters are weights.
        name: Such as ``kernel``.
        shape: Of the weight.
        posterior_fn: Of TFP's protocol.
        posterior_tensor_fn: From a distribution to the tensor that stands for it.
        prior_fn: Of TFP's protocol; None: no prior, and no divergence.
        divergence_fn: ``fn(posterior, prior, drawn weight)``; None: no divergence.
        draw: From posterior and key to the tensors that the layer computes with, and the drawn
            weight among them if there is one; None: the drawn weight alone.
    """

    def __init__(
        self,
        layer: NoisyLayer,
        name: str,
        shape: Sequence[int],
        posterior_fn: Callable[..., Any],
        posterior_tensor_fn: Callable[..., Any],
        prior_fn: Callable[..., Any] | None,
        divergence_fn: Callable[..., Any] | None,
        draw: Draw | None = None,
    ) -> None:
        self.layer, self.name = layer, name
        self.dtype = tf.as_dtype("float64" if layer.variable_dtype == "float64" else "float32")
        self.posterior = WeightDistribution(posterior_fn, self.dtype, shape, f"{name}_posterior")
        self.prior = None
        if prior_fn is not None:
            self.prior = WeightDistribution(
                prior_fn, self.dtype, shape, f"{name}_prior", broadcast=True
            )
        self.posterior_tensor_fn, self.divergence_fn = posterior_tensor_fn, divergence_fn
        self.draw = draw or self._draw_weight

    def build(self) -> None:
        """Make the weights of posterior and prior.

        Raises:
            ModelError: If their functions give something else, or draws of a learned posterior
                have no gradient.
        """
        self.posterior.build(self.layer)
        if self.prior is not None:
            self.prior.build(self.layer)
        self._check_gradients()
        size = math.prod(self.posterior.shape)
        self._compute = self._parts_and_divergence
        if size >= COMPILED_SIZE and self._supports_jit():
            self._compute = tf.function(self._compute, jit_compile=True, autograph=False)

    def __call__(self, call: Call) -> tuple[Parts, tf.Tensor | None]:
        """What this call computes with, and the divergence: a scalar, or None."""
        prior = [] if self.prior is None else self.prior.values()
        return self._compute(self.posterior.values(), prior, call.step, call.replica)

    def _parts_and_divergence(
        self, posterior_values: Any, prior_values: Any, step: tf.Tensor, replica: Any
    ) -> tuple[Parts, tf.Tensor | None]:
        posterior = self.posterior.distribution(posterior_values)
        key = self.layer.noise_key(Call(step, replica), self.name)
        parts, drawn = self.draw(posterior, key)
        if self.prior is None or self.divergence_fn is None:
            return parts, None
        prior = self.prior.distribution(prior_values)
        if drawn is None:  # the estimator draws activations; the divergence may need a weight
            key = self.layer.noise_key(Call(step, replica), self.name, "divergence")
            drawn = sample(posterior, key)
        divergence = self.divergence_fn(posterior, prior, drawn)
        return parts, tf.reduce_sum(tf.cast(divergence, self.dtype))

    def _draw_weight(
        self, posterior: tfd.Distribution, key: tf.Tensor
    ) -> tuple[Parts, tf.Tensor | None]:
        drawn = representative(self.posterior_tensor_fn, posterior, key, self.dtype)
        return (drawn,), drawn

    def _supports_jit(self) -> bool:
        functions = [self.posterior.fn] + ([] if self.prior is None else [self.prior.fn])
        return (
            all(getattr(function, "supports_jit", False) for function in functions)
            and isinstance(self.posterior_tensor_fn, Sample)
            and isinstance(self.divergence_fn, (KLDivergence, type(None)))
        )

    def _check_gradients(self) -> None:
        learned = any(variable.trainable for variable in self.posterior.variables)
        if not learned or not isinstance(self.posterior_tensor_fn, Sample):
            return
        posterior = self.posterior.distribution()
        if posterior.reparameterization_type is not tfd.FULLY_REPARAMETERIZED:
            raise ModelError(
                f"Draws of {self.posterior.name} have no gradient, so its parameters would not "
                "train. Expected a reparameterised distribution. "
                f"Received: {posterior!r}."
            )
