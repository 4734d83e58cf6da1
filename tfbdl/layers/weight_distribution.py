"""WeightDistribution: a distribution whose parameters are weights of a Keras layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ..errors import ModelError, OptionsError
from ..inference.surrogate import read

_WITHOUT_MEANING = frozenset(  # in Keras 3, of what TFP's users give add_variable_fn
    {"aggregation", "caching_device", "collections", "experimental_autocast", "getter"}
    | {"partitioner", "synchronization", "use_resource"}
)


class WeightDistribution:
    """What a function of TFP's protocol makes, over and over, from the same weights of a layer.

    A Keras layer knows the weights alone that it made itself, and a distribution holds tensors. So
    the function is called once to make its weights, and from then on with an ``add_variable_fn``
    that hands back their present values in the same order: the distribution is made afresh from
    tensors within each graph, and gradients flow.

    Args:
        fn: ``fn(dtype, shape, name, trainable, add_variable_fn) -> tfd.Distribution``.
        dtype: Of the weight, float32 or float64.
        shape: Of the weight.
        name: With which the names of its parameters begin.
        broadcast: Whether the density of one element may stand for those of all, as in a prior.

    Raises:
        OptionsError: If ``fn`` cannot be called.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        dtype: Any,
        shape: Sequence[int],
        name: str,
        *,
        broadcast: bool = False,
    ) -> None:
        if not callable(fn):
            raise OptionsError(
                f"The function of {name} must be fn(dtype, shape, name, trainable, "
                f"add_variable_fn), such as default_mean_field_normal_fn(). Received: {fn!r}."
            )
        self.fn, self.dtype, self.shape, self.name = fn, tf.as_dtype(dtype), shape, name
        self.broadcast = broadcast
        self.variables: tuple[keras.Variable, ...] = ()

    def build(self, layer: keras.layers.Layer) -> None:
        """Make the weights on ``layer``, and check what the function gives.

        Raises:
            ModelError: If that is no distribution over the weight, or it holds variables that
                Keras does not see.
        """
        made: list[keras.Variable] = []

        def add_variable(
            name: str | None = None,
            shape: Any = None,
            dtype: Any = None,
            initializer: Any = None,
            regularizer: Any = None,
            trainable: bool | None = None,
            constraint: Any = None,
            **ignored: Any,
        ) -> tf.Tensor:
            self._refuse_unknown(ignored)
            if isinstance(initializer, keras.initializers.Initializer):
                initializer = initializer.clone()  # whose draws do not repeat those of another
            made.append(
                layer.add_weight(
                    name=name,
                    shape=tuple(tf.TensorShape(() if shape is None else shape)),
                    dtype=tf.as_dtype(dtype or self.dtype).name,
                    initializer=initializer,
                    regularizer=regularizer,
                    trainable=trainable is not False,
                    constraint=constraint,
                    autocast=False,
                )
            )
            return read(made[-1])

        distribution = self._call(add_variable)
        self.variables = tuple(made)
        check_distribution(distribution, self.shape, self.name, broadcast=self.broadcast)

    def values(self) -> list[tf.Tensor]:
        """The present values of the weights."""
        return [read(variable) for variable in self.variables]

    def distribution(self, values: Sequence[tf.Tensor] | None = None) -> tfd.Distribution:
        """The distribution with the given values of its weights.

        Args:
            values: In the order of ``values()``; None: the present ones.

        Raises:
            ModelError: If the function asks for other weights than when the layer was built.
        """
        left = list(self.values() if values is None else values)

        def hand_back(*args: Any, **kwargs: Any) -> tf.Tensor:
            if not left:
                raise self._changed("more")
            return left.pop(0)

        distribution = self._call(hand_back)
        if left:
            raise self._changed("fewer")
        return distribution

    def _call(self, add_variable: Callable[..., tf.Tensor]) -> Any:
        return self.fn(self.dtype, self.shape, self.name, True, add_variable)

    def _changed(self, how_many: str) -> ModelError:
        return ModelError(
            f"The function of {self.name} asks for {how_many} weights than when the layer was "
            f"built. Expected at each call the same ones, in the same order: "
            f"{', '.join(variable.name for variable in self.variables) or 'none'}."
        )

    def _refuse_unknown(self, given: dict[str, Any]) -> None:
        unknown = sorted(set(given) - _WITHOUT_MEANING)
        if unknown:
            raise OptionsError(
                f"add_variable_fn, called for {self.name}, takes name, shape, dtype, initializer, "
                f"regularizer, trainable and constraint. Received: {', '.join(unknown)}."
            )


def check_distribution(
    distribution: Any, shape: Sequence[int], name: str, *, broadcast: bool
) -> None:
    """Raise ModelError unless this is a distribution over a weight, made of tensors.

    Args:
        distribution: What a function made.
        shape: Of the weight.
        name: Of the distribution.
        broadcast: Whether the density of one element may stand for those of all.
    """
    if not isinstance(distribution, tfd.Distribution):
        raise ModelError(
            f"The function of {name} must give a tfp.distributions.Distribution. "
            f"Received: {distribution!r}."
        )
    held = getattr(distribution, "variables", ())
    if held:
        names = ", ".join(variable.name for variable in held)
        raise ModelError(
            f"The distribution {name} holds the tf.Variable {names}, which Keras 3 does not see: "
            "it would neither train nor be stored. A tfp.util.TransformedVariable is one too. "
            "Make it by raw = add_variable_fn(name=..., shape=..., initializer=...), and "
            "transform it by a function, or by tfp.util.DeferredTensor(raw, function)."
        )
    whole = distribution.batch_shape.concatenate(distribution.event_shape)
    expected = tf.TensorShape(tuple(shape))
    if not whole.is_compatible_with(expected) and not (broadcast and _broadcasts(whole, expected)):
        raise ModelError(
            f"The distribution {name} must be over a weight of shape {tuple(shape)}. "
            f"Received: shape {whole} (batch and event)."
        )


def _broadcasts(whole: tf.TensorShape, shape: tf.TensorShape) -> bool:
    """Whether a density over the one shape is one over the other, element by element."""
    try:
        return bool(tf.broadcast_static_shape(whole, shape).is_compatible_with(shape))
    except ValueError:
        return False
