"""REINFORCE: gradients by the score function, with a baseline or without; NVIL.

    d E[f(b)] / d logits = E[(f(b) - baseline) d log p(b) / d logits]

It needs of f its values alone. A baseline that does not know b leaves the mean.

References:
    Williams 1992; Mnih & Gregor 2014, algorithm 1; see ``baselines``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ... import random
from . import baselines
from .discrete import checked_logits, family
from .estimate import Estimate, Objective, checked_samples, spread, values
from .tensors import as_dtype


def reinforce(
    f: Objective,
    logits: Any,
    samples: int,
    key: tf.Tensor,
    *,
    law: str = "categorical",
    baseline: Any = None,
) -> Estimate:
    """The score-function estimator.

    Args:
        f: From draws ``[S, *batch, *event]`` to values ``[S, *batch]``.
        logits: ``[*batch, *event]``; the classes on the last axis if categorical.
        samples: S.
        key: ``[2]``, of ``tfbdl.random.key``.
        law: ``"categorical"`` or ``"bernoulli"``.
        baseline: None; a number or a tensor that broadcasts against ``[S, *batch]`` and does not
            know b, such as a moving average; or ``"leave_one_out"``, the mean of f at the other
            draws, of which there must be one.

    Raises:
        DataError: If logits are NaN.
        OptionsError: If samples or baseline do not fit.
        UnknownNameError: If no law has that name.
        ModelError: If f's values have another shape.

    References:
        Williams 1992, theorem 1; Kool et al. 2019b, eq. (8), of leave_one_out.
    """
    logits, b = _drawn(logits, checked_samples(samples), key, law)
    value = values(f, b)
    signal = baselines.taken_from(tf.stop_gradient(value), baseline)
    return _scored(value, signal, b, logits, law)


class NvilStep(NamedTuple):
    """A step of NVIL.

    Attributes:
        estimate: Of the gradient; scaled down where f varies by more than 1.
        average: The moving average after the step.
        baseline_loss: Half the mean squared error of the baseline, a scalar: minimise it in the
            baseline's weights.
    """

    estimate: Estimate
    average: baselines.MovingAverage
    baseline_loss: tf.Tensor


def nvil(
    f: Objective,
    logits: Any,
    samples: int,
    key: tf.Tensor,
    *,
    baseline: Any,
    average: baselines.MovingAverage,
    law: str = "categorical",
    decay: float = 0.9,
    normalise: bool = True,
) -> NvilStep:
    """REINFORCE with a baseline that depends on the input, and a moving average.

    The signal is ``(f(b) - C(x) - c) / max(1, s)`` with moments c and s of past steps: those of
    this step, as in the paper, know b and would bias the gradient.

    Args:
        f, logits, samples, key, law: As of ``reinforce``.
        baseline: ``C(x)``, of the batch's inputs, ``[*batch]``: a net's output.
        average: The moments of past steps; ``start_average()`` before the first.
        decay: Of the moments.
        normalise: Whether to divide by the deviation; False leaves the estimate unbiased.
    """
    logits, b = _drawn(logits, checked_samples(samples), key, law)
    value = values(f, b)
    left = tf.stop_gradient(value) - as_dtype(baseline, value.dtype)
    signal = tf.stop_gradient(left) - average.mean
    if normalise:
        signal /= tf.maximum(1.0, tf.sqrt(average.variance))
    loss = 0.5 * tf.reduce_mean(tf.square(left - average.mean))
    return NvilStep(
        _scored(value, signal, b, logits, law),
        baselines.update_average(average, left, decay),
        loss,
    )


def _drawn(logits: Any, samples: int, key: tf.Tensor, law: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits, and draws of them."""
    discrete, logits = family(law), checked_logits(logits)
    shape = tf.concat([[samples], tf.shape(logits)], axis=0)
    noise = discrete.noise(shape, random.fold_in(key, "noise"), logits.dtype)
    noise = tf.ensure_shape(noise, (samples, *logits.shape))
    return logits, tf.stop_gradient(discrete.hard(discrete.perturbed(logits, noise)))


def _scored(
    value: tf.Tensor, signal: tf.Tensor, b: tf.Tensor, logits: tf.Tensor, law: str
) -> Estimate:
    score = family(law).score(tf.stop_gradient(logits), b)
    return Estimate(value, spread(signal, b) * score, b, logits)
