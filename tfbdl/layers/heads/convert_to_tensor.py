"""ConvertToTensor: a draw, a mean or another number of a head's law, for the layers after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from tensorflow_probability import distributions as tfd

from ...errors import OptionsError, did_you_mean
from ...likelihoods.base import Distribution, Tensor
from .. import sampling
from ..noise import NoisyLayer
from .functions import found_function, function_config
from .head import Head
from .head_loss import HeadLoss

WAYS = ("sample", "mean", "mode", "stddev", "variance")


@keras.saving.register_keras_serializable(package="tfbdl")
class ConvertToTensor(NoisyLayer):
    """What TFP's layers do by ``convert_to_tensor_fn``: a law becomes a tensor of its events.

    Args:
        head: Whose outputs are the inputs of this layer; its configuration alone is used.
        convert_to_tensor_fn: ``sample`` (a fresh draw at each call, training or not), ``mean``,
            ``mode``, ``stddev`` or ``variance``, by name or as TFP's method; or a registered
            function of a distribution.
        seed: Of the draws, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs: ``[..., params_size]``
        outputs: ``[..., *event_shape]``

    Raises:
        OptionsError: If ``head`` is no head, or there is no such way.

    Example:
        ```python
        prior = tfbdl.layers.KLDivergenceRegularizer("normal")
        latent = tfbdl.layers.IndependentNormal(2, activity_regularizer=prior)
        encoder = [keras.layers.Dense(4), latent, tfbdl.layers.ConvertToTensor(latent)]
        head = tfbdl.layers.IndependentBernoulli((28, 28))
        vae = keras.Sequential([*encoder, keras.layers.Dense(head.num_params), head])
        vae.compile(optimizer="adam", loss=head.loss)
        ```
    """

    def __init__(
        self,
        head: Head,
        convert_to_tensor_fn: str | Callable[[Distribution], Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, autocast=False, **kwargs)
        if not isinstance(head, Head):
            raise OptionsError(f"head must be a head of tfbdl.layers. Received: {head!r}.")
        self.law_of = head.loss  # no layer, so that Keras does not take the head for a part of this
        self.supports_masking = True
        self.way = _way(convert_to_tensor_fn)

    @property
    def head(self) -> Head:
        """Whose outputs are the inputs."""
        return self.law_of.head

    def build(self, input_shape: Any = None) -> None:
        """Check the width; make the count of the draws, if there are any."""
        self.head.check_width(input_shape)
        if self.way == "sample":
            super().build(input_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The tensor."""
        law = self.head.distribution(inputs)
        if self.way == "sample":
            return sampling.sample(law, self.noise_key(self.next_call()))
        if isinstance(self.way, str):
            return getattr(law, self.way)()
        return self.way(law)

    def get_config(self) -> dict[str, Any]:
        """Plain values.

        Raises:
            ModelError: If the function is not registered.
        """
        role = "convert_to_tensor_fn"
        way = self.way if isinstance(self.way, str) else function_config(self.way, role)
        own = {**self.law_of.get_config(), role: way}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConvertToTensor:
        """The inverse of ``get_config``."""
        found = {
            "head": HeadLoss.from_config({"head": config["head"]}).head,
            "convert_to_tensor_fn": found_function(config["convert_to_tensor_fn"]),
        }
        return cls(**{**config, **found})


def _way(given: Any) -> Any:
    """One of the names, or a function of a distribution; TFP's own methods by their names."""
    for name in WAYS:
        if given == name or given is getattr(tfd.Distribution, name):
            return name
    if not callable(given):
        raise OptionsError(
            f"convert_to_tensor_fn must be one of {', '.join(WAYS)}, or a function of a "
            f"distribution.{did_you_mean(given, WAYS)} Received: {given!r}."
        )
    return given
