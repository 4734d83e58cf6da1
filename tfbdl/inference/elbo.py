"""The evidence lower bound: its KL term, and how minibatches share it.

With q a Gaussian over unconstrained parameters u, and p the prior,

    ELBO = E_q[log p(data | u)] - KL(q || p),    KL(q || p) = -H(q) - E_q[log p(u)].

The entropy H(q) is always closed; the cross term is closed for normal priors and otherwise an
estimate on the drawn parameters. Its gradients are those of Blundell et al. 2015, equations (3)
and (4): for a reparameterised Gaussian, ``log q`` at the draw depends on the scale alone, exactly
as the entropy does.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import keras
import tensorflow as tf

from ..errors import OptionsError, did_you_mean

MINIBATCH_WEIGHTS = ("uniform", "blundell")


class KLWeight(Protocol):
    """The weight of the KL term as a function of the training step."""

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """From an int64 step to a scalar, 1 for the unscaled ELBO."""


@keras.saving.register_keras_serializable(package="tfbdl")
class KLSchedule:
    """The weight of the KL term at a training step: annealing times the minibatch's share.

    Args:
        weight: The final weight; 1 is Bayes, below 1 a cold posterior.
        annealing_steps: Steps over which the weight rises linearly from 0; 0: none.
        minibatch_weights: ``"uniform"`` gives each of the M batches of an epoch 1/M of the KL
            (the weight is then the same at each step), ``"blundell"`` gives batch i = 1..M the
            share ``2^(M-i) / (2^M - 1)`` (Blundell et al. 2015, equation 9).
        batches: M, needed for ``"blundell"``.
    """

    def __init__(
        self,
        weight: float = 1.0,
        annealing_steps: int = 0,
        minibatch_weights: str = "uniform",
        batches: int | None = None,
    ) -> None:
        if minibatch_weights not in MINIBATCH_WEIGHTS:
            raise OptionsError(
                f"minibatch_weights must be one of {', '.join(MINIBATCH_WEIGHTS)}."
                f"{did_you_mean(minibatch_weights, MINIBATCH_WEIGHTS)} "
                f"Received: {minibatch_weights!r}."
            )
        if minibatch_weights == "blundell" and (batches is None or batches < 1):
            raise OptionsError(
                "minibatch_weights='blundell' needs the number of batches of an epoch, at least 1. "
                f"Received: batches={batches!r}."
            )
        self.weight = float(weight)
        self.annealing_steps = int(annealing_steps)
        self.minibatch_weights = minibatch_weights
        self.batches = batches

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The factor of ``KL / num_data`` at ``step``; over an epoch it averages to the weight."""
        factor = tf.constant(self.weight, tf.float32)
        if self.annealing_steps:
            done = tf.cast(step + 1, tf.float32) / float(self.annealing_steps)
            factor *= tf.minimum(done, 1.0)
        if self.minibatch_weights == "blundell":
            assert self.batches is not None
            shares = minibatch_shares(self.minibatch_weights, self.batches)
            index = tf.cast(step % self.batches, tf.int32)
            factor *= self.batches * tf.gather(tf.constant(shares, tf.float32), index)
        return factor

    def get_config(self) -> dict[str, Any]:
        """Plain values from which ``from_config`` makes the same schedule."""
        return {
            "weight": self.weight,
            "annealing_steps": self.annealing_steps,
            "minibatch_weights": self.minibatch_weights,
            "batches": self.batches,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KLSchedule:
        """The inverse of ``get_config``."""
        return cls(**config)


def minibatch_shares(kind: str, batches: int) -> list[float]:
    """The share of the KL that each of an epoch's batches carries; they sum to one.

    References:
        Blundell et al. 2015, equation (9): ``pi_i = 2^(M-i) / (2^M - 1)``, written as
        ``2^-i / (1 - 2^-M)`` so that no power overflows.
    """
    if kind == "uniform":
        return [1.0 / batches] * batches
    return [math.exp2(-i) / -math.expm1(-batches * math.log(2.0)) for i in range(1, batches + 1)]
