"""VariationalGaussianProcess: a Gaussian process on the inputs, known by inducing points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from ...config import check_whole
from ...errors import ModelError, OptionsError
from ...likelihoods.base import Distribution, Tensor
from ...likelihoods.location_scale import positive
from ..configs import configs_of
from ..divergences import KLDivergence
from ..num_data import add_divergences, check_num_data
from . import inducing
from .functions import found_function
from .head import Head
from .shapes import as_event_shape, as_events, event_size, reshape_last

_STORED = (
    "kernel_provider",
    "mean_fn",
    "inducing_index_points_initializer",
    "unconstrained_observation_noise_variance_initializer",
    "variational_inducing_observations_scale_initializer",
)


@keras.saving.register_keras_serializable(package="tfbdl")
class VariationalGaussianProcess(Head):
    """Independent Gaussian processes, one for each element of ``event_shape``, and their noise.

    A layer with weights of its own: Z, and q(f(Z)) = N(loc, S S'). For each example it gives
    the mean of f, its standard deviation and that of the noise; ``distribution(outputs)`` is the
    law of a target, ``joint(x)`` that of all targets together. ``loss`` is ``-E_q[log p(y | f)]``,
    and the layer adds ``KL(q(f(Z)) || p(f(Z))) / num_data``: together the negative ELBO per row
    (Hensman et al., eq. 4). Matrices are factored in float64.

    Args:
        num_inducing_points: M, at least 1.
        kernel_provider: A Keras layer with a property ``kernel``, one of
            ``tfp.math.psd_kernels`` made of the layer's weights; such as ``KernelProvider()``.
        event_shape: Of a target: a number, or a list of numbers.
        inducing_index_points_initializer: Of Z, ``[*event_shape, M, *features]``; or an array that
            broadcasts to that. Much depends on it: scatter Z among the inputs.
        unconstrained_observation_noise_variance_initializer: Of the raw variance of the noise,
            whose softplus is the variance; None: no noise, and no ``loss``.
        variational_inducing_observations_scale_initializer: Of S, ``[*event_shape, M, M]``, or an
            array; None: 1e-5 times the identity.
        mean_fn: The prior mean: a Keras layer or a registered function, from points
            ``[..., *features]`` to ``[...]``; None: a learned constant.
        jitter: Added to the diagonal of k(Z, Z).
        convert_to_tensor_fn: As in Head.
        num_data: Number of training rows, by which the KL is divided; or tell it later by
            ``tfbdl.layers.set_num_data(model, len(x))``. None: not divided, with a warning.
        use_whitening_transform: Whether loc and S are those of ``inv(L) f(Z)``, ``L L' = k(Z, Z)``:
            the same family of q, often sooner trained.
        **kwargs: Of ``keras.layers.Layer``; ``dtype`` by default that of ``kernel_provider``.

    Raises:
        OptionsError: If an argument is not admitted.
        ModelError: If the inputs have fewer axes than the kernel's features.

    References:
        Hensman, Fusi & Lawrence 2013, "Gaussian processes for big data", eqs. 2 to 4.

    Example:
        ```python
        head = tfbdl.layers.VariationalGaussianProcess(
            20,
            tfbdl.layers.KernelProvider(),
            inducing_index_points_initializer=np.linspace(-1, 1, 20)[:, np.newaxis],
            num_data=len(x),
        )
        model = keras.Sequential([head])
        model.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
        model.fit(x, y)
        head.joint(x_test).sample(7)  # [7, n, 1]: functions
        ```
    """

    def __init__(
        self,
        num_inducing_points: int,
        kernel_provider: Any,
        event_shape: Any = (1,),
        inducing_index_points_initializer: Any = None,
        unconstrained_observation_noise_variance_initializer: Any = -10.0,
        variational_inducing_observations_scale_initializer: Any = None,
        mean_fn: Callable[[Tensor], Tensor] | None = None,
        jitter: float = 1e-6,
        convert_to_tensor_fn: Any = None,
        num_data: float | None = None,
        use_whitening_transform: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(kernel_provider, keras.Layer) or not hasattr(
            type(kernel_provider), "kernel"
        ):
            raise OptionsError(
                "kernel_provider must be a Keras layer with a property 'kernel', such as "
                f"tfbdl.layers.KernelProvider(). Received: {kernel_provider!r}."
            )
        kwargs.setdefault("dtype", kernel_provider.dtype_policy)
        super().__init__(convert_to_tensor_fn, **kwargs)
        self.num_inducing_points = check_whole("num_inducing_points", num_inducing_points)
        self.kernel_provider = kernel_provider
        self.event_shape = as_event_shape(event_shape)
        self.inducing_index_points_initializer = _initializer(
            inducing_index_points_initializer, "glorot_uniform"
        )
        raw = unconstrained_observation_noise_variance_initializer
        self.unconstrained_observation_noise_variance_initializer = (
            None if raw is None else _initializer(raw, None)
        )
        self.variational_inducing_observations_scale_initializer = _initializer(
            variational_inducing_observations_scale_initializer,
            keras.initializers.Constant(1e-5 * np.eye(self.num_inducing_points)),
        )
        if mean_fn is not None and not callable(mean_fn):
            raise OptionsError(f"mean_fn must be a layer or a function. Received: {mean_fn!r}.")
        self.mean_fn = mean_fn
        self.jitter = positive("jitter", jitter)
        self.num_data = check_num_data(num_data)
        self.use_whitening_transform = bool(use_whitening_transform)

    @staticmethod
    def params_size(event_shape: Any = (1,)) -> int:
        """How many numbers this layer gives for each example."""
        return 3 * event_size(event_shape)

    @property
    def num_params(self) -> int:
        """See Head: the width of the outputs alone."""
        return self.params_size(self.event_shape)

    def law(self, params: Tensor) -> Distribution:
        """See Head: the law of a target, noise included."""
        loc, scale, noise = self._parts(params)
        return tfd.Independent(
            tfd.Normal(loc, tf.sqrt(scale**2 + noise**2)),
            reinterpreted_batch_ndims=len(self.event_shape),
        )

    def latent_distribution(self, outputs: Any) -> Distribution:
        """The law of the function at each example, without the noise."""
        loc, scale, _ = self._parts(self.checked(outputs))
        return tfd.Independent(
            tfd.Normal(loc, scale), reinterpreted_batch_ndims=len(self.event_shape)
        )

    def example_loss(self, y_true: Any, outputs: Any) -> Tensor:
        """``-E_q[log N(y | f, noise^2)]`` of each example, summed over its elements: ``[...]``.

        Raises:
            ModelError: If there is no noise.
        """
        if self.unconstrained_observation_noise_variance_initializer is None:
            raise ModelError(
                "Without observation noise a target has no likelihood given the function. Give "
                "unconstrained_observation_noise_variance_initializer=, or a loss of your own."
            )
        params = self.checked(outputs)
        y = as_events(y_true, self.law(params))
        loc, scale, noise = self._parts(params)
        squares = (tf.square(y - loc) + tf.square(scale)) / tf.square(noise)
        terms = 0.5 * squares + tf.math.log(noise) + 0.5 * math.log(2.0 * math.pi)
        return tf.reduce_sum(terms, axis=list(range(-len(self.event_shape), 0)))

    def joint(self, inputs: Any, noise: bool = True) -> Distribution:
        """The law of the targets of all rows together: event shape ``[n, *event_shape]``.

        Args:
            inputs: ``[n, *features]``.
            noise: Whether the noise is in it, or the function alone.
        """
        self._require_built()
        kernel, q, x = self._process(tf.convert_to_tensor(inputs))
        mean, covariance = inducing.joint(kernel, q, x)
        mean += tf.cast(self._prior_mean(x), tf.float64)
        added = self.jitter + (self._noise_variance() if noise else 0.0)
        rows = tf.shape(covariance)[-1]
        factor = tf.linalg.cholesky(covariance + added * tf.eye(rows, dtype=tf.float64))
        each = tfd.MultivariateNormalTriL(mean, factor)
        axes = len(self.event_shape)
        return tfd.TransformedDistribution(
            tfd.Independent(each, reinterpreted_batch_ndims=axes),
            tfb.Transpose(perm=[axes, *range(axes)]),
        )

    def surrogate_posterior_kl_divergence_prior(self) -> Tensor:
        """KL(q(f(Z)) || p(f(Z))), summed over the elements of an event, in nats."""
        self._require_built()
        return tf.cast(inducing.kl_divergence(self._inducing()), self.params_dtype)

    # -- Keras' verbs ------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the weights, under TFP's names."""
        if not self.kernel_provider.built:
            self.kernel_provider.build(input_shape)
        if isinstance(self.mean_fn, keras.Layer) and not self.mean_fn.built:
            self.mean_fn.build(input_shape)
        axes = self.kernel_provider.kernel.feature_ndims
        features = tuple(input_shape)[len(input_shape) - axes :]
        if len(input_shape) <= axes or None in features:
            raise ModelError(
                f"The kernel of {self.name!r} takes points of {axes} known axes. Expected: inputs "
                f"[n, *features]. Received: shape {tuple(input_shape)}."
            )
        self.feature_shape = features
        M, own = self.num_inducing_points, self.event_shape

        def add(name: str, shape: Any, initializer: Any) -> keras.Variable:
            return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

        if self.mean_fn is None:
            self.mean_constant = add("mean", (), "zeros")
        raw = self.unconstrained_observation_noise_variance_initializer
        if raw is not None:
            self.raw_noise = add("observation_noise_variance", (), raw)
        self.inducing_index_points = add(
            "inducing_index_points", (*own, M, *features), self.inducing_index_points_initializer
        )
        self.variational_inducing_observations_loc = add(
            "variational_inducing_observations_loc", (*own, M), "zeros"
        )
        self.variational_inducing_observations_scale = add(
            "variational_inducing_observations_scale",
            (*own, M, M),
            self.variational_inducing_observations_scale_initializer,
        )
        self.make_regularizer_weights()
        self.built = True

    def divergence_functions(self) -> tuple[KLDivergence, ...]:
        """What ``num_data`` scales: an exact divergence."""
        return (KLDivergence("exact"),)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Mean and standard deviation of f, and that of the noise; adds the KL to the losses."""
        inputs = tf.convert_to_tensor(inputs)
        kernel, q, x = self._process(inputs)
        kl = tf.cast(inducing.kl_divergence(q), keras.config.floatx())  # the dtype of Keras' losses
        add_divergences(self, [kl], training)
        mean, variance = inducing.marginals(kernel, q, x)
        mean += tf.cast(self._prior_mean(x), tf.float64)
        noise = tf.fill(tf.shape(mean), tf.sqrt(self._noise_variance()))
        size = event_size(self.event_shape)
        parts = tf.reshape(tf.stack([mean, tf.sqrt(variance), noise]), [3 * size, -1])
        outputs = tf.cast(tf.transpose(parts), self.params_dtype)
        lead = inputs.shape[: inputs.shape.rank - len(self.feature_shape)]
        shape = tf.concat([tf.shape(inputs)[: lead.rank], [3 * size]], axis=0)
        return tf.ensure_shape(tf.reshape(outputs, shape), lead.concatenate([3 * size]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``[..., 3 * prod(event_shape)]``."""
        axes = len(self.feature_shape)
        return (*tuple(input_shape)[: len(input_shape) - axes], self.num_params)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """See Head."""
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.params_dtype)

    def get_config(self) -> dict[str, Any]:
        """See Head.

        Raises:
            ModelError: If ``kernel_provider`` or ``mean_fn`` is not registered.
        """
        return {
            **super().get_config(),
            **configs_of(self, _STORED),
            "num_inducing_points": self.num_inducing_points,
            "event_shape": list(self.event_shape),
            "jitter": self.jitter,
            "num_data": self.num_data,
            "use_whitening_transform": self.use_whitening_transform,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VariationalGaussianProcess:
        """The inverse of ``get_config``."""
        return cls(**{**config, **{name: found_function(config[name]) for name in _STORED}})

    # -- the process -------------------------------------------------------------------------

    def _parts(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and standard deviation of f, standard deviation of the noise."""
        loc, scale, noise = (
            reshape_last(part, self.event_shape) for part in tf.split(params, 3, axis=-1)
        )
        return loc, scale, noise

    def _process(self, inputs: Tensor) -> tuple[Any, inducing.Inducing, Tensor]:
        """The kernel, the law at the inducing points, and the inputs as a list of points."""
        q, kernel = self._inducing(), self.kernel_provider.kernel
        points = tf.reshape(inputs, [-1, *self.feature_shape])
        return kernel, q, tf.cast(points, q.points.dtype)

    def _inducing(self) -> inducing.Inducing:
        kernel = self.kernel_provider.kernel
        Z = tf.cast(tf.convert_to_tensor(self.inducing_index_points), kernel.dtype or tf.float64)
        return inducing.inducing(
            kernel,
            Z,
            self._prior_mean(Z),
            tf.convert_to_tensor(self.variational_inducing_observations_loc),
            tf.convert_to_tensor(self.variational_inducing_observations_scale),
            self.jitter,
            self.use_whitening_transform,
        )

    def _prior_mean(self, points: Tensor) -> Tensor:
        if self.mean_fn is None:
            return tf.convert_to_tensor(self.mean_constant)
        mean = tf.convert_to_tensor(self.mean_fn(points))
        units = mean.shape.rank - (points.shape.rank - len(self.feature_shape))
        return tf.squeeze(mean, -1) if units == 1 and mean.shape[-1] == 1 else mean

    def _noise_variance(self) -> Tensor:
        if self.unconstrained_observation_noise_variance_initializer is None:
            return tf.zeros((), tf.float64)
        return tf.math.softplus(tf.cast(tf.convert_to_tensor(self.raw_noise), tf.float64))

    def _require_built(self) -> None:
        if not self.built:
            raise ModelError(
                f"The layer {self.name!r} has no weights yet: call it on inputs first."
            )


def _initializer(given: Any, otherwise: Any) -> Any:
    """A Keras initializer from what it takes, or from an array, a number or TensorFlow's own."""
    if given is None:
        given = otherwise
    if isinstance(given, tf.constant_initializer):
        given = given.value
    if isinstance(given, (int, float, np.ndarray, np.generic, list, tuple)) or tf.is_tensor(given):
        return keras.initializers.Constant(np.asarray(given))
    return keras.initializers.get(given)
