"""What is computed once for a fitted model and kept for as long as the model lives.

A panel's slider asks the same of a model many times; what does not depend on the slider is kept.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")

_KEPT: MutableMapping[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def remember(owner: Any, name: Any, make: Callable[[], T]) -> T:
    """What ``make`` gave for ``owner`` the first time.

    Args:
        owner: A model. What is kept must not refer to it, or neither will ever be freed.
        name: Of what is kept; whatever can be a key.
        make: Computes it.

    Example:
        ```python
        curve = remember(fit.model, "pruning", lambda: pruning_curve(fit))
        ```
    """
    kept = _KEPT.setdefault(owner, {})
    if name not in kept:
        kept[name] = make()
    found: T = kept[name]
    return found
