"""KL divergences between the posterior and the prior of a weight."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ModelError, OptionsError, did_you_mean
from ..sums import event_sum
from .sampling import elementwise_normal

ESTIMATORS = ("auto", "exact", "monte_carlo")


@keras.saving.register_keras_serializable(package="tfbdl")
class KLDivergence:
    r"""KL(q || p), the default ``divergence_fn``.

    Exact where a closed form is known; otherwise the unbiased estimate

    .. math:: \log q(w) - \log p(w), \quad w \sim q,

    at the drawn weight. The KL of a point mass is ``-log p(w)``: the weight is then trained to
    its mode.

    Args:
        estimator: ``auto``; ``exact``, which refuses what has no closed form; ``monte_carlo``.

    Raises:
        OptionsError: If there is no such estimator.

    References:
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equation (2).
    """

    def __init__(self, estimator: str = "auto") -> None:
        if estimator not in ESTIMATORS:
            raise OptionsError(
                f"estimator must be one of {', '.join(ESTIMATORS)}."
                f"{did_you_mean(estimator, ESTIMATORS)} Received: {estimator!r}."
            )
        self.estimator = estimator

    def __call__(
        self, posterior: tfd.Distribution, prior: tfd.Distribution, weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The divergence, a scalar.

        Args:
            posterior, prior: Of one weight.
            weight: A draw from the posterior; an exact divergence needs none.

        Raises:
            ModelError: If there is no closed form and ``exact`` was asked for.
        """
        if self.estimator != "monte_carlo":
            exact = closed_form(posterior, prior)
            if exact is not None:
                return exact
        if self.estimator == "exact" or weight is None:
            raise ModelError(
                "No closed form of KL(posterior || prior) is known. Use "
                "KLDivergence('monte_carlo'), which needs a drawn weight. "
                f"Received: {posterior!r} and {prior!r}."
            )
        return monte_carlo(posterior, prior, weight)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"estimator": self.estimator}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KLDivergence:
        """The inverse of ``get_config``."""
        return cls(**config)


def closed_form(posterior: tfd.Distribution, prior: tfd.Distribution) -> tf.Tensor | None:
    """KL(posterior || prior), summed over all elements; None where no closed form is known."""
    q, p = elementwise_normal(posterior), elementwise_normal(prior)
    if q is not None and p is not None:
        return event_sum(normal_divergence(q.loc, q.scale, p.loc, p.scale))
    if _whole_shape(posterior) != _whole_shape(prior):  # TFP would count elements twice
        return None
    try:
        return tf.reduce_sum(tfd.kl_divergence(posterior, prior))
    except NotImplementedError:
        return None


def normal_divergence(loc: Any, scale: Any, prior_loc: Any, prior_scale: Any) -> tf.Tensor:
    r"""The KL divergence of N(m, s) from N(l, c), element by element.

    .. math:: \frac{(m - l)^2}{2 c^2} + \frac{r^2 - 1}{2} - \log r, \quad r = s / c,

    with ``r^2 - 1`` as a product, which keeps the digits near one.
    """
    r = scale / prior_scale
    return (
        0.5 * tf.square((loc - prior_loc) / prior_scale)
        + 0.5 * (r - 1.0) * (r + 1.0)
        - tf.math.log(r)
    )


def monte_carlo(
    posterior: tfd.Distribution, prior: tfd.Distribution, weight: tf.Tensor
) -> tf.Tensor:
    """``log q(w) - log p(w)``, each summed over what its distribution holds to be independent."""
    return tf.reduce_sum(posterior.log_prob(weight)) - tf.reduce_sum(prior.log_prob(weight))


def _whole_shape(distribution: tfd.Distribution) -> list[int | None] | None:
    shape = distribution.batch_shape.concatenate(distribution.event_shape)
    return shape.as_list() if shape.rank is not None else None
