"""What the model asks of a kind of observations: Gaussian or categorical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.protocols import Site

from .programs import Density

Params = Mapping[str, Any]


class Emission(Protocol):
    """What the model asks of a kind of observations.

    Attributes:
        names: The fitted arrays.
        size: Dimensions of an observation, or symbols; None as long as it is not known.
    """

    names: tuple[str, ...]
    size: int | None

    def observed(self, y: tf.Tensor) -> tf.Tensor:
        """Which steps were observed: ``[n, T]``."""

    @property
    def log_prob(self) -> Density:
        """Of parameters and ``y``: ``log p(y_t | state)``, ``[..., n, T, k]``; 0 where missing.

        A plain function, the same for all models of the kind: programs are kept by it.
        """

    def statistics(self, y: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sums over observations with weights ``[n, T, k]``."""

    def m_step(self, statistics: Params) -> dict[str, tf.Tensor]:
        """The parameters of largest expected likelihood."""

    def start(self, y: np.ndarray, method: str, seed: int) -> dict[str, np.ndarray]:
        """Parameters of the whole model to begin with."""

    def sample(self, params: Params, states: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Observations of the given states ``[n, T]``."""

    def distribution(self, params: Params, probs: tf.Tensor) -> tfd.Distribution:
        """Of one observation whose state has the probabilities ``[..., k]``."""

    def sites(self) -> tuple[Site, ...]:
        """The parameters as random tensors."""

    def init(self, mean: Any, deviation: Any, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """Values of the sites for a sampler to begin with."""

    def draw(self, y: tf.Tensor, weights: tf.Tensor, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """Values of the sites given the states, as one-hot ``weights [n, T, k]``."""

    def log_prior(self, params: Params, y: tf.Tensor) -> tf.Tensor:
        """The log density of the sites' values, ``[...]``, in nats."""

    def from_sites(self, params: Params) -> dict[str, np.ndarray]:
        """The fitted arrays of the sites' values."""
