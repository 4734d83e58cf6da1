"""KLDivergenceRegularizer: keeps the laws of a head's outputs near a prior."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ... import distributions
from ...distributions import Prior
from ...errors import ModelError, OptionsError
from ...likelihoods.base import Distribution, Tensor
from .. import sampling
from ..noise import NoisyLayer
from ..variable_layer import VariableLayer
from .distribution_lambda import refuse_variables
from .functions import found_function, function_config
from .head import Head
from .stored_law import law_config, law_from


@keras.saving.register_keras_serializable(package="tfbdl")
class KLDivergenceRegularizer(keras.regularizers.Regularizer):
    """``weight * sum over examples of KL(law of the outputs || prior)``, for a head.

    As the ``activity_regularizer`` of a head it adds the mean over the examples of a batch, since
    Keras divides by their number: beside a mean loss it is the KL term of an ELBO whose latent
    variables are those of each example.

    Args:
        distribution_b: The prior: a ``tfd.Distribution``; the name of a tfbdl prior, or a Prior;
            a registered function without arguments that makes a distribution. Or one that is
            learned, the same for all examples: ``keras.Sequential([VariableLayer(n), head])``, or
            that head alone, whose parameters begin at zero.
        use_exact_kl: Whether the divergence is computed in closed form, or estimated by
            ``log q(z) - log p(z)`` at test points of q.
        test_points_reduce_axis: Accepted as in TFP; test points are averaged in any case.
        test_points_fn: From a distribution to test points ``[..., *batch, *event]``; None: one
            draw, a fresh one at each call.
        weight: Above or equal to 0, a number or a ``keras.Variable``; None: 1.

    Raises:
        OptionsError: If an argument is not admitted, or there is no closed form.
        ModelError: If the prior holds a ``tf.Variable``, or has events of another shape.

    Example:
        ```python
        head = tfbdl.layers.MultivariateNormalTriL(
            2, activity_regularizer=tfbdl.layers.KLDivergenceRegularizer("normal")
        )
        encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5), head])
        ```
    """

    def __init__(
        self,
        distribution_b: str | Prior | Distribution | keras.Layer | Callable[[], Distribution],
        use_exact_kl: bool = False,
        test_points_reduce_axis: Any = (),
        test_points_fn: Callable[[Distribution], Tensor] | None = None,
        weight: float | keras.Variable | None = None,
    ) -> None:
        self.distribution_b = _checked_prior(distribution_b)
        self.use_exact_kl = bool(use_exact_kl)
        self.test_points_reduce_axis = test_points_reduce_axis
        self.test_points_fn = test_points_fn
        self.weight = weight
        if weight is not None and not 0.0 <= float(np.asarray(weight)) < float("inf"):
            raise OptionsError(f"weight must be a finite number from 0. Received: {weight!r}.")
        self.head: Head | None = None
        self.noise: NoisyLayer | None = None

    def bound_to(self, head: Head) -> Self:
        """A copy that knows the head whose outputs it is given."""
        own = copy.copy(self)
        own.head = head
        return own

    def make_weights(self, head: Head) -> None:
        """Give the head what has weights: a learned prior, and the count of the draws."""
        if isinstance(self.distribution_b, keras.Model):
            if not self.distribution_b.built:
                self.distribution_b.build((None, head.num_params))
            head.prior = self.distribution_b  # where Keras sees it
        if not self.use_exact_kl and self.test_points_fn is None:
            self.noise = head.test_points = NoisyLayer(name=f"{head.name}_test_points")
            self.noise.build()

    def __call__(self, outputs: Any) -> Tensor:
        """The weighted sum over the examples: a scalar.

        Args:
            outputs: Those of the head, or a distribution.
        """
        if isinstance(outputs, tfd.Distribution):
            return self._weighted_sum(outputs)
        if self.head is None:
            raise ModelError(
                "KLDivergenceRegularizer is the activity_regularizer of a head of tfbdl.layers, "
                f"or is called with a distribution. Received: {outputs!r}."
            )
        total = self._weighted_sum(self.head.distribution(outputs))
        return tf.cast(total, keras.config.floatx())  # the dtype of Keras' losses

    def prior(self, law: Distribution) -> Distribution:
        """The prior of one example, for a law of the same event shape and dtype."""
        given = self.distribution_b
        if isinstance(given, Prior):
            return given.distribution(law.event_shape, law.dtype.name)
        if isinstance(given, keras.Model):
            if not given.built:
                raise ModelError("The learned prior has no weights yet: build its head first.")
            params = given(tf.zeros([1, given.input_shape[-1]]))
            return given.layers[-1].law(tf.cast(params, law.dtype))
        if isinstance(given, tfd.Distribution):
            return given
        made = given()
        refuse_variables(made, "The prior of a KLDivergenceRegularizer")
        return made

    def _weighted_sum(self, law: Distribution) -> Tensor:
        prior = self.prior(law)
        if not prior.event_shape.is_compatible_with(law.event_shape):
            raise ModelError(
                f"The prior must be over events of shape {law.event_shape}, as the law of the "
                "outputs is: with others, densities would be broadcast. Wrap a tfd.Normal in "
                f"tfd.Independent or tfd.Sample. Received: event shape {prior.event_shape}."
            )
        kl = exact_kl(law, prior) if self.use_exact_kl else self._estimate(law, prior)
        if self.weight is not None:
            kl *= tf.cast(tf.convert_to_tensor(self.weight), kl.dtype)
        return tf.reduce_sum(kl)

    def _estimate(self, law: Distribution, prior: Distribution) -> Tensor:
        """``log q(z) - log p(z)`` of each example, averaged over the test points."""
        if self.test_points_fn is not None:
            z = self.test_points_fn(law)
        elif self.noise is not None:
            z = sampling.sample(law, self.noise.noise_key(self.noise.next_call()))
        else:
            raise OptionsError("Without a head, give test_points_fn or use_exact_kl=True.")
        kl = law.log_prob(z) - prior.log_prob(z)
        extra = kl.shape.rank - law.batch_shape.rank
        return tf.reduce_mean(kl, axis=list(range(extra)))

    def get_config(self) -> dict[str, Any]:
        """Plain values.

        Raises:
            ModelError: If the prior, or a function, cannot be stored.
        """
        points = self.test_points_fn
        return {
            "distribution_b": _prior_config(self.distribution_b),
            "use_exact_kl": self.use_exact_kl,
            "test_points_reduce_axis": self.test_points_reduce_axis,
            "test_points_fn": points and function_config(points, "test_points_fn"),
            "weight": None if self.weight is None else float(np.asarray(self.weight)),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of ``get_config``."""
        found = {
            "distribution_b": _prior_from(config["distribution_b"]),
            "test_points_fn": found_function(config["test_points_fn"]),
        }
        return cls(**{**config, **found})


def exact_kl(law: Distribution, prior: Distribution) -> Tensor:
    """KL(law || prior) in closed form: TFP's, or by entropy and moments where the prior is normal.

    Raises:
        OptionsError: If there is none.
    """
    try:
        return tfd.kl_divergence(law, prior)
    except NotImplementedError:
        pass
    try:
        if not distributions.has_closed_form(prior):
            raise NotImplementedError
        mean = law.mean()
        return -law.entropy() - distributions.expected_log_prob(prior, mean, mean, law.stddev())
    except NotImplementedError:
        raise OptionsError(
            f"There is no closed form of KL({law.name} || {prior.name}). Use use_exact_kl=False."
        ) from None


def _checked_prior(prior: Any) -> Any:
    """A prior as it is used: names resolved."""
    if isinstance(prior, str):
        prior = distributions.prior(prior)
    if isinstance(prior, Prior) and prior.parameters((1,)):
        raise OptionsError(
            f"{prior!r} learns numbers of its own, of which a head makes no weights. For a learned "
            "prior give a head, such as tfbdl.layers.IndependentNormal(2)."
        )
    if isinstance(prior, tfd.Distribution):
        refuse_variables(prior, "The prior of a KLDivergenceRegularizer")
    elif isinstance(prior, keras.Layer):
        prior = _learned(prior)
    elif not isinstance(prior, Prior) and not callable(prior):
        raise OptionsError(
            "distribution_b must be a tfp distribution, the name of a prior, a function that "
            "makes one, or what is learned: a head of tfbdl.layers, or a model that ends in one. "
            f"Received: {prior!r}."
        )
    return prior


def _learned(prior: Any) -> keras.Model:
    """A model that ends in a head and gives numbers that do not depend on its inputs."""
    head = prior.layers[-1] if isinstance(prior, keras.Model) and prior.layers else prior
    if not isinstance(head, Head) or head.num_params is None:
        raise OptionsError(
            "A learned prior is a head of tfbdl.layers that knows its width, or a model that ends "
            f"in one, such as keras.Sequential([VariableLayer(4), IndependentNormal(2)]); a "
            f"DistributionLambda wants num_params=. Received: {prior!r}."
        )
    if isinstance(prior, keras.Model):
        return prior
    numbers = VariableLayer(head.num_params, dtype=head.params_dtype)
    return keras.Sequential([numbers, head], name=f"{head.name}_prior")


def _prior_config(prior: Any) -> dict[str, Any]:
    if isinstance(prior, Prior):
        name = distributions.name_of(prior)
        return {"prior": name, "options": prior.options.model_dump(mode="json")}
    if isinstance(prior, keras.Model):
        return {"model": keras.saving.serialize_keras_object(prior)}
    if isinstance(prior, tfd.Distribution):
        return {"law": law_config(prior)}
    return {"function": function_config(prior, "distribution_b")}


def _prior_from(config: Mapping[str, Any]) -> Any:
    if "prior" in config:
        return distributions.prior(config["prior"], **config["options"])
    if "law" in config:
        return law_from(config["law"])
    return keras.saving.deserialize_keras_object(config.get("model") or config["function"])
