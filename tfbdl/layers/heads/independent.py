"""IndependentHead: what the heads of independent elements share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...likelihoods.base import Distribution, Tensor
from .head import Head
from .shapes import as_event_shape, event_size, reshape_last


def independent(
    element: Callable[..., Distribution],
    params: Any,
    num_parts: int,
    event_shape: Any,
    validate_args: bool,
) -> Distribution:
    """Independent elements, whose parameters come one after the other.

    Args:
        element: From parameters ``[..., *event_shape]`` to the elements' law.
        params: ``[..., num_parts * prod(event_shape)]``.
        num_parts: Parameters of one element.
        event_shape: Of one draw.
        validate_args: As in TFP.
    """
    shape, params = as_event_shape(event_shape), tf.convert_to_tensor(params)
    parts = (reshape_last(part, shape) for part in tf.split(params, num_parts, axis=-1))
    return tfd.Independent(
        element(*parts, validate_args=validate_args),
        reinterpreted_batch_ndims=len(shape),
        validate_args=validate_args,
    )


class IndependentHead(Head):
    """A head of ``prod(event_shape)`` independent elements with the same number of parameters.

    The first ``prod(event_shape)`` numbers are the first parameter of all elements, row by row,
    then comes the second: TFP's order.

    Args:
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Raises:
        OptionsError: If ``event_shape`` is no shape.
    """

    num_parts: ClassVar[int] = 1
    """Parameters of one element."""

    def __init__(
        self,
        event_shape: Any = (),
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(convert_to_tensor_fn, validate_args, **kwargs)
        self.event_shape = as_event_shape(event_shape)

    @classmethod
    def params_size(cls, event_shape: Any = ()) -> int:
        """How many numbers the layer before must give for each example."""
        return cls.num_parts * event_size(event_shape)

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.event_shape)

    @staticmethod
    def element(*parts: Tensor, validate_args: bool = False) -> Distribution:
        """The law of each element, with scalar events, from its parameters."""
        raise NotImplementedError

    @classmethod
    def new(cls, params: Any, event_shape: Any = (), validate_args: bool = False) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        return independent(cls.element, params, cls.num_parts, event_shape, validate_args)

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.event_shape, self.validate_args)

    def marginals(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.law(params).distribution

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "event_shape": list(self.event_shape)}
