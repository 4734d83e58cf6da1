"""Values on a grid of levels, such as those of pixels, with rounded logistic noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .base import Distribution, Tensor, as_outputs
from .heteroscedastic_gaussian import half, halves
from .on_grid import OnGrid


class DiscretizedLogistic(OnGrid):
    """A logistic distribution around the location, rounded to a grid of levels.

    With h half the distance of two levels, ``P(y) = sigmoid((y + h - loc) / s) - sigmoid((y - h -
    loc) / s)``; the first and the last level take the tails. The net gives ``d`` locations, then
    ``d`` raw scales, in units in which the grid runs from -1 to 1; there ``s`` is the softplus of
    the raw scale and a tenth of a level.

    Args:
        levels: How many levels, at least 2.
        low: The first level.
        high: The last, above ``low``.

    Raises:
        OptionsError: If a value is not admitted.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow";
        Salimans et al. 2017, "PixelCNN++", eq. 2 with one component.

    Example:
        ```python
        pixels = tfbdl.likelihoods.DiscretizedLogistic(levels=256)  # of uint8 / 255
        pixels.log_prob(tf.zeros([5, 2]), tf.zeros([5, 1]))  # [5], nats
        ```
    """

    name: ClassVar[str] = "discretized_logistic"

    def outputs_for(self, size: int) -> int:
        """See Likelihood."""
        return 2 * size

    def size_for(self, num_outputs: int) -> int:
        """See Likelihood."""
        return half(self.name, num_outputs)

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        self._checked(parameters)
        return self.logistic(*halves(self.name, as_outputs(outputs)))
