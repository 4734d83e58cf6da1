r"""Discriminators that tell K classes of real rows and a class 0 of generated ones; pure functions.

References:
    Saatchi & Wilson 2017, "Bayesian GAN", section 2.3, eq. (7) and (8); Salimans et al. 2016,
    "Improved Techniques for Training GANs", section 5.
"""

from __future__ import annotations

import tensorflow as tf


def log_real(logits: tf.Tensor) -> tf.Tensor:
    r"""``log sum_{y=1..K} D(x = y)``: a row is of one of the real classes.

    Args:
        logits: ``[..., K + 1]``; class 0 is that of generated rows.

    Returns:
        ``[...]``, in nats.
    """
    real = tf.reduce_logsumexp(logits[..., 1:], axis=-1)
    return -tf.math.softplus(logits[..., 0] - real)  # (7): 1 / (1 + exp(l_0 - lse(l_1..l_K)))


def log_fake(logits: tf.Tensor) -> tf.Tensor:
    """``log D(x = 0)``: ``[...]``, in nats; ``logits: [..., K + 1]``."""
    real = tf.reduce_logsumexp(logits[..., 1:], axis=-1)
    return -tf.math.softplus(real - logits[..., 0])


def log_label(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """``log D(x = y)`` of rows whose class is known.

    Args:
        logits: ``[..., n, K + 1]``.
        labels: ``[n]`` integers from 0 to K - 1; label c is the discriminator's class c + 1.

    Returns:
        ``[..., n]``, in nats.
    """
    log_probs = tf.nn.log_softmax(logits, axis=-1)
    chosen = tf.one_hot(tf.cast(labels, tf.int32) + 1, logits.shape[-1], dtype=logits.dtype)
    return tf.reduce_sum(log_probs * chosen, axis=-1)


def of_labels(logits: tf.Tensor, labels: tf.Tensor, num_labelled: float) -> tf.Tensor:
    """The product over labelled rows of eq. (8), for all N_s of them, as a sum in nats.

    Args:
        logits: Of a minibatch of labelled rows, ``[..., n, K + 1]``.
        labels: ``[n]``, from 0 to K - 1.
        num_labelled: N_s.

    Returns:
        ``[...]``.
    """
    return num_labelled * tf.reduce_mean(log_label(logits, labels), axis=-1)  # (8), last product


def class_probs(logits: tf.Tensor) -> tf.Tensor:
    """``p(y | x, real)``: class 0 left out, the rest adds up to one.

    Args:
        logits: ``[..., K + 1]``.

    Returns:
        ``[..., K]``.
    """
    return tf.nn.softmax(logits[..., 1:], axis=-1)
