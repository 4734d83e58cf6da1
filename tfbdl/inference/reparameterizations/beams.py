"""Stochastic beam search: sequences without replacement from a model of the next token.

Each sequence has a Gumbel variable ``G = log p + g``, and the k largest are the draws. They are
found from the top: a prefix has the maximum of all G beneath it, itself a Gumbel variable of
location ``log p`` of the prefix, and its children are drawn *given that maximum*. So no prefix can
be overtaken by what lies beneath another that was cut, and k prefixes a step are enough.

References:
    Kool, van Hoof & Welling 2019, "Stochastic beams and where to find them: the Gumbel-top-k trick
    for sampling sequences without replacement", algorithm 1 and appendix B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ... import random
from ...errors import DataError, ModelError, OptionsError
from .conditional_gumbels import given_maximum
from .noise import standard_gumbel

NEVER = float("-inf")
NO_TOKEN = -1

Step = Callable[[Any, tf.Tensor], tuple[tf.Tensor, Any]]
"""From (state ``[n, ...]``, last tokens ``[n]``) to (logits of the next ``[n, V]``, new state)."""


class Beams(NamedTuple):
    """Sequences without replacement, in the order in which they were drawn.

    Probabilities are float64, whatever the model computes in.

    Attributes:
        tokens: ``[batch, k, length]``, int32; after the end token -1, and where there were fewer
            than k sequences.
        log_probs: Of the sequences, ``[batch, k]``; minus infinity where there is none.
        perturbed: G, falling: ``[batch, k]``.
        threshold: kappa, the G of the sequence that would be next, ``[batch]``: for
            ``horvitz_thompson``.
    """

    tokens: tf.Tensor
    log_probs: tf.Tensor
    perturbed: tf.Tensor
    threshold: tf.Tensor


class _Search(NamedTuple):
    """What a step carries: w beams for each member of the batch."""

    tokens: tf.Tensor
    last: tf.Tensor
    log_probs: tf.Tensor
    perturbed: tf.Tensor
    keys: tf.Tensor
    ended: tf.Tensor
    broken: tf.Tensor


def stochastic_beam_search(
    step: Step,
    state: Any,
    first: Any,
    k: int,
    length: int,
    key: tf.Tensor,
    *,
    end: int | None = None,
) -> Beams:
    """Draw k different sequences for each member of a batch.

    A sequence's noise is a function of the key and of the sequence, whatever k is: more beams give
    the same sequences, and more. Within a ``tf.function`` all steps are one loop of its graph.

    Args:
        step: The model: from a state and the last tokens ``[n]`` to log probabilities, or
            logits, ``[n, V]`` of the next and the new state. n is ``batch * (k + 1)``.
        state: Before the first step: tensors, or a nest of them, with the leading axis
            ``[batch]``; an empty tuple if there is none.
        first: The token before the first, ``[batch]``.
        k: How many sequences of each.
        length: Tokens at the most, the end token included.
        key: ``[2]``, of ``tfbdl.random.key``.
        end: The token that ends a sequence; None: all have the full length.

    Raises:
        OptionsError: If k, length or end are out of their range.
        DataError: If first is no row of tokens, or the state has another leading axis.
        ModelError: If the step gives something else, or NaN.

    References:
        Kool et al. 2019, algorithm 1; the root's G is drawn, so that the threshold is that of a
        whole draw.
    """
    for name, value in (("k", k), ("length", length)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionsError(f"{name} is a whole number, at least 1. Received: {value!r}.")
    first = tf.convert_to_tensor(first)
    if first.shape.rank != 1 or not first.dtype.is_integer or first.shape[0] is None:
        raise DataError(
            "first holds a token for each member of the batch, [batch]. "
            f"Received: {first.dtype.name} of shape {tuple(first.shape)}."
        )
    batch, width = first.shape[0], k + 1  # one more, for the threshold
    for part in tf.nest.flatten(state):
        if tf.convert_to_tensor(part).shape[:1] != [batch]:
            raise DataError(
                f"The state has the leading axis of first, {batch}. "
                f"Received: shape {tuple(tf.convert_to_tensor(part).shape)}."
            )
    state = tf.nest.map_structure(lambda part: tf.repeat(part, width, axis=0), state)

    def proceed(t: tf.Tensor, search: _Search, _: Any) -> tf.Tensor:
        going = ~search.ended & (search.log_probs > NEVER)
        return (t < length) & tf.reduce_any(going)

    def body(t: tf.Tensor, search: _Search, state: Any) -> tuple[tf.Tensor, _Search, Any]:
        logits, after = step(state, tf.reshape(search.last, [-1]))
        _check_logits(logits, batch * width, end)
        search, parents = _advance(search, tf.cast(logits, tf.float64), t, end)
        return t + 1, search, tf.nest.map_structure(lambda part: tf.gather(part, parents), after)

    root = _root(tf.cast(first, tf.int32), width, length, key)
    loop = (tf.constant(0), root, state)
    _, search, _ = tf.while_loop(proceed, body, loop, parallel_iterations=1)
    return _found(search, k)


def _root(first: tf.Tensor, width: int, length: int, key: tf.Tensor) -> _Search:
    """One prefix without tokens for each member of the batch, whose G is a standard Gumbel."""
    batch = first.shape[0]
    one = tf.one_hot(tf.zeros([batch], tf.int32), width, on_value=True, off_value=False)
    never = tf.constant(NEVER, tf.float64)
    keys = random.fold_in(key, tf.range(batch))
    G = tf.reshape(standard_gumbel((), random.fold_in(keys, "root"), tf.float64), [batch, 1])
    return _Search(
        tokens=tf.fill([batch, width, length], NO_TOKEN),
        last=tf.repeat(first[:, tf.newaxis], width, axis=1),
        log_probs=tf.where(one, tf.zeros((), tf.float64), never),
        perturbed=tf.where(one, G, never),
        keys=tf.repeat(keys[:, tf.newaxis], width, axis=1),
        ended=tf.zeros([batch, width], tf.bool),
        broken=tf.constant(False),
    )


def _advance(
    search: _Search, logits: tf.Tensor, t: tf.Tensor, end: int | None
) -> tuple[_Search, tf.Tensor]:
    """The best of all children, and of which rows of the state they are."""
    batch, width = search.log_probs.shape
    size = logits.shape[1]
    going = (search.log_probs > NEVER) & ~search.ended
    log_probs, broken = _log_probs(tf.reshape(logits, [batch, width, size]), going)
    if end is not None:  # what has ended is its own only child
        only = tf.math.log(tf.one_hot(end, size, dtype=tf.float64))
        log_probs = tf.where(search.ended[..., tf.newaxis], only, log_probs)
    phi = search.log_probs[..., tf.newaxis] + log_probs
    noise = standard_gumbel((size,), tf.reshape(search.keys, [-1, 2]), tf.float64)
    G = given_maximum(phi + tf.reshape(noise, [batch, width, size]), search.perturbed)
    best, index = tf.math.top_k(tf.reshape(G, [batch, width * size]), width)
    parent, token = index // size, index % size

    def of_parents(x: tf.Tensor) -> tf.Tensor:
        return tf.gather(x, parent, batch_dims=1)

    ended = of_parents(search.ended)
    alive = best > NEVER
    written = tf.where(ended | ~alive, NO_TOKEN, token)
    here = tf.range(search.tokens.shape[-1]) == t
    new = _Search(
        tokens=tf.where(here, written[..., tf.newaxis], of_parents(search.tokens)),
        last=token,
        log_probs=tf.gather(tf.reshape(phi, [batch, width * size]), index, batch_dims=1),
        perturbed=best,
        keys=random.fold_in(of_parents(search.keys), token),
        ended=ended if end is None else ended | (token == end),
        broken=search.broken | broken,
    )
    return new, tf.reshape(tf.range(batch)[:, tf.newaxis] * width + parent, [-1])


def _log_probs(logits: tf.Tensor, going: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Normalised logits, and whether those of a prefix that goes on have no law."""
    total = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
    sound = tf.math.is_finite(total)
    broken = tf.reduce_any(~sound[..., 0] & going)
    never = tf.constant(NEVER, tf.float64)
    return tf.where(sound, logits - tf.where(sound, total, 0.0), never), broken


def _check_logits(logits: Any, rows: int, end: int | None) -> None:
    if not tf.is_tensor(logits) or logits.dtype not in (tf.float32, tf.float64):
        raise ModelError(
            "A step gives (logits, state) with float32 or float64 logits [n, V]. "
            f"Received: {logits!r}."
        )
    if logits.shape.rank != 2 or logits.shape[0] not in (rows, None) or not logits.shape[1]:
        raise ModelError(
            f"A step gives logits [n, V] for the n={rows} tokens that it is given. "
            f"Received: shape {tuple(logits.shape)}."
        )
    if end is not None and not 0 <= end < logits.shape[1]:
        last = logits.shape[1] - 1
        raise OptionsError(f"end is a token from 0 to {last}. Received: {end!r}.")


def _found(search: _Search, k: int) -> Beams:
    """The first k; the next one's G is the threshold."""
    message = "A step gave NaN, plus infinity, or no token a probability after one of its prefixes."
    if tf.executing_eagerly():
        if bool(search.broken):
            raise ModelError(message)
    else:
        with tf.control_dependencies([tf.debugging.Assert(~search.broken, [message])]):
            search = search._replace(tokens=tf.identity(search.tokens))
    alive = search.perturbed[:, :k] > NEVER
    return Beams(
        tf.where(alive[..., tf.newaxis], search.tokens[:, :k], NO_TOKEN),
        search.log_probs[:, :k],
        search.perturbed[:, :k],
        search.perturbed[:, k],
    )
