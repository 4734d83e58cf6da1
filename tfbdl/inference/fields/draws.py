"""Random draws of a sweep: a generator for each purpose of each sweep, and categorical draws."""

from __future__ import annotations

from typing import Any

import numpy as np

START, BONDS, LABELS, ORDER = range(4)
"""What numbers are drawn for; each has a stream of its own."""


class Streams:
    """Generators that are a function of (key, sweep, purpose) alone, whatever was drawn before.

    Args:
        key: Two 32-bit words, as of ``tfbdl.random.key``.

    References:
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """

    def __init__(self, key: Any) -> None:
        words = np.asarray(key).astype(np.uint64)
        self.key = int(words[0]) << 32 | int(words[1])

    def generator(self, sweep: int, purpose: int) -> np.random.Generator:
        """The generator of one purpose in one sweep."""
        counter = np.array([0, 0, sweep, purpose], np.uint64)
        return np.random.Generator(np.random.Philox(key=self.key, counter=counter))


def categorical(logits: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Draws by inversion, with probabilities in proportion to ``exp(logits)``.

    Args:
        logits: ``[..., state]``; minus infinity is admitted, though not for all states.
        u: Uniform numbers in [0, 1), ``[...]``.

    Returns:
        States ``[...]``.
    """
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    upto = np.cumsum(weights, axis=-1)
    return np.sum(u[..., np.newaxis] * upto[..., -1:] >= upto, axis=-1)
