r"""Log posteriors of generators and discriminators, from logits; pure functions.

``D = sigmoid(logit)`` is the probability that a row is real. The products over rows of the paper's
eq. (1) and (2) stand for all ``N`` rows: a minibatch's mean counts ``N`` times, once.

References:
    Saatchi & Wilson 2017, "Bayesian GAN", eq. (1) to (4) and Algorithm 1.
"""

from __future__ import annotations

import tensorflow as tf

from tfbdl.config import check_choice

MARGINALS = ("algorithm", "log_mean_exp")


def log_real(logits: tf.Tensor) -> tf.Tensor:
    """``log D``, finite for every logit: the same shape."""
    return -tf.math.softplus(-logits)


def log_fake(logits: tf.Tensor) -> tf.Tensor:
    """``log(1 - D)``, finite for every logit: the same shape."""
    return -tf.math.softplus(logits)


def of_generator(log_reals: tf.Tensor, log_prior: tf.Tensor, num_data: float) -> tf.Tensor:
    r"""``log p(theta_g | z, theta_d)`` but for a constant, in nats.

    .. math:: \frac{N}{n} \sum_i \log D(G(z_i; \theta_g); \theta_d) + \log p(\theta_g | \alpha_g)

    Args:
        log_reals: ``log D`` of generated rows, ``[..., n]``.
        log_prior: Of the generators' weights, ``[...]`` or what broadcasts against it.
        num_data: N, the rows that the product stands for.

    Returns:
        ``[...]``.

    References:
        Eq. (1); the product has ``n_g = N`` factors.
    """
    return num_data * tf.reduce_mean(log_reals, axis=-1) + log_prior  # (1)


def of_matched_features(
    reals: tf.Tensor, fakes: tf.Tensor, log_prior: tf.Tensor, num_data: float
) -> tf.Tensor:
    r"""The log of a pseudo-posterior of a generator: it should give the features of the data.

    .. math:: -\frac{N}{F} \| \bar f(x) - \bar f(G(z)) \|^2 + \log p(\theta_g | \alpha_g)

    A minibatch's means make the square larger by their variance.

    Args:
        reals: Features of rows of the data, ``[..., n, F]``.
        fakes: Features of generated rows, ``[..., n', F]``.
        log_prior: Of the generators' weights, ``[...]`` or what broadcasts against it.
        num_data: N.

    Returns:
        ``[...]``, in nats.

    References:
        Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.1.
    """
    apart = tf.reduce_mean(reals, axis=-2) - tf.reduce_mean(fakes, axis=-2)
    return -num_data * tf.reduce_mean(tf.square(apart), axis=-1) + log_prior


def of_discriminator(
    log_reals: tf.Tensor, log_fakes: tf.Tensor, log_prior: tf.Tensor, num_data: float
) -> tf.Tensor:
    r"""``log p(theta_d | z, X, theta_g)`` but for a constant, in nats.

    .. math:: \frac{N}{n} \sum_i \log D(x_i) + \frac{N}{n'} \sum_i \log(1 - D(G(z_i)))
        + \log p(\theta_d | \alpha_d)

    Args:
        log_reals: ``log D`` of rows of the data, ``[..., n]``.
        log_fakes: ``log(1 - D)`` of generated rows, ``[..., n']``.
        log_prior: Of the discriminators' weights, ``[...]`` or what broadcasts against it.
        num_data: N.

    Returns:
        ``[...]``.

    References:
        Eq. (2), with ``n_d = n_g = N``.
    """
    real = tf.reduce_mean(log_reals, axis=-1)
    fake = tf.reduce_mean(log_fakes, axis=-1)
    return num_data * (real + fake) + log_prior  # (2)


def marginal(log_posteriors: tf.Tensor, rule: str = "algorithm") -> tf.Tensor:
    """The log posterior without the noise and the weights of the other side.

    Args:
        log_posteriors: ``[S, ...]``, one for each set of noise (and each net of the other side).
        rule: ``log_mean_exp``: the log of eq. (3) and (4), ``log 1/S sum_s p(theta | z_s)``, which
            the most favourable noise rules wherever N is large; ``algorithm``: the mean of the
            logs, its lower bound, whose gradient is that of Algorithm 1 divided by S. (As printed
            there, the sum counts every row S times.)

    Returns:
        ``[...]``. The two agree where S is 1.

    Raises:
        OptionsError: If there is no such rule.
    """
    check_choice("marginal", rule, MARGINALS)
    if rule == "algorithm":
        return tf.reduce_mean(log_posteriors, axis=0)
    count = tf.cast(tf.shape(log_posteriors)[0], log_posteriors.dtype)
    return tf.reduce_logsumexp(log_posteriors, axis=0) - tf.math.log(count)  # (3), (4)
