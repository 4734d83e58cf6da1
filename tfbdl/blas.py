"""Threads of BLAS, for small matrices that are not worth more than one."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> contextlib.AbstractContextManager[Any]:
    """BLAS and LAPACK in one thread while the context lasts; TensorFlow's own are left alone.

    A product or factor of some hundred rows takes less time than its threads take to meet; on busy
    cores, a hundred times less.

    Example:
        ```python
        with one_thread():
            np.linalg.cholesky(small)
        ```
    """
    limited: contextlib.AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks at all libraries of the process, which takes a while
