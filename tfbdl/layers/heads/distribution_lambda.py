"""DistributionLambda: any law that is a function of the outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from tensorflow_probability import distributions as tfd

from ...config import check_whole
from ...errors import ModelError, OptionsError
from ...likelihoods.base import Distribution, Tensor
from .functions import found_function, function_config
from .head import Head


@keras.saving.register_keras_serializable(package="tfbdl")
class DistributionLambda(Head):
    """The law ``make_distribution_fn(outputs)``.

    A lambda does for training; to store the model the function must be registered, since a file
    keeps no code. It is a function of the outputs alone: a ``tf.Variable`` in its law would never
    be trained by Keras 3. What all examples share is appended to the outputs by
    ``AppendVariable``.

    Args:
        make_distribution_fn: From outputs to a ``tfd.Distribution``.
        convert_to_tensor_fn, **kwargs: As in Head.
        num_params: The width of the outputs, to be checked; None: any.

    Raises:
        OptionsError: If ``make_distribution_fn`` is no function.
        ModelError: If the law is none, or holds a ``tf.Variable``; on storing, if the function is
            not registered.

    Example:
        ```python
        @keras.saving.register_keras_serializable(package="mine")
        def noisy_line(t):
            return tfd.Normal(loc=t[..., :1], scale=1e-3 + tf.math.softplus(0.05 * t[..., 1:]))


        head = tfbdl.layers.DistributionLambda(noisy_line)
        model = keras.Sequential([keras.layers.Dense(2), head])
        model.compile(optimizer="adam", loss=head.loss)
        ```
    """

    def __init__(
        self,
        make_distribution_fn: Callable[[Tensor], Distribution],
        convert_to_tensor_fn: Any = None,
        num_params: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(convert_to_tensor_fn, **kwargs)
        if not callable(make_distribution_fn):
            raise OptionsError(
                "make_distribution_fn must be a function from the outputs to a distribution. "
                f"Received: {make_distribution_fn!r}."
            )
        self.make_distribution_fn = make_distribution_fn
        self.width = None if num_params is None else check_whole("num_params", num_params)

    @property
    def num_params(self) -> int | None:
        """See Head."""
        return self.width

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        law = self.make_distribution_fn(params)
        if not isinstance(law, tfd.Distribution):
            raise ModelError(
                "make_distribution_fn must return a tfp.distributions.Distribution. "
                f"Received: {law!r}."
            )
        refuse_variables(law, "The law of a DistributionLambda")
        return law

    def get_config(self) -> dict[str, Any]:
        """See Head.

        Raises:
            ModelError: If the function is not registered.
        """
        function = function_config(self.make_distribution_fn, "make_distribution_fn")
        own = {"make_distribution_fn": function, "num_params": self.width}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DistributionLambda:
        """The inverse of ``get_config``."""
        function = found_function(config["make_distribution_fn"])
        return cls(**{**config, "make_distribution_fn": function})


def refuse_variables(law: Distribution, what: str) -> None:
    """Raise ModelError if a distribution holds variables that Keras 3 would not see.

    Args:
        law: Whose parameters are looked through.
        what: The first words of the message.
    """
    if law.trainable_variables:
        names = ", ".join(variable.name for variable in law.trainable_variables)
        raise ModelError(
            f"{what} holds the tf.Variable {names}, which Keras 3 does not see: it would never "
            "train. For a learned number that all examples share let "
            "tfbdl.layers.AppendVariable stand before the head; for a learned prior give "
            "KLDivergenceRegularizer a head, such as tfbdl.layers.IndependentNormal(2)."
        )
