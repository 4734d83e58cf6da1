"""A decoder whose weights are random: what an encoder-decoder asks of a BayesianNetwork.

Its own noise and counters play no part: keys come from the model around it.

References:
    Kingma & Welling 2014, appendix F: the full variational treatment.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import tfbdl
from tfbdl import functional, random
from tfbdl.config import check_whole
from tfbdl.errors import ModelError, OptionsError
from tfbdl.likelihoods import Likelihood


def check_likelihood(decoder: tfbdl.BayesianNetwork, likelihood: Likelihood) -> None:
    """Refuse a decoder of another likelihood than the model's.

    Raises:
        ModelError: With both.
    """
    own = decoder.likelihood
    if type(own) is not type(likelihood) or own.get_config() != likelihood.get_config():
        raise ModelError(
            "The likelihood of a Bayesian decoder must be that of the model around it. "
            f"Expected: {likelihood!r}. Received: {own!r}."
        )


def check_sites(decoder: tfbdl.BayesianNetwork) -> None:
    """Refuse a posterior over more than weights.

    Raises:
        OptionsError: With the sites that are none.
    """
    others = [name for name in decoder.random_sites if name.startswith("likelihood.")]
    if others:
        raise OptionsError(
            "Of a Bayesian decoder the weights may be random; what its likelihood learns is a "
            f"point estimate here. Received: sites={others}."
        )


def run(
    decoder: tfbdl.BayesianNetwork, key: tf.Tensor | None, z: tf.Tensor, training: bool
) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
    """Outputs at codes ``z [m, d]``, the weights that gave them, and what layers add to the loss.

    Args:
        decoder: Built.
        key: Of the draw of the weights; None: their mean.
        z: Codes.
        training: As in Keras.
    """
    draw = decoder.surrogate.mean() if key is None else decoder.surrogate.sample(key)
    pairs = [(variable, draw[name]) for name, variable in decoder.weight_sites().items()]
    added: list[tf.Tensor] = []
    outputs, updates = functional.apply(decoder.net, pairs, z, training=training, losses=added)
    if training:
        functional.assign(updates)
    return outputs, draw, added


def kl(decoder: tfbdl.BayesianNetwork, draws: int, seed: int) -> float:
    """KL(q(weights) || prior) in nats, a mean over draws where it is not closed."""
    draws = check_whole("draws", draws)
    count = 1 if decoder.has_gaussian_prior else draws
    keys = random.split(random.key(seed, "decoder_kl"), count)
    values = [decoder.kl(decoder.surrogate.sample(key)) for key in tf.unstack(keys)]
    return float(tf.reduce_mean(tf.stack(values)))


def learned_parameters(decoder: tfbdl.BayesianNetwork) -> dict[str, Any]:
    """What the likelihood learns, constrained, by its own names."""
    values: dict[str, Any] = decoder.likelihood_parameters({})
    return values
