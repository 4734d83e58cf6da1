"""Recursions compiled once for each setting and shape, and kept."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

MOST = 128
"""Programs that are kept; the one that was not used for longest makes room."""

_kept: collections.OrderedDict[Any, Any] = collections.OrderedDict()
_lock = threading.Lock()


def call(
    program: Callable[..., Any], settings: tuple[Hashable, ...], *tensors: Any, xla: bool = False
) -> Any:
    """``program(*settings, *tensors)`` as a graph.

    A setting that is equal to another is the same, so functions and rules are shared by all filters
    that have them.

    Args:
        program: A pure function of a module.
        settings: What the graph is made for: functions, numbers, words.
        *tensors: Nests of tensors; None may stand in the place of one.
        xla: Compile by XLA: loops over time run ten times faster, after seconds of compilation.
    """
    leaves = tf.nest.flatten(tensors)
    given = [leaf for leaf in leaves if leaf is not None]
    shapes = tuple(None if p is None else (p.dtype, tuple(p.shape)) for p in leaves)
    key = (program, settings, shapes, xla)
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
    if found is None:
        found = _compiled(program, settings, tensors, leaves, xla)
        with _lock:
            _kept[key] = found
            while len(_kept) > MOST:
                _kept.popitem(last=False)
    return found(*given)


def _compiled(
    program: Callable[..., Any],
    settings: tuple[Any, ...],
    tensors: Any,
    leaves: list[Any],
    xla: bool,
) -> Any:
    present = [leaf is not None for leaf in leaves]
    structure = tf.nest.map_structure(lambda _: 0, tensors)  # holds no tensor

    def run(*given: tf.Tensor) -> Any:
        rest = iter(given)
        flat = [next(rest) if there else None for there in present]
        return program(*settings, *tf.nest.pack_sequence_as(structure, flat))

    # A concrete function, since TensorFlow would count one for each shape as retracing.
    specs = [tf.TensorSpec(leaf.shape, leaf.dtype) for leaf in leaves if leaf is not None]
    made = tf.function(run, jit_compile=xla or None, autograph=False)
    if tf.executing_eagerly():
        return made.get_concrete_function(*specs)
    # A program that is traced asks for it. Within tf.init_scope gradient tapes would not record.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(made.get_concrete_function, *specs).result()
