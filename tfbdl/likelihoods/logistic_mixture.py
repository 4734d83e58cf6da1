"""Values on a grid of levels, with a mixture of rounded logistic distributions for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from ..config import check_whole
from ..errors import DataError
from .base import Distribution, Tensor, as_outputs
from .on_grid import OnGrid

tfd = tfp.distributions


class LogisticMixture(OnGrid):
    """``P(y) = sum_c w_c P_c(y)``, each component a ``DiscretizedLogistic`` of its own.

    Of ``d`` target dimensions and ``K`` components the net gives ``d K`` logits of the weights
    (softmax over a dimension's components), then ``d K`` locations, then ``d K`` raw scales; in
    each of these blocks the components of the first dimension come first. Their units are those of
    ``DiscretizedLogistic``.

    Args:
        components: K, at least 1.
        levels: How many levels, at least 2.
        low: The first level.
        high: The last, above ``low``.

    Raises:
        OptionsError: If a value is not admitted.

    References:
        Salimans et al. 2017, "PixelCNN++: improving the PixelCNN with discretized logistic mixture
        likelihood and other modifications", eqs. 1 and 2; dimensions are independent here.
    """

    name: ClassVar[str] = "logistic_mixture"

    def __init__(
        self, components: int = 5, levels: int = 256, low: float = 0.0, high: float = 1.0
    ) -> None:
        super().__init__(levels, low, high)
        self.components = check_whole("components", components)

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {"components": self.components, **super().get_config()}

    def outputs_for(self, size: int) -> int:
        """See Likelihood."""
        return 3 * self.components * size

    def size_for(self, num_outputs: int) -> int:
        """See Likelihood."""
        size, rest = divmod(num_outputs, 3 * self.components)
        if rest or size < 1:
            raise DataError(
                f"The likelihood {self.name!r} of {self.components} components needs "
                f"{3 * self.components} outputs for each target dimension: logits, locations and "
                f"raw scales. Received: {num_outputs} outputs."
            )
        return size

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        self._checked(parameters)
        outputs = as_outputs(outputs)
        units = outputs.shape[-1]
        size = -1 if units is None else self.size_for(units)
        logits, loc, raw = (
            tf.reshape(part, tf.concat([tf.shape(part)[:-1], [size, self.components]], axis=0))
            for part in tf.split(outputs, 3, axis=-1)
        )
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), self.logistic(loc, raw))
