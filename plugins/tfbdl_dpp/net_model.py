"""The model ``dpp_net`` for ``tfbdl.fit``: a k-DPP whose draws come from a net."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfbdl import Capability
from tfbdl.data import Dataset

from .model import KDPPModel
from .net import DPPNet
from .net_config import DPPNetOptions
from .posterior import SubsetPosterior

PREFIX = "net_"


class DPPNetModel(KDPPModel):
    """A k-DPP of the rows, or by a given kernel, and a net that draws from it approximately.

    The inclusion probabilities of the posterior are exact, its draws are the net's.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EXACT})
    options_class: ClassVar[Any] = DPPNetOptions
    options: DPPNetOptions

    def condition(self, data: Dataset | None) -> SubsetPosterior:
        """Take in items as ``k_dpp`` does, and train the net once all are there."""
        super().condition(data)
        kept = {n: v for n, v in self.params.items() if not n.startswith(PREFIX)}
        self.assign(kept)
        count = None if self.info is None else self.info.num_rows
        if count is None or "items" not in kept or len(kept["items"]) >= count:
            options = self.options
            net = self._untrained().fit(
                options.steps, options.batch_size, options.exact_draws, options.learning_rate
            )
            self.assign(kept | net.get_weights())
        return self.posterior

    @property
    def posterior(self) -> SubsetPosterior:
        """The distribution over subsets, with draws of the net.

        Raises:
            ModelError: If there were no items.
        """
        return NetPosterior(self.net, self.options.draws)

    @property
    def net(self) -> DPPNet:
        """The net.

        Raises:
            ModelError: If there were no items.
        """
        self.fitted()
        return self._net

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        self.__dict__.pop("_net", None)
        super().assign(params)

    @cached_property
    def _net(self) -> DPPNet:
        net = self._untrained()
        weights = {n: v for n, v in self.params.items() if n.startswith(PREFIX)}
        if weights:
            net.set_weights(weights)
        return net

    def _untrained(self) -> DPPNet:
        return DPPNet(self.process, self.options.hidden, self.options.net_seed)  # type: ignore[arg-type]


class NetPosterior(SubsetPosterior):
    """The site ``subset`` with draws of a net.

    Args:
        net: Fitted.
        draws: How many subsets ``.draws`` holds.
    """

    def __init__(self, net: DPPNet, draws: int) -> None:
        self.net = net
        super().__init__(net.process, draws)

    def _masks(self, n: int, key: tf.Tensor) -> Mapping[str, np.ndarray]:
        high, low = (int(word) for word in tf.bitcast(key, tf.uint32).numpy())
        masks = np.zeros((n, self.process.num_items), bool)
        np.put_along_axis(masks, self.net.sample(n, (high << 31) ^ low), True, axis=1)
        return {"subset": masks}
