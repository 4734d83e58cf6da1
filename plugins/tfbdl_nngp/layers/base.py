"""Layer: a step of an infinitely wide network, as a map of covariances."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import tensorflow as tf

from tfbdl.errors import ModelError


@dataclass(frozen=True)
class Covariances:
    """What is known of the units of a layer at two sets of inputs.

    Axes of places follow those of rows: none for vectors; ``[h, w]`` where covariances of a place
    with itself are carried (``places`` is 2); ``[h, w, h', w']`` of each place with each (4).

    Attributes:
        cross: ``[n1, n2, *places]``; with ``paired`` ``[n, *places]``, of each row with its own.
        first: Covariances of each row of the first set with itself, ``[n1, *places]``.
        second: The same of the second set.
        tangent: The neural tangent kernel so far, of the shape of ``cross`` (a scalar 0 before the
            first weights); None where it is not asked for.
        places: Axes of places: 0, 2 or 4.
        paired: Whether ``cross`` is between rows of the same number alone.
    """

    cross: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor
    tangent: tf.Tensor | None = None
    places: int = 0
    paired: bool = False

    def variances(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the units of both sets, so that they broadcast against ``cross``."""
        first, second = self._of_places(self.first), self._of_places(self.second)
        if self.places == 4:
            first, second = first[..., None, None], second[..., None, None, :, :]
        return (first, second) if self.paired else (first[:, None], second[None])

    def own_variances(self, which: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of one of ``first`` and ``second``, so that they broadcast against itself."""
        own = self._of_places(which)
        if self.places == 4:
            return own[..., None, None], own[..., None, None, :, :]
        return own, own

    def linear(
        self, change: Callable[[tf.Tensor], tf.Tensor], places: int | None = None
    ) -> Covariances:
        """A map without weights, such as pooling, on all four."""
        tangent = self.tangent
        if tangent is not None and tangent.shape.rank:
            tangent = change(tangent)
        return replace(
            self,
            cross=change(self.cross),
            first=change(self.first),
            second=change(self.second),
            tangent=tangent,
            places=self.places if places is None else places,
        )

    def _of_places(self, own: tf.Tensor) -> tf.Tensor:
        return diagonal_of_places(own) if self.places == 4 else own


def diagonal_of_places(own: tf.Tensor) -> tf.Tensor:
    """``[..., h, w]`` of ``[..., h, w, h', w']``."""
    return tf.einsum("...hwhw->...hw", own)


class Flow(NamedTuple):
    """What a layer can count on of its input, known before any number is.

    Attributes:
        spatial: Whether units have places.
        gaussian: Whether units are normal and independent given the covariances, as after weights.
    """

    spatial: bool
    gaussian: bool


class Layer(abc.ABC):
    """A step of an infinitely wide network."""

    needs_places: bool = False
    """Whether covariances between different places count."""

    @abc.abstractmethod
    def flow(self, before: Flow) -> Flow:
        """What the layer leaves.

        Raises:
            ModelError: If the layer cannot stand there.
        """

    @abc.abstractmethod
    def __call__(self, before: Covariances) -> Covariances:
        """The covariances of the layer's units."""


def require(holds: bool, problem: str) -> None:
    """Raise ModelError with ``problem`` unless ``holds``."""
    if not holds:
        raise ModelError(problem)
