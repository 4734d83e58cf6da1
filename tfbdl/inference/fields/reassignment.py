"""Draw the segment of each cluster in turn, given all others: one compiled loop for all chains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .dirichlet_potts import DirichletPotts

BLOCK = 16  # neighbours looked at in one go


class Clusters(NamedTuple):
    """What moves together; rows from ``number`` on are empty.

    Attributes:
        number: Clusters, ``[chain]``.
        size: Sites of each, ``[site, chain]``.
        sums: Of their features less m0, ``[site, chain, d]``.
        squares: Sums of squares, ``[site, chain, d]``.
        u: Uniform numbers, ``[site, chain]``.
    """

    number: np.ndarray
    size: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    u: np.ndarray


class Around(NamedTuple):
    """Couplings between clusters; those of cluster ``l`` stand from place ``begins[l]`` on.

    Attributes:
        begins: ``[site + 1, chain]``.
        others: The cluster at the other end, ``[chain, place]``.
        couplings: ``[chain, place]``.
    """

    begins: np.ndarray
    others: np.ndarray
    couplings: np.ndarray


class Segments(NamedTuple):
    """What clusters belong to, some of them empty.

    Attributes:
        size: Sites of each, ``[chain, label]``.
        sums: ``[chain, label, d]``.
        squares: ``[chain, label, d]``.
    """

    size: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


class Tables(NamedTuple):
    """The prior; tables are by the number of sites.

    Attributes:
        kappa0: Scalar.
        a0: Scalar.
        b0: ``[d]``.
        constant: What the evidence owes to the number of sites alone, ``[site + 1]``.
        log_gamma: ``ln Gamma(n)``, ``[site + 1]``.
        log_before: What a segment's weight is divided by, ``[site + 1]``.
    """

    kappa0: np.ndarray
    a0: np.ndarray
    b0: np.ndarray
    constant: np.ndarray
    log_gamma: np.ndarray
    log_before: np.ndarray


def tables_of(field: DirichletPotts) -> Tables:
    """The prior of a field as tensors."""
    marginal, log_gamma = field.evidence, field.log_factorials
    log_before = log_gamma.copy()
    log_before[0] = -np.log(field.concentration)  # a new segment's weight is times that
    scalars = np.asarray(marginal.kappa0), np.asarray(marginal.a0)
    return _tensors(Tables(*scalars, marginal.b0, marginal.constant, log_gamma, log_before))


def reassigned(
    tables: Tables,
    segment: np.ndarray,
    segments: Segments,
    clusters: Clusters,
    around: Around | None,
) -> np.ndarray:
    """The new segment of each cluster, ``[site, chain]``, from the one before.

    Args:
        tables: The prior.
        segment: Of each cluster, ``[site, chain]``.
        segments: Those that they make; each chain has an empty one.
        clusters: See there.
        around: None where no coupling is left between clusters.
    """
    state = tf.constant(0), _tensors(segment), _tensors(segments)
    fixed = _tensors(clusters), None if around is None else _tensors(_padded(around))
    while True:
        step, drawn, left = _loop(tables, *state, *fixed)
        if int(step) >= clusters.number.max():
            return drawn.numpy()
        wider = tf.nest.map_structure(lambda part: tf.concat([part, 0 * part], 1), left)
        state = step, drawn, wider


@tf.function(jit_compile=True, autograph=False)
def _loop(
    tables: Tables,
    first: tf.Tensor,
    segment: tf.Tensor,
    segments: Segments,
    clusters: Clusters,
    around: Around | None,
) -> tuple[tf.Tensor, tf.Tensor, Segments]:
    """Take cluster after cluster from ``first`` on, while each chain has an empty segment."""
    last = tf.reduce_max(clusters.number)

    def goes_on(step: tf.Tensor, segment: tf.Tensor, now: Segments) -> tf.Tensor:
        room = tf.reduce_all(tf.reduce_any(now.size == 0, axis=1))
        return room & (step < last)

    def body(step: tf.Tensor, segment: tf.Tensor, now: Segments) -> tuple[tf.Tensor, ...]:
        moves = step < clusters.number
        before = segment[step]
        size = tf.where(moves, clusters.size[step], 0)
        sums, squares = clusters.sums[step], clusters.squares[step]
        rest = _moved(now, before, -size, -sums, -squares)
        logits = _logits(tables, rest, size, sums, squares)
        if around is not None:
            logits += _residual(step, segment, around, rest.size.shape[1])
        drawn = tf.where(moves, _categorical(logits, clusters.u[step]), before)
        segment = tf.tensor_scatter_nd_update(segment, [[step]], drawn[tf.newaxis])
        return step + 1, segment, _moved(rest, drawn, size, sums, squares)

    return tf.while_loop(goes_on, body, (first, segment, segments), parallel_iterations=1)


def _logits(
    tables: Tables, rest: Segments, size: tf.Tensor, sums: tf.Tensor, squares: tf.Tensor
) -> tf.Tensor:
    """The log weight of each segment for one cluster of each chain: ``[chain, label]``."""
    after = Segments(
        rest.size + size[:, tf.newaxis],
        rest.sums + sums[:, tf.newaxis],
        rest.squares + squares[:, tf.newaxis],
    )
    prior = tf.gather(tables.log_gamma, after.size) - tf.gather(tables.log_before, rest.size)
    logits = prior + _log_evidence(tables, after) - _log_evidence(tables, rest)
    empty = tf.cast(rest.size == 0, tf.int32)
    superfluous = (empty == 1) & (tf.cumsum(empty, axis=1) > 1)  # the first stands for a new one
    return tf.where(superfluous, tf.constant(-np.inf, logits.dtype), logits)


def _log_evidence(tables: Tables, of: Segments) -> tf.Tensor:
    """As NormalGamma.log_evidence: ``[chain, label]``."""
    rows = tf.cast(of.size, of.sums.dtype)
    spread = of.squares - of.sums**2 / (tables.kappa0 + rows[..., tf.newaxis])
    b = tables.b0 + 0.5 * tf.maximum(spread, 0.0)
    logs = tf.reduce_sum(tf.math.log(b), axis=-1)
    return tf.gather(tables.constant, of.size) - (tables.a0 + 0.5 * rows) * logs


def _moved(
    segments: Segments, to: tf.Tensor, size: tf.Tensor, sums: tf.Tensor, squares: tf.Tensor
) -> Segments:
    """The segments after a cluster has joined one, or left it by negative numbers."""
    here = tf.range(segments.size.shape[1]) == to[:, tf.newaxis]
    moves = (here & (size != 0)[:, tf.newaxis])[..., tf.newaxis]
    count = segments.size + tf.where(here, size[:, tf.newaxis], 0)
    used = (count > 0)[..., tf.newaxis]  # no rounding is left of an empty one
    zero = tf.zeros((), sums.dtype)
    return Segments(
        count,
        tf.where(used, segments.sums + tf.where(moves, sums[:, tf.newaxis], zero), zero),
        tf.where(used, segments.squares + tf.where(moves, squares[:, tf.newaxis], zero), zero),
    )


def _residual(step: tf.Tensor, segment: tf.Tensor, around: Around, labels: int) -> tf.Tensor:
    """The couplings of one cluster of each chain to each segment: ``[chain, label]``."""
    begin, end = around.begins[step], around.begins[step + 1]
    chains = segment.shape[1]
    places = tf.range(BLOCK)
    chain = tf.range(chains)[:, tf.newaxis]

    def body(block: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        at = begin[:, tf.newaxis] + block * BLOCK + places
        other = tf.gather(around.others, at, batch_dims=1)
        coupling = tf.gather(around.couplings, at, batch_dims=1)
        coupling = tf.where(at < end[:, tf.newaxis], coupling, 0.0)
        theirs = tf.gather(tf.reshape(segment, [-1]), other * chains + chain)
        met = tf.range(labels) == theirs[..., tf.newaxis]
        return block + 1, total + tf.reduce_sum(
            tf.where(met, coupling[..., tf.newaxis], 0.0), axis=1
        )

    longest = tf.reduce_max(end - begin)
    start = tf.constant(0), tf.zeros((chains, labels), around.couplings.dtype)
    return tf.while_loop(lambda block, _: block * BLOCK < longest, body, start)[1]


def _categorical(logits: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    """As ``draws.categorical``: ``[chain]``, int32."""
    weights = tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))
    upto = tf.cumsum(weights, axis=-1)
    passed = u[:, tf.newaxis] * upto[:, -1:] >= upto
    return tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)


def _padded(around: Around) -> Around:
    """With a block more, so that the last one can be looked at whole."""
    more = ((0, 0), (0, BLOCK))
    return Around(around.begins, np.pad(around.others, more), np.pad(around.couplings, more))


def _tensors(nest: NamedTuple | np.ndarray) -> tf.Tensor:
    """Arrays as tensors, whole numbers as int32."""

    def tensor(part: np.ndarray) -> tf.Tensor:
        return tf.constant(part, tf.int32 if part.dtype.kind in "iu" else tf.float64)

    return tf.nest.map_structure(tensor, nest)
