"""The queries of a hidden Markov model as compiled programs, kept from one call to the next.

A query takes the three tables of log probabilities; ``answer`` sets the densities of the
observations before it, so that a call is one program. Programs are kept for each kind of
observations and their shape, not for each model: a second fit to data of the same shape compiles
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfbdl.protocols import Params

from . import forward_backward, paths
from .viterbi import viterbi

Density = Callable[[Params, tf.Tensor], tf.Tensor]
"""Of parameters and sequences: ``log p(y_t | state)``, ``[..., n, T, k]``; a plain function."""

MOST = 128
"""Programs that are kept; the oldest makes room."""

Tables = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class Found(NamedTuple):
    """What a query gives.

    Attributes:
        value: As its description says.
        density: ``log p(y)``, or that of the best path: minus infinity for an impossible
            sequence, ``[n]``.
    """

    value: Any
    density: tf.Tensor


def answer(
    query: Callable[..., Any], density: Density, params: Params, y: tf.Tensor, *more: Any
) -> Any:
    """Compile a query for these shapes, or take it from those kept, and call it.

    Args:
        query: Of three tables and further arguments; a function of this page.
        density: Of the observations.
        params: The model's.
        y: ``[n, T, d]`` or ``[n, T]``.
        *more: Its further arguments: tensors, then whole numbers, which the program is made for.
    """
    numbers = tuple(part for part in more if isinstance(part, int))
    tensors = (dict(params), y, *more[: len(more) - len(numbers)])
    leaves = tf.nest.flatten(tensors)
    shapes = tuple((part.dtype, tuple(part.shape)) for part in leaves)
    return _program(query, density, (tuple(sorted(params)), shapes), numbers, tensors)(*tensors)


_kept: dict[Any, Any] = {}


def _program(
    query: Callable[..., Any], density: Density, specs: Any, numbers: Any, tensors: Any
) -> Any:
    key = (query, density, specs, numbers)
    if key not in _kept:

        def run(params: Params, y: tf.Tensor, *rest: tf.Tensor) -> Any:
            return query(*tables(params, y, density), *rest, *numbers)

        if len(_kept) >= MOST:
            _kept.pop(next(iter(_kept)))
        # A concrete function, since TensorFlow would count one for each shape as retracing.
        made = tf.function(run, jit_compile=True, autograph=False)
        with tf.init_scope():
            _kept[key] = made.get_concrete_function(*tf.nest.map_structure(_spec, tensors))
    return _kept[key]


def _spec(part: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec(part.shape, part.dtype)


def tables(params: Params, y: tf.Tensor, density: Density) -> Tables:
    """Log probabilities of first states, transitions and observations given the states."""
    return tf.math.log(params["initial"]), tf.math.log(params["transition"]), density(params, y)


def log_prob(initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor) -> Found:
    """``log p(y)``, ``[n]``."""
    value = forward_backward.log_likelihood(initial, transition, emission)
    return Found(value, value)


def marginals(initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor) -> Found:
    """``p(z_t | y)``, ``[n, T, k]``."""
    smoothed = forward_backward.smooth(initial, transition, emission)
    return Found(smoothed.marginals, smoothed.log_likelihood)


def filtered(initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor) -> Found:
    """``p(z_t | y_1..t)``, ``[n, T, k]``."""
    messages = forward_backward.forward(initial, transition, emission)
    return Found(tf.exp(messages.filtered), tf.reduce_sum(messages.increments, -1))


def pair_marginals(initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor) -> Found:
    """``p(z_t, z_t+1 | y)``, ``[n, T - 1, k, k]``."""
    messages = forward_backward.forward(initial, transition, emission)
    ahead = forward_backward.backward(transition, emission, messages.increments)
    pairs = forward_backward.log_pairs(messages, ahead, transition, emission)
    return Found(tf.exp(pairs), tf.reduce_sum(messages.increments, -1))


def best_path(initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor) -> Found:
    """The most probable path, ``[n, T]``, and its ``log p(z, y)``."""
    return Found(*viterbi(initial, transition, emission))


def sample_paths(
    initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor, key: tf.Tensor, draws: int
) -> Found:
    """Draws of ``p(z | y)``, ``[draws, n, T]``."""
    drawn = paths.sample_posterior(initial, transition, emission, key, draws)
    return Found(drawn, forward_backward.log_likelihood(initial, transition, emission))


def expected(
    initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor, counted: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The E-step: ``log p(y)`` of all sequences, marginals ``[n, T, k]``, pairs ``[k, k]``."""
    smoothed = forward_backward.smooth(initial, transition, emission, counted)
    pairs = tf.reduce_sum(smoothed.pairs, 0)
    return tf.reduce_sum(smoothed.log_likelihood), smoothed.marginals, pairs


def drawn(
    initial: tf.Tensor, transition: tf.Tensor, emission: tf.Tensor, key: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The Monte Carlo E-step: ``log p(y)`` of all sequences, and a path of each, ``[n, T]``."""
    log_likelihood = forward_backward.log_likelihood(initial, transition, emission)
    path = paths.sample_posterior(initial, transition, emission, key)
    return tf.reduce_sum(log_likelihood), path
