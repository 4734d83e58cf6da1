"""What is kept of the chain: the last samples of all weights, thinned, and their posterior."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfbdl.inference.surrogate import read
from tfbdl.posterior import Posterior
from tfbdl.trainable import TrainableModel

Arrays = dict[str, np.ndarray]


class KeptSamples:
    """Room for the last ``capacity`` samples, as weights of a model, so that they are stored too.

    Args:
        model: Whose weights they become.
        sites: Site name -> shape of one sample, ``[J, ...]``.
        capacity: How many are kept; further ones take the place of the oldest.

    Attributes:
        count: Samples taken so far, as a weight.
        values: Site name -> ``[capacity, J, ...]``, as weights.
    """

    def __init__(
        self, model: TrainableModel, sites: Mapping[str, tuple[int, ...]], capacity: int
    ) -> None:
        self.capacity = capacity
        self.count = model.add_state("kept_count", np.int64(0))
        self.values: dict[str, keras.Variable] = {
            name: model.add_state(
                "kept_" + name.replace(".", "_"), np.zeros((capacity, *shape), "float32")
            )
            for name, shape in sites.items()
        }

    @property
    def number(self) -> int:
        """Samples that are held."""
        return min(int(read(self.count).numpy()), self.capacity)

    def take(self, params: Mapping[str, tf.Tensor]) -> None:
        """Keep a sample: site name -> ``[J, ...]``."""
        place = int(read(self.count).numpy()) % self.capacity
        for name, variable in self.values.items():
            value = tf.cast(params[name], "float32")[tf.newaxis]
            variable.assign(tf.tensor_scatter_nd_update(read(variable), [[place]], value))
        self.count.assign_add(1)

    def held(self) -> Arrays:
        """All samples from the oldest to the newest: site name -> ``[number, J, ...]``."""
        taken = int(read(self.count).numpy())
        order = np.arange(taken - self.number, taken) % self.capacity
        return {name: read(variable).numpy()[order] for name, variable in self.values.items()}

    def posterior(self) -> Posterior | None:
        """One chain, whose state is the weights of all nets; None before the first sample."""
        if not self.number:
            return None
        return Posterior({name: value[np.newaxis] for name, value in self.held().items()})
