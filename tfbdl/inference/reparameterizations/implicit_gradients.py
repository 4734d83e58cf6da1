"""Implicit reparameterisation: gradients of draws of which no g is known, from their CDF.

A draw z has the quantile ``u = F(z; theta)``. Held fixed it gives dz/dtheta without F's inverse:

    dz/dtheta = -(dF/dtheta) / p(z; theta)                              (5)

References:
    Figurnov, Mohamed & Mnih 2018, "Implicit reparameterization gradients", equation (5).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...errors import ModelError, OptionsError, UnknownNameError

LAWS = {
    "gamma": tfd.Gamma,
    "beta": tfd.Beta,
    "dirichlet": tfd.Dirichlet,
    "student_t": tfd.StudentT,
    "von_mises": tfd.VonMises,
}
"""Names of the laws whose draws TensorFlow Probability differentiates implicitly."""


def implicit_sample(law: Any, n: int, key: tf.Tensor, **parameters: Any) -> tf.Tensor:
    """Draws that are differentiable in their parameters, ``[n, *batch, *event]``.

    Args:
        law: A name of ``LAWS``, or a distribution of TensorFlow Probability.
        n: How many.
        key: ``[2]``, of ``tfbdl.random.key``.
        **parameters: Of a law given by name, as its distribution names them.

    Raises:
        UnknownNameError: If no law has that name.
        OptionsError: If parameters stand beside a distribution, or do not fit the name.
        ModelError: If the distribution has no gradients of its draws.
    """
    if isinstance(law, str):
        if law not in LAWS:
            raise UnknownNameError("law with implicit gradients", law, LAWS)
        try:
            law = LAWS[law](**parameters, validate_args=True)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise OptionsError(f"The parameters of {law!r} do not fit: {error}") from None
    elif parameters:
        raise OptionsError(
            f"A distribution has its parameters already. Received also: {', '.join(parameters)}."
        )
    if law.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
        raise ModelError(
            "The draws of this distribution are not differentiable. Expected: a continuous one; of "
            "a mixture, reparameterizations.mixture(...); of another with a CDF, "
            f"reparameterizations.implicit(z, distribution). Received: {law!r}."
        )
    return law.sample(n, seed=stateless_seed(key))


def implicit(z: tf.Tensor, distribution: tfd.Distribution) -> tf.Tensor:
    """Draws z, unchanged, with gradients in the parameters of their distribution.

    Args:
        z: Draws, however they were made, ``[..., *batch]``.
        distribution: Of scalars, with a ``cdf`` that is differentiable in its parameters.

    Raises:
        ModelError: If the distribution has no CDF, or is of vectors.
    """
    if distribution.event_shape.rank:
        raise ModelError(
            "A CDF gives gradients of scalars. Received: a distribution with events of shape "
            f"{tuple(distribution.event_shape)}."
        )
    z = tf.stop_gradient(z)
    try:
        u = distribution.cdf(z)
    except NotImplementedError:
        raise ModelError(f"The distribution has no CDF. Received: {distribution!r}.") from None
    return z - (u - tf.stop_gradient(u)) / tf.stop_gradient(distribution.prob(z))  # (5)


def mixture(logits: Any, components: tfd.Distribution) -> tfd.Distribution:
    """A mixture whose draws are differentiable in its weights as in its components.

    Args:
        logits: Of the weights, ``[..., k]``.
        components: k of one family, scalars or independent elements, on the last batch axis.
    """
    weights = tfd.Categorical(logits=logits)
    return tfd.MixtureSameFamily(weights, components, reparameterize=True)


def stateless_seed(key: tf.Tensor) -> tf.Tensor:
    """A key of ``tfbdl.random`` as TensorFlow Probability takes it: ``[2]``, int32."""
    return tf.bitcast(key, tf.int32)
