"""What is computed once for a fitted model and kept for as long as the model lives.

A panel's slider asks the same of a model many times; what does not depend on the slider is kept,
of each model what was asked for last.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")

MOST = 16
"""Kept for each owner."""

_KEPT: MutableMapping[Any, OrderedDict[Any, Any]] = weakref.WeakKeyDictionary()


def remember(owner: Any, name: Any, make: Callable[[], T]) -> T:
    """What ``make`` gave for ``owner`` the first time, while it is among the last 16 asked for.

    Args:
        owner: A model. What is kept must not refer to it, or neither will ever be freed.
        name: Of what is kept; whatever can be a key.
        make: Computes it.

    Example:
        ```python
        curve = remember(fit.model, "pruning", lambda: pruning_curve(fit))
        ```
    """
    kept = _KEPT.setdefault(owner, OrderedDict())
    if name not in kept:
        made = make()  # may itself remember
        kept[name] = made
    kept.move_to_end(name)
    found: T = kept[name]
    while len(kept) > MOST:
        kept.popitem(last=False)
    return found
