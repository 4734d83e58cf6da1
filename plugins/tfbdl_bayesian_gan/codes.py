"""The codes of InfoGAN: what is drawn beside the noise, and q(c | x) that reads it off again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from tfbdl import random
from tfbdl.errors import OptionsError, did_you_mean

_LOG_2PI = math.log(2.0 * math.pi)


class Code(ABC):
    """One code c: its distribution, and the family of q(c | x).

    Attributes:
        size: Numbers that the generator is given.
        units: Parameters of q.
        entropy: H(c), in nats; of a continuous code the differential entropy.
    """

    size: int
    units: int
    entropy: float

    @abstractmethod
    def draw(self, n: Any, key: tf.Tensor) -> tf.Tensor:
        """``n`` independent codes as the generator takes them, ``[n, size]``."""

    @abstractmethod
    def log_q(self, parameters: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """``log q(c | x)`` of each row, ``[n]``, from parameters ``[n, units]``."""

    @abstractmethod
    def guess(self, parameters: tf.Tensor) -> tf.Tensor:
        """The mean of q, ``[n, size]``: of a categorical code the probabilities."""


@dataclass(frozen=True)
class Categorical(Code):
    """A class, each as probable as the others, one-hot.

    Attributes:
        classes: K, at least 2.

    Raises:
        OptionsError: If there are fewer.
    """

    classes: int

    def __post_init__(self) -> None:
        if isinstance(self.classes, bool) or not isinstance(self.classes, int) or self.classes < 2:
            raise OptionsError(
                f"A categorical code has a whole number of at least 2 classes. Received: "
                f"{self.classes!r}."
            )

    @property
    def size(self) -> int:  # type: ignore[override]
        """K."""
        return self.classes

    @property
    def units(self) -> int:  # type: ignore[override]
        """K logits."""
        return self.classes

    @property
    def entropy(self) -> float:  # type: ignore[override]
        """``log K``."""
        return math.log(self.classes)

    def draw(self, n: Any, key: tf.Tensor) -> tf.Tensor:
        """See Code."""
        u = random.uniform([n], key)
        return tf.one_hot(tf.cast(u * self.classes, tf.int32), self.classes)

    def log_q(self, parameters: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """See Code."""
        return tf.reduce_sum(c * tf.nn.log_softmax(parameters), axis=-1)

    def guess(self, parameters: tf.Tensor) -> tf.Tensor:
        """See Code."""
        return tf.nn.softmax(parameters)


@dataclass(frozen=True)
class Uniform(Code):
    """A number, uniform from low to high; q is normal.

    Attributes:
        low, high: Its bounds.
        scale: Standard deviation of q; None: the net gives it too, as softplus of a unit.

    Raises:
        OptionsError: If low is not below high, or the scale not above 0.
    """

    low: float = -1.0
    high: float = 1.0
    scale: float | None = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise OptionsError(
                f"A uniform code needs low < high. Received: low={self.low}, high={self.high}."
            )
        if self.scale is not None and not self.scale > 0:
            raise OptionsError(
                f"The scale of q(c | x) must be above 0, or None: learned. Received: {self.scale}."
            )

    @property
    def size(self) -> int:  # type: ignore[override]
        """One."""
        return 1

    @property
    def units(self) -> int:  # type: ignore[override]
        """The mean, and where it is learned the raw scale."""
        return 1 if self.scale is not None else 2

    @property
    def entropy(self) -> float:  # type: ignore[override]
        """``log(high - low)``."""
        return math.log(self.high - self.low)

    def draw(self, n: Any, key: tf.Tensor) -> tf.Tensor:
        """See Code."""
        return self.low + (self.high - self.low) * random.uniform([n, 1], key)

    def log_q(self, parameters: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """See Code."""
        mean = parameters[:, 0]
        if self.scale is None:
            scale = tf.math.softplus(parameters[:, 1]) + 1e-3
        else:
            scale = tf.constant(self.scale, parameters.dtype)
        return -0.5 * (tf.square((c[:, 0] - mean) / scale) + _LOG_2PI) - tf.math.log(scale)

    def guess(self, parameters: tf.Tensor) -> tf.Tensor:
        """See Code."""
        return parameters[:, :1]


KINDS: dict[str, type[Any]] = {"categorical": Categorical, "uniform": Uniform}


def sizes(codes: Sequence[Code]) -> int:
    """Numbers that all codes give the generator."""
    return sum(code.size for code in codes)


def units(codes: Sequence[Code]) -> int:
    """Parameters of q of all codes."""
    return sum(code.units for code in codes)


def draw(codes: Sequence[Code], n: Any, key: tf.Tensor) -> tf.Tensor:
    """All codes side by side, ``[n, sizes]``, each with a stream of its own."""
    return tf.concat(
        [code.draw(n, random.fold_in(key, i)) for i, code in enumerate(codes)], axis=-1
    )


def log_q(codes: Sequence[Code], parameters: tf.Tensor, c: tf.Tensor) -> list[tf.Tensor]:
    """``log q(c_i | x)`` of each code, ``[n]`` each: q factorises (Chen et al. 2016, section 6).

    Args:
        codes: In the order of both tensors.
        parameters: ``[n, units]``.
        c: ``[n, sizes]``.
    """
    found, unit, start = [], 0, 0
    for code in codes:
        own = parameters[:, unit : unit + code.units], c[:, start : start + code.size]
        found.append(code.log_q(*own))
        unit, start = unit + code.units, start + code.size
    return found


def guesses(codes: Sequence[Code], parameters: tf.Tensor) -> list[tf.Tensor]:
    """The mean of q of each code, ``[n, size]`` each."""
    parts = tf.split(parameters, [code.units for code in codes], axis=-1)
    return [code.guess(part) for code, part in zip(codes, parts, strict=True)]


def to_config(code: Code) -> dict[str, Any]:
    """A code as plain values."""
    (kind,) = (name for name, known in KINDS.items() if isinstance(code, known))
    return {"kind": kind, **asdict(code)}  # type: ignore[call-overload]


def from_config(values: Code | Mapping[str, Any]) -> Code:
    """The inverse of ``to_config``; a Code stays as it is.

    Raises:
        OptionsError: If it is neither, or of no known kind.
    """
    if isinstance(values, Code):
        return values
    if not isinstance(values, Mapping) or values.get("kind") not in KINDS:
        kind = values.get("kind") if isinstance(values, Mapping) else None
        hint = did_you_mean(str(kind), KINDS) if kind is not None else ""
        raise OptionsError(
            f"A code is Categorical(classes) or Uniform(low, high), or their plain values.{hint} "
            f"Received: {values!r}."
        )
    own = {name: value for name, value in values.items() if name != "kind"}
    made: Code = KINDS[values["kind"]](**own)
    return made
