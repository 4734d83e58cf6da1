"""Answers of the side process, kept for as long as they are likely to be asked for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

import numpy as np

Key = tuple[Hashable, ...]


class Answers:
    """The answers used last, for all sessions of the server.

    Args:
        most: How many.
        most_bytes: How much they may hold together; an answer above it is not kept.
    """

    def __init__(self, most: int = 200, most_bytes: int = 128 * 2**20) -> None:
        self.most, self.most_bytes = most, most_bytes
        self._kept: OrderedDict[Key, dict[str, np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> dict[str, np.ndarray] | None:
        """A copy of the answer, which a page may change, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
        return {name: array.copy() for name, array in found.items()}

    def put(self, key: Key, answer: Mapping[str, np.ndarray]) -> None:
        """Keep a copy of an answer, and forget those that were not asked for the longest."""
        own = {name: np.array(array) for name, array in answer.items()}
        if _size(own) > self.most_bytes:
            return
        with self._lock:
            self._kept[key] = own
            self._kept.move_to_end(key)
            while len(self._kept) > self.most or self._bytes() > self.most_bytes:
                self._kept.popitem(last=False)

    def _bytes(self) -> int:
        return sum(_size(answer) for answer in self._kept.values())


def _size(answer: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in answer.values())
