"""REBAR and RELAX: the score function less a control variate that is differentiated through.

With z the perturbed logits of which b is a function, z~ drawn from p(z | b), and c a function:

    g = [f(b) - c(z~)] d log p(b) / d logits + d c(z) / d logits - d c(z~) / d logits

is unbiased for any c, and has a small variance where c(z~) is near f(b). Both draws must be
differentiable in the logits, and z~ given b: that is what ``conditional`` of a family is.

References:
    Tucker et al. 2017, "REBAR: low-variance, unbiased gradient estimates for discrete latent
    variable models", equation (7): ``c(z) = eta f(soft(z))``.
    Grathwohl et al. 2018, "Backpropagation through the void", equation (8): any c.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import random
from . import baselines
from .discrete import checked_logits, family
from .estimate import Estimate, Objective, checked_samples, spread, values
from .tensors import as_dtype


def relax(
    f: Objective,
    logits: Any,
    samples: int,
    key: tf.Tensor,
    *,
    control_variate: Objective,
    law: str = "categorical",
    baseline: Any = None,
    coupled: bool = False,
) -> Estimate:
    """The RELAX estimator.

    Train what it depends on by the gradient of ``estimate.second_moment()`` in that, which
    ``reduce_variance`` does.

    Args:
        f: From draws ``[S, *batch, *event]`` to values ``[S, *batch]``; need not be differentiable.
        logits: ``[*batch, *event]``; the classes on the last axis if categorical.
        samples: S.
        key: ``[2]``, of ``tfbdl.random.key``.
        control_variate: c, differentiable, from perturbed logits ``[S, *batch, *event]`` to
            ``[S, *batch]``, each draw by itself.
        law: ``"categorical"`` or ``"bernoulli"``.
        baseline: Taken from ``f(b) - c(z~)``, as of ``reinforce``: None, numbers that do not know
            b, or ``"leave_one_out"``.
        coupled: z~ is made of the quantiles of z, and has its value; else of noise of its own, with
            a mostly smaller variance. Both are unbiased.

    Raises:
        DataError: If logits are NaN.
        OptionsError: If samples do not fit.
        UnknownNameError: If no law has that name.
        ModelError: If values of f or of the control variate have another shape.
    """
    discrete, logits = family(law), checked_logits(logits)
    samples = checked_samples(samples)
    shape = tf.concat([[samples], tf.shape(logits)], axis=0)
    each = tf.broadcast_to(tf.stop_gradient(logits), shape)  # a gradient for each draw
    each = tf.ensure_shape(each, (samples, *logits.shape))
    noise = discrete.noise(shape, random.fold_in(key, "noise"), logits.dtype)
    z = discrete.perturbed(each, noise)
    b = tf.stop_gradient(discrete.hard(z))
    if coupled:
        noise_given_b = tf.stop_gradient(discrete.coupled(each, z))
    else:
        noise_given_b = discrete.noise(shape, random.fold_in(key, "given b"), logits.dtype)
    with tf.GradientTape() as tape:
        tape.watch(each)
        c = values(control_variate, discrete.perturbed(each, noise))
        c_given_b = values(control_variate, discrete.conditional(each, b, noise_given_b))
        difference = c - c_given_b
    slope = tape.gradient(difference, each, unconnected_gradients="zero")
    value = values(f, b)
    signal = baselines.taken_from(tf.stop_gradient(value) - c_given_b, baseline)
    return Estimate(value, spread(signal, b) * discrete.score(each, b) + slope, b, logits)


def rebar(
    f: Objective,
    logits: Any,
    samples: int,
    key: tf.Tensor,
    *,
    scale: Any = 1.0,
    temperature: Any = 0.5,
    law: str = "categorical",
    baseline: Any = None,
    coupled: bool = False,
) -> Estimate:
    """The REBAR estimator: RELAX with ``c(z) = scale f(soft(z, temperature))``.

    Args:
        f: Also differentiable, and defined between the corners.
        logits, samples, key, law, baseline, coupled: As of ``relax``. Where f has a mean far from
            0 a baseline does most: ``scale`` alone can take it away only as the temperature grows
            beyond bounds.
        scale: eta; 0 is REINFORCE. A variable may be tuned by ``reduce_variance``.
        temperature: Above 0; the same.

    Raises:
        DataError, OptionsError, UnknownNameError, ModelError: As of ``relax``.
    """
    soft = family(law).soft

    def control_variate(z: tf.Tensor) -> tf.Tensor:
        relaxed = tf.convert_to_tensor(f(soft(z, temperature)))
        return as_dtype(scale, relaxed.dtype) * relaxed

    return relax(
        f,
        logits,
        samples,
        key,
        control_variate=control_variate,
        law=law,
        baseline=baseline,
        coupled=coupled,
    )
