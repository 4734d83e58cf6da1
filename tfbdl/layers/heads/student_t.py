"""StudentT: location, scale and, if they are not given, degrees of freedom for each element."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...errors import OptionsError
from ...likelihoods.base import Distribution, Tensor
from ...likelihoods.location_scale import positive
from .independent import IndependentHead, independent
from .shapes import event_size


@keras.saving.register_keras_serializable(package="tfbdl")
class StudentT(IndependentHead):
    """Independent Student's t: ``loc``, raw scales and, where ``df`` is None, raw freedoms.

    The scale is the softplus of its raw number; a freedom that the net gives is 1 + softplus, so
    that there is always a mean. The variance is infinite up to two degrees of freedom.

    Args:
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.
        df: Degrees of freedom of all elements, above 1; None: the net gives them.

    Raises:
        OptionsError: If ``df`` is not above 1.

    References:
        Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution".

    Example:
        ```python
        head = tfbdl.layers.StudentT(1, df=4.0)
        model = keras.Sequential([keras.layers.Dense(head.params_size(1, df=4.0)), head])
        ```
    """

    def __init__(
        self,
        event_shape: Any = (),
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        df: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, convert_to_tensor_fn, validate_args, **kwargs)
        self.df = _checked_df(df)

    @classmethod
    def params_size(cls, event_shape: Any = (), df: float | None = None) -> int:
        """How many numbers the layer before must give: 3 an element, or 2 where ``df`` is given."""
        return (3 if df is None else 2) * event_size(event_shape)

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.event_shape, self.df)

    @staticmethod
    def element(
        *parts: Tensor, validate_args: bool = False, df: float | None = None
    ) -> Distribution:
        """See IndependentHead."""
        loc, raw = parts[:2]
        freedom = 1.0 + tf.math.softplus(parts[2]) if df is None else tf.constant(df, loc.dtype)
        return tfd.StudentT(freedom, loc, tf.math.softplus(raw), validate_args=validate_args)

    @classmethod
    def new(
        cls,
        params: Any,
        event_shape: Any = (),
        validate_args: bool = False,
        df: float | None = None,
    ) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        element = functools.partial(cls.element, df=_checked_df(df))
        return independent(element, params, 3 if df is None else 2, event_shape, validate_args)

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.event_shape, self.validate_args, self.df)

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "df": self.df}


def _checked_df(df: float | None) -> float | None:
    if df is not None and positive("df", df) <= 1:
        raise OptionsError(f"'df' must be above 1, or there is no mean. Received: {df!r}.")
    return None if df is None else float(df)
