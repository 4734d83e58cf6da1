"""AveragePooling: means over windows of an image."""

from __future__ import annotations

from typing import Literal

from tfbdl.config import check_choice

from .base import Covariances, Flow, Layer, require
from .places import pair, pooled


class AveragePooling(Layer):
    """The mean over windows; in Keras' manner, padding does not count.

    It needs the covariances between all places: memory and time are those of the number of places
    squared.

    Args:
        size: Of the window: a number, or (height, width).
        strides: None: the size.
        padding: ``valid`` or ``same``.

    Raises:
        OptionsError: If an argument is not admitted.
    """

    needs_places = True

    def __init__(
        self,
        size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: Literal["same", "valid"] = "valid",
    ) -> None:
        self.size = pair("size", size)
        self.strides = self.size if strides is None else pair("strides", strides)
        check_choice("padding", padding, ("same", "valid"))
        self.padding = padding

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(before.spatial, "Pooling needs images. Received: vectors.")
        return before

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        return before.linear(lambda part: pooled(part, self.size, self.strides, self.padding))
