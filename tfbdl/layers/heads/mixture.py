"""MixtureHead and IndependentMixture: what the heads of mixtures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...config import check_whole
from ...likelihoods.base import Distribution, Tensor
from .head import Head
from .independent import IndependentHead
from .shapes import as_event_shape, reshape_last


def mixture(
    params: Any, num_components: int, components: Callable[[Tensor], Distribution]
) -> Distribution:
    """``p(y) = sum_k softmax(logits)_k p_k(y)``.

    Args:
        params: ``[..., K (1 + size)]``: K logits of the weights, then the parameters of the first
            component, of the second, ...
        num_components: K.
        components: From parameters ``[..., K, size]`` to the components' law.
    """
    params = tf.convert_to_tensor(params)
    rest = params[..., num_components:]
    width = rest.shape[-1]
    shape = [num_components, -1 if width is None else width // num_components]
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=params[..., :num_components]),
        components(reshape_last(rest, shape)),
    )


class MixtureHead(Head):
    """A head of ``num_components`` laws of one family, and their weights.

    Args:
        num_components: K, at least 1.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Raises:
        OptionsError: If ``num_components`` is no whole number of at least 1.
    """

    def __init__(
        self,
        num_components: int,
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(convert_to_tensor_fn, validate_args, **kwargs)
        self.num_components = check_whole("num_components", num_components)

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "num_components": self.num_components}


class IndependentMixture(MixtureHead):
    """A mixture whose components have independent elements.

    Args:
        num_components: K, at least 1.
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.
    """

    component: ClassVar[type[IndependentHead]]
    """The head of one component."""

    def __init__(
        self,
        num_components: int,
        event_shape: Any = (),
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_components, convert_to_tensor_fn, validate_args, **kwargs)
        self.event_shape = as_event_shape(event_shape)

    @classmethod
    def params_size(cls, num_components: int, event_shape: Any = ()) -> int:
        """How many numbers the layer before must give for each example."""
        return num_components * (1 + cls.component.params_size(event_shape))

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.num_components, self.event_shape)

    @classmethod
    def new(
        cls,
        params: Any,
        num_components: int,
        event_shape: Any = (),
        validate_args: bool = False,
    ) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        return mixture(
            params,
            num_components,
            lambda of_each: cls.component.new(of_each, event_shape, validate_args=validate_args),
        )

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.num_components, self.event_shape, self.validate_args)

    def marginals(self, params: Tensor) -> Distribution:
        """See Head: for each element a mixture of its own, all with the same weights."""
        law, axes = self.law(params), len(self.event_shape)
        each = law.components_distribution.distribution  # [..., K, *event_shape]
        loc, scale = (
            tf.experimental.numpy.moveaxis(part, -1 - axes, -1) for part in (each.loc, each.scale)
        )
        logits = law.mixture_distribution.logits
        for _ in range(axes):
            logits = logits[..., tf.newaxis, :]
        weights = tfd.Categorical(logits=tf.broadcast_to(logits, tf.shape(loc)))
        return tfd.MixtureSameFamily(weights, type(each)(loc, scale))

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "event_shape": list(self.event_shape)}
