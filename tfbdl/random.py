"""Random numbers that are a function of a key alone, the same in eager, graph and XLA.

A counter-based generator (Threefry-2x32 with 20 rounds): number ``i`` of an array depends on the
key and on ``i`` only, never on the array's shape, on hidden state or on what was drawn before.
Keys are made by ``key(seed, *salts)`` from a seed and whatever tells two streams apart: the name
of a layer, a step, a replica.

Draw many realisations at once by giving keys ``[S, 2]``. Never draw inside ``tf.vectorized_map``:
it cannot convert the bitcasts.

References:
    Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.
    Giles 2012, "Approximating the erfinv function", GPU Computing Gems 2 (table 5).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .errors import OptionsError

__all__ = [
    "bits",
    "fold_in",
    "frozen",
    "key",
    "normal",
    "rademacher",
    "replica_id",
    "split",
    "threefry2x32",
    "uniform",
]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # of the key schedule
_ROOT = (np.uint32(0x7466B1D1), np.uint32(0x3C6EF372))  # the key under which seeds are encrypted
_FOLD = np.uint32(0x9E3779B9)  # keeps the blocks of fold_in apart from those of a draw
_WORD = 0xFFFFFFFF
# Half precision: what stands in for zero, and the largest number below one.
_HALF_BOUNDS = {"float16": (2.0**-14, 1.0 - 2.0**-11), "bfloat16": (2.0**-24, 1.0 - 2.0**-8)}
_FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)

# Giles 2012: the single-precision inverse error function, highest power first.
# fmt: off
_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
           -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
         -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)
# fmt: on

_freeze_lock = threading.Lock()
_freeze_depth = 0


def threefry2x32(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Encrypt ``counter`` under ``key`` by Threefry-2x32 with 20 rounds (Salmon et al. 2011).

    Args:
        key: Two uint32 words, tensors or NumPy's.
        counter: Two uint32 words, which broadcast against those of ``key``.

    Returns:
        The two uint32 words of the block, tensors if anything given was a tensor.
    """
    words = (*key, *counter)
    if not any(tf.is_tensor(word) for word in words):
        with np.errstate(over="ignore"):  # NumPy warns when a scalar wraps around
            return _rounds(*words)
    x0, x1 = _rounds_once(*words)
    shapes = [tf.TensorShape(word.shape) for word in words]
    shape = functools.reduce(tf.broadcast_static_shape, shapes)
    return tf.ensure_shape(x0, shape), tf.ensure_shape(x1, shape)


def key(seed: Any, *salts: Any) -> tf.Tensor:
    """The key of the stream that belongs to ``seed`` and ``salts``.

    Different seeds give different keys, and each salt leads to an independent stream; the order of
    the salts matters. Salts known when the graph is traced cost nothing at run time if they are
    given first: ``key(7, "dense.kernel", step)``. Fold many streams at once where they share a
    key: ``fold_in(key, tf.range(S))``.

    Args:
        seed: An integer from 0 to 2**63 - 1, or a scalar integer tensor or variable.
        *salts: Integers, texts, or integer tensors; a tensor ``[S]`` gives S keys.

    Returns:
        ``[2]`` uint32, or ``[S, 2]`` if a salt has the shape ``[S]``.

    Raises:
        OptionsError: If the seed is no integer or out of range, or a salt has another type.
    """
    if isinstance(seed, (int, np.integer)) and not 0 <= int(seed) < 2**63:
        raise OptionsError(f"A seed must be an integer from 0 to 2**63 - 1. Received: {seed!r}.")
    words: tuple[Any, Any] = _ROOT
    for data in (seed, *salts):
        words = _fold(words, _data_words(data))
    return tf.stack(words, axis=-1)


def fold_in(key: tf.Tensor, data: Any) -> tf.Tensor:
    """The keys of the streams that ``data`` leads to from ``key``.

    Args:
        key: ``[..., 2]``, uint32 or int32.
        data: Integers, which broadcast against the leading axes of ``key``; all 64 bits count. A
            text, as in ``key()``.

    Returns:
        ``[..., 2]`` uint32: a key ``[2]`` and data ``[S]`` give ``[S, 2]``.
    """
    return tf.stack(_fold(_key_words(key), _data_words(data)), axis=-1)


def split(key: tf.Tensor, n: int) -> tf.Tensor:
    """The keys of ``n`` independent streams: ``fold_in(key, [0, ..., n - 1])``.

    Args:
        key: ``[2]``.
        n: How many, at least one.

    Returns:
        ``[n, 2]`` uint32.
    """
    return fold_in(key, tf.range(n))


def bits(shape: Any, keys: tf.Tensor) -> tf.Tensor:
    """Uniform 32-bit words.

    Args:
        shape: Of one array, of at most 2**32 elements; its dimensions may be tensors.
        keys: ``[2]``, or ``[S, 2]`` for S arrays.

    Returns:
        ``[*shape]`` or ``[S, *shape]``, uint32.

    Raises:
        OptionsError: If an array has more than 2**32 elements or the keys have another shape.
    """
    return _blocks(shape, keys)[0]


def uniform(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Uniform numbers in the open interval (0, 1).

    float32 has a resolution of 2**-23, float64 of 2**-52; each number lies in the middle of its
    cell. Half-precision numbers are drawn in float32, cast and kept inside the interval.

    Args:
        shape, keys: As for ``bits``, and so are the shape returned and the errors.
        dtype: A floating-point dtype, else OptionsError.
    """
    dtype = _float_dtype(dtype)
    if _freeze_depth:
        return tf.fill(_full_shape(shape, keys), tf.constant(0.5, dtype))
    x0, x1 = _blocks(shape, keys)
    if dtype == tf.float64:
        high = tf.cast(_signed(_shift_right(x0, 6)), tf.float64)
        low = tf.cast(_signed(_shift_right(x1, 6)), tf.float64)
        return (high * 2.0**26 + low + 0.5) * 2.0**-52
    u = (tf.cast(_signed(_shift_right(x0, 9)), tf.float32) + 0.5) * 2.0**-23
    if dtype == tf.float32:
        return u
    tiny, below_one = _HALF_BOUNDS[dtype.name]
    return tf.cast(tf.clip_by_value(u, tiny, below_one), dtype)


def normal(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Standard normal numbers, by the inverse of the distribution function.

    ``z = sqrt(2) erfinv(v)`` with ``v`` uniform in (-1, 1), symmetric about zero. float32 reaches
    5.4 standard deviations, float64 8.2.

    Args:
        shape, keys: As for ``bits``, and so are the shape returned and the errors.
        dtype: A floating-point dtype, else OptionsError; half precision is drawn in float32.
    """
    dtype = _float_dtype(dtype)
    if _freeze_depth:
        return tf.zeros(_full_shape(shape, keys), dtype)
    x0, x1 = _blocks(shape, keys)
    if dtype == tf.float64:
        return _normal64(x0, x1)
    return tf.cast(tf.ensure_shape(_normal32_once(x0), x0.shape), dtype)


def rademacher(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Signs, -1 or +1 with equal probability.

    Args:
        shape, keys: As for ``bits``, and so are the shape returned and the errors.
        dtype: A floating-point dtype, else OptionsError.
    """
    dtype = _float_dtype(dtype)
    if _freeze_depth:
        return tf.ones(_full_shape(shape, keys), dtype)
    top = _signed(_shift_right(bits(shape, keys), 31))
    return tf.cast(1 - 2 * top, dtype)


def replica_id() -> Any:
    """The replica in whose context this runs, as a salt: 0, or a tensor where there are several."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Within this context each draw is its centre: normals 0, uniforms 0.5, signs +1.

    Keys and ``bits`` are untouched. It acts when a function is traced, not when a traced function
    runs, and in every thread of the process, since replicas are traced in threads of their own.
    For tests; ``tfbdl.testing.frozen_noise()`` wraps it.
    """
    global _freeze_depth
    with _freeze_lock:
        _freeze_depth += 1
    try:
        yield
    finally:
        with _freeze_lock:
            _freeze_depth -= 1


def _rounds(k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, rotation) ^ x0
        x0 = x0 + schedule[(block + 1) % 3]
        x1 = x1 + (schedule[(block + 2) % 3] + np.uint32(block + 1))
    return x0, x1


# The hundred operations of a block, and those of a normal, are traced once in a process and not
# once for each draw: a network of many layers is traced four times faster. XLA inlines them.
_ANY_WORD = tf.TensorSpec(None, tf.uint32)
_rounds_once = tf.function(_rounds, input_signature=[_ANY_WORD] * 4, autograph=False)


def _normal32(word: tf.Tensor) -> tf.Tensor:
    """A word to a float32 normal, through 24 signed bits and Giles' two polynomials."""
    v = (tf.cast(tf.bitwise.right_shift(_signed(word), 8), tf.float32) + 0.5) * 2.0**-23
    w = -tf.math.log((1.0 - v) * (1.0 + v))
    centre, tail = _horner(_CENTRE, w - 2.5), _horner(_TAIL, tf.sqrt(w) - 3.0)
    return tf.where(w < 5.0, centre, tail) * (math.sqrt(2.0) * v)


_normal32_once = tf.function(_normal32, input_signature=[_ANY_WORD], autograph=False)


def _normal64(x0: tf.Tensor, x1: tf.Tensor) -> tf.Tensor:
    """Two words to a float64 normal, through 53 signed bits and the lower tail's quantile."""
    high = tf.cast(_signed(x0), tf.float64)
    low = tf.cast(_signed(_shift_right(x1, 11)), tf.float64)
    v = (high * 2.0**21 + low + 0.5) * 2.0**-52  # exact, in (-1, 1)
    return -tf.sign(v) * tf.math.ndtri(0.5 - 0.5 * tf.abs(v))


def _horner(coefficients: Sequence[float], x: tf.Tensor) -> tf.Tensor:
    value: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _blocks(shape: Any, keys: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Block ``i`` of each key for each element ``i`` of an array, as two words."""
    dims, size, rank = _dimensions(shape)
    if size is not None and size >= 2**31:
        index = tf.cast(tf.range(size, dtype=tf.int64), tf.uint32)
    else:
        index = tf.bitcast(tf.range(tf.reduce_prod(dims) if size is None else size), tf.uint32)
    index = tf.reshape(index, dims)
    k0, k1 = _key_words(keys)
    if k0.shape.rank:
        column = tf.concat([tf.shape(k0), tf.ones([rank], tf.int32)], 0)
        k0, k1 = tf.reshape(k0, column), tf.reshape(k1, column)
    return threefry2x32((k0, k1), (index, tf.constant(0, tf.uint32)))


def _full_shape(shape: Any, keys: Any) -> tf.Tensor:
    return tf.concat([tf.shape(_key_words(keys)[0]), tf.cast(_dimensions(shape)[0], tf.int32)], 0)


def _dimensions(shape: Any) -> tuple[Any, int | None, int]:
    """The dimensions, the number of elements if it is known, and the rank."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    static = tf.get_static_value(shape) if tf.is_tensor(shape) else list(shape)
    if static is not None and not any(tf.is_tensor(dim) or dim is None for dim in static):
        dims = [int(dim) for dim in static]
        size = math.prod(dims)
        if size > 2**32:
            raise OptionsError(
                "One array of random numbers has at most 2**32 elements; draw with several keys "
                f"instead. Received: shape {tuple(dims)}, {size} elements."
            )
        return dims, size, len(dims)
    if not tf.is_tensor(shape) and any(dim is None for dim in shape):
        raise OptionsError(
            "The shape of random numbers needs a number or a tensor for each dimension. "
            f"Received: {tuple(shape)!r}."
        )
    if not tf.is_tensor(shape):
        shape = tf.stack([tf.cast(dim, tf.int32) for dim in shape])
    return tf.cast(shape, tf.int32), None, shape.shape[0]


def _key_words(keys: Any) -> tuple[tf.Tensor, tf.Tensor]:
    keys = tf.convert_to_tensor(keys)
    if keys.dtype == tf.int32:
        keys = tf.bitcast(keys, tf.uint32)
    if keys.dtype != tf.uint32 or keys.shape.rank is None or keys.shape[-1:] != [2]:
        raise OptionsError(
            "Keys must be uint32 or int32 of shape [2] or [S, 2], as tfbdl.random.key makes them. "
            f"Received: {keys.dtype.name} of shape {keys.shape}."
        )
    return keys[..., 0], keys[..., 1]


def _fold(words: tuple[Any, Any], data_words: tuple[Any, Any]) -> tuple[Any, Any]:
    if all(isinstance(word, np.uint32) for word in (*words, *data_words)):
        return _fold_numbers(*words, *data_words)
    return threefry2x32((words[0], words[1] ^ _FOLD), data_words)


@functools.lru_cache(maxsize=4096)  # 1 ms each, and programs ask for the same few again and again
def _fold_numbers(
    high: np.uint32, low: np.uint32, data_high: np.uint32, data_low: np.uint32
) -> tuple[np.uint32, np.uint32]:
    folded: tuple[np.uint32, np.uint32] = threefry2x32((high, low ^ _FOLD), (data_high, data_low))
    return folded


def _data_words(data: Any) -> tuple[Any, Any]:
    """The high and the low word of an integer, of a text's digest, or of an integer tensor."""
    if isinstance(data, str):
        data = int.from_bytes(hashlib.blake2b(data.encode(), digest_size=8).digest(), "little")
    if isinstance(data, (int, np.integer)) and not isinstance(data, bool):
        number = int(data)
        return np.uint32((number >> 32) & _WORD), np.uint32(number & _WORD)
    try:
        data = tf.convert_to_tensor(data)
        integer = data.dtype.is_integer
    except (TypeError, ValueError):
        integer = False
    if not integer:
        raise OptionsError(
            "Seeds must be integers, and salts integers, texts or integer tensors. "
            f"Received: {data!r}."
        )
    data = tf.bitcast(data, tf.int64) if data.dtype == tf.uint64 else tf.cast(data, tf.int64)
    word = tf.constant(_WORD, tf.int64)
    high = tf.bitwise.bitwise_and(tf.bitwise.right_shift(data, tf.constant(32, tf.int64)), word)
    return tf.cast(high, tf.uint32), tf.cast(tf.bitwise.bitwise_and(data, word), tf.uint32)


def _rotate_left(x: Any, distance: int) -> Any:
    left, right = np.uint32(distance), np.uint32(32 - distance)
    if tf.is_tensor(x):
        return tf.bitwise.left_shift(x, left) | tf.bitwise.right_shift(x, right)
    return (x << left) | (x >> right)


def _shift_right(x: tf.Tensor, distance: int) -> tf.Tensor:
    return tf.bitwise.right_shift(x, np.uint32(distance))


def _signed(word: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(word, tf.int32)


def _float_dtype(dtype: Any) -> tf.DType:
    try:
        result = tf.as_dtype(dtype)
    except TypeError:
        result = None
    if result not in _FLOATS:
        names = ", ".join(d.name for d in _FLOATS)
        raise OptionsError(f"dtype must be one of {names}. Received: {dtype!r}.")
    return result
