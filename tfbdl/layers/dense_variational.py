"""DenseVariational: a dense layer with one joint posterior over kernel and bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import functional
from ..config import check_whole
from ..errors import ModelError, OptionsError
from .configs import activation_from, configs_of
from .dense import product, width_of
from .divergences import KLDivergence
from .noise import NoisyLayer
from .num_data import add_divergences, check_num_data
from .sampling import sample
from .weight_distribution import WeightDistribution, check_distribution
from .weight_functions import WeightFunction


@keras.saving.register_keras_serializable(package="tfbdl")
class DenseVariational(NoisyLayer):
    """A dense layer whose kernel and bias together are one draw from a posterior.

    Args:
        units: Of the outputs, at least 1.
        make_posterior_fn: ``fn(kernel_size, bias_size, dtype)`` gives what makes the posterior of
            ``kernel_size + bias_size`` numbers: a Keras net that ends in a head, such as
            ``keras.Sequential([VariableLayer(2 * n), IndependentNormal(n)])``, or a function of
            the inputs that gives a ``tfd.Distribution``. One of the functions for the other layers
            does too: ``default_mean_field_normal_fn()``.
        make_prior_fn: As ``make_posterior_fn``; what it learns is trained too.
        kl_weight: By which the divergence is multiplied.
        kl_use_exact: Whether the divergence has a closed form that is to be used; otherwise it is
            estimated at the drawn weights.
        activation: Name or function.
        use_bias: Whether there is a bias.
        activity_regularizer: Of the outputs.
        num_data: By which the divergence is divided, as in VariationalLayer.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs: ``[..., d]``
        outputs: ``[..., units]``

    Raises:
        OptionsError: If an argument does not fit.
        ModelError: If what is made gives no distribution of the right size.

    Example:
        ```python
        posterior = tfbdl.layers.default_mean_field_normal_fn()
        prior = tfbdl.layers.trainable_normal_fn(elementwise=True)
        layer = tfbdl.layers.DenseVariational(1, posterior, prior, num_data=len(x))
        ```
    """

    def __init__(
        self,
        units: int,
        make_posterior_fn: Callable[..., Any],
        make_prior_fn: Callable[..., Any],
        kl_weight: float | None = None,
        kl_use_exact: bool = False,
        activation: Any = None,
        use_bias: bool = True,
        activity_regularizer: Any = None,
        num_data: float | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, activity_regularizer=activity_regularizer, **kwargs)
        self.units = check_whole("units", units)
        for name, fn in (
            ("make_posterior_fn", make_posterior_fn),
            ("make_prior_fn", make_prior_fn),
        ):
            if not callable(fn):
                raise OptionsError(f"{name} must be a function. Received: {fn!r}.")
        self.make_posterior_fn, self.make_prior_fn = make_posterior_fn, make_prior_fn
        self.kl_weight = None if kl_weight is None else float(kl_weight)
        self.kl_use_exact = bool(kl_use_exact)
        self._divergence_fn = KLDivergence("exact" if kl_use_exact else "monte_carlo")
        self.activation = activation_from(activation)
        self.use_bias = bool(use_bias)
        self.num_data = check_num_data(num_data)
        self.supports_masking = True
        self.input_spec = keras.InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:  # type: ignore[override]
        """Make posterior and prior.

        Raises:
            ModelError: If the last axis of the inputs is not known.
        """
        self.width = width_of(input_shape, self)
        self._posterior = self._made(self.make_posterior_fn, "posterior", input_shape)
        self._prior = self._made(self.make_prior_fn, "prior", input_shape)
        self.input_spec = keras.InputSpec(min_ndim=2, axes={-1: self.width})
        super().build(input_shape)

    def posterior(self, inputs: Any = None) -> tfd.Distribution:
        """q(kernel and bias), flattened and joined; the inputs matter if it depends on them."""
        return self._distribution(self._posterior, inputs, "posterior")

    def prior(self, inputs: Any = None) -> tfd.Distribution:
        """p(kernel and bias), flattened and joined."""
        return self._distribution(self._prior, inputs, "prior")

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Outputs with weights drawn anew; the divergence becomes a loss."""
        inputs = tf.cast(tf.convert_to_tensor(inputs), self.compute_dtype)
        posterior, prior = self.posterior(inputs), self.prior(inputs)
        drawn = sample(posterior, self.noise_key(self.next_call(), "weights"))
        divergence = self._divergence_fn(posterior, prior, drawn)
        if self.kl_weight is not None:
            divergence *= tf.constant(self.kl_weight, divergence.dtype)
        add_divergences(self, [divergence], training)
        weights = tf.cast(drawn, inputs.dtype)
        kernel = tf.reshape(weights[: self.width * self.units], [self.width, self.units])
        outputs = product(inputs, kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, weights[self.width * self.units :])
        return self.activation(outputs)

    def divergence_functions(self) -> tuple[Any, ...]:
        """What adds to the losses; with a ``kl_weight`` it is scaled by the user."""
        return () if self.kl_weight is not None else (self._divergence_fn,)

    @property
    def size(self) -> int:
        """How many numbers kernel and bias are."""
        return (self.width + self.use_bias) * self.units

    def _made(self, make: Callable[..., Any], name: str, input_shape: Any) -> Any:
        dtype = tf.as_dtype("float64" if self.variable_dtype == "float64" else "float32")
        if isinstance(make, WeightFunction):
            made = WeightDistribution(make, dtype, [self.size], name, broadcast=name == "prior")
            made.build(self)
            return made
        with keras.name_scope(name):
            made = make(self.width * self.units, self.units * self.use_bias, dtype)
            if isinstance(made, keras.layers.Layer) and not made.built:
                made.build((*[None] * (len(input_shape) - 1), self.width))
        if isinstance(made, tf.Module) or not callable(made):
            raise ModelError(
                f"make_{name}_fn must give a Keras 3 layer that ends in a head, or a function of "
                "the inputs that gives a distribution; the variables of a tf.Module or of a layer "
                f"of tf_keras would not train. Received: {made!r}."
            )
        return made

    def _distribution(self, made: Any, inputs: Any, name: str) -> tfd.Distribution:
        if isinstance(made, WeightDistribution):
            return made.distribution()
        distribution = made(inputs)
        if isinstance(made, keras.layers.Layer):
            head = made.layers[-1] if isinstance(made, keras.Model) else made
            if not hasattr(head, "distribution"):
                raise ModelError(
                    f"What make_{name}_fn gives must end in a head of tfbdl.layers, such as "
                    f"IndependentNormal. Received: {head!r}."
                )
            distribution = head.distribution(distribution)
        check_distribution(distribution, [self.size], name, broadcast=name == "prior")
        return distribution

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``[..., units]``."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Plain values.

        Raises:
            ModelError: If a function is not registered, so that no file could name it.
        """
        names = ("units", "kl_weight", "kl_use_exact", "use_bias", "num_data")
        own = {name: getattr(self, name) for name in names}
        functions = configs_of(self, ("make_posterior_fn", "make_prior_fn", "activation"))
        return {**super().get_config(), **own, **functions}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config))
