"""MixtureSameFamily: a mixture of the laws of any other head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from ...errors import OptionsError
from ...likelihoods.base import Distribution, Tensor
from .head import Head
from .mixture import MixtureHead, mixture


@keras.saving.register_keras_serializable(package="tfbdl")
class MixtureSameFamily(MixtureHead):
    """K laws of another head, with weights: K logits, then the parameters of each component.

    Args:
        num_components: K, at least 1.
        component_layer: The head of one component; of known width.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Raises:
        OptionsError: If ``num_components`` is no whole number of at least 1, or
            ``component_layer`` is no head.

    Example:
        ```python
        component = tfbdl.layers.MultivariateNormalTriL(2)
        head = tfbdl.layers.MixtureSameFamily(3, component)
        size = head.params_size(3, component.params_size(2))
        model = keras.Sequential([keras.layers.Dense(size), head])
        ```
    """

    def __init__(
        self,
        num_components: int,
        component_layer: Head,
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_components, convert_to_tensor_fn, validate_args, **kwargs)
        if not isinstance(component_layer, Head) or component_layer.num_params is None:
            raise OptionsError(
                "component_layer must be a head of tfbdl.layers of known width, such as "
                f"IndependentNormal(1). Received: {component_layer!r}."
            )
        self.component_layer = component_layer

    @staticmethod
    def params_size(num_components: int, component_params_size: int) -> int:
        """How many numbers the layer before must give for each example."""
        return num_components * (1 + component_params_size)

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.num_components, self.component_layer.num_params or 0)

    @staticmethod
    def new(
        params: Any,
        num_components: int,
        component_layer: Head | Callable[[Tensor], Distribution],
    ) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer of its own.

        Args:
            params: ``[..., params_size]``.
            num_components: K.
            component_layer: A head, or a function from ``[..., K, size]`` to a distribution.
        """

        def components(of_each: Tensor) -> Distribution:
            if not isinstance(component_layer, Head):
                return component_layer(of_each)
            component_layer.check_width(of_each.shape)
            return component_layer.law(of_each)  # in the dtype of the mixture

        return mixture(params, num_components, components)

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.num_components, self.component_layer)

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        component = keras.saving.serialize_keras_object(self.component_layer)
        return {**super().get_config(), "component_layer": component}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MixtureSameFamily:
        """The inverse of ``get_config``."""
        component = keras.saving.deserialize_keras_object(config["component_layer"])
        return cls(**{**config, "component_layer": component})
