"""What generator and discriminator play for: losses of each row, from the discriminator's outputs.

A discriminator gives a logit, and ``D(x) = sigmoid(logit)`` is the probability that x is of the
data; a critic, of the Wasserstein objectives, gives any number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from tfbdl.errors import UnknownNameError

Loss = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Objective:
    """The three losses of a game, each elementwise in the discriminator's output.

    The discriminator minimises ``mean(on_real(D(x))) + mean(on_fake(D(G(z))))``, the generator
    ``mean(generator(D(G(z))))``.

    Attributes:
        on_real: The discriminator's, of data.
        on_fake: The discriminator's, of generated rows.
        generator: The generator's, of generated rows.
        discriminator_steps: Steps of the discriminator for one of the generator, by default.
        probabilistic: Whether the discriminator's output is the logit of a probability.
        critic: Whether it is a critic, which must be Lipschitz.
    """

    on_real: Loss
    on_fake: Loss
    generator: Loss
    discriminator_steps: int = 1
    probabilistic: bool = False
    critic: bool = False


def _log_loss_real(logits: tf.Tensor) -> tf.Tensor:
    return tf.math.softplus(-logits)  # -log D


def _log_loss_fake(logits: tf.Tensor) -> tf.Tensor:
    return tf.math.softplus(logits)  # -log(1 - D)


_MINIMAX = Objective(
    _log_loss_real,
    _log_loss_fake,
    lambda logits: -tf.math.softplus(logits),  # log(1 - D), Goodfellow et al. 2014, eq. 1
    probabilistic=True,
)
_NON_SATURATING = Objective(
    _log_loss_real,
    _log_loss_fake,
    lambda logits: tf.math.softplus(-logits),  # -log D, Goodfellow et al. 2014, section 3
    probabilistic=True,
)
_LEAST_SQUARES = Objective(  # Mao et al. 2017, eq. 9: b = c = 1 and a = 0
    lambda outputs: 0.5 * tf.square(outputs - 1.0),
    lambda outputs: 0.5 * tf.square(outputs),
    lambda outputs: 0.5 * tf.square(outputs - 1.0),
)
_WASSERSTEIN = Objective(  # Arjovsky et al. 2017, eq. 2
    tf.negative,
    tf.identity,
    tf.negative,
    discriminator_steps=5,
    critic=True,
)

OBJECTIVES = {
    "minimax": _MINIMAX,
    "non_saturating": _NON_SATURATING,
    "least_squares": _LEAST_SQUARES,
    "wasserstein": _WASSERSTEIN,
    "wasserstein_gp": _WASSERSTEIN,
}


def get(name: str) -> Objective:
    """The objective of a name.

    Raises:
        UnknownNameError: If there is none, with the nearest name.
    """
    if name not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


def real_loss(objective: Objective, outputs: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """The discriminator's loss of data, ``[n]``, with one-sided label smoothing.

    Args:
        objective: See ``get``.
        outputs: Of the discriminator, ``[n]``.
        smoothing: s; the target of data is ``1 - s`` (Salimans et al. 2016, section 3.4).
    """
    loss = objective.on_real(outputs)
    if not smoothing:
        return loss
    return (1.0 - smoothing) * loss + smoothing * objective.on_fake(outputs)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, u: tf.Tensor
) -> tf.Tensor:
    """``(|grad_x f(x)| - 1)^2`` at points between real and generated rows.

    Args:
        critic: f, from rows ``[n, ...]`` to ``[n]``.
        real, fake: Rows.
        u: Uniform numbers ``[n]``; a point is ``u real + (1 - u) fake``.

    Returns:
        ``[n]``.

    References:
        Gulrajani et al. 2017, "Improved training of Wasserstein GANs", eq. 3.
    """
    u = tf.reshape(u, [-1] + [1] * (real.shape.rank - 1))
    between = u * real + (1.0 - u) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        outputs = critic(between)
    gradients = tape.gradient(outputs, between)
    squares = tf.reduce_sum(tf.square(gradients), axis=list(range(1, real.shape.rank)))
    norms = tf.sqrt(tf.maximum(squares, 1e-12))  # a norm has no gradient at zero
    return tf.square(norms - 1.0)


def maximised(
    objective: Objective, real: tf.Tensor, fake: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the discriminator maximises, of data ``[n]`` and of generated rows ``[m]``.

    The sum of their means is ``V(D, G)`` (Goodfellow et al. 2014, eq. 1), or the critic's
    estimate of the Wasserstein distance.
    """
    return -objective.on_real(real), -objective.on_fake(fake)
