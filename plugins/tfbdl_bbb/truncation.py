"""Rows of symbols as truncated sequences, in the order in which states are carried.

A row is cut into pieces that are read side by side, a piece into truncated sequences that are read
one after the other. Each symbol but the first of a row is predicted exactly once: where a part ends
with a symbol, the next begins with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data.batches import epochs_of_batches
from tfbdl.errors import DataError

NOTHING = -1
"""Stands where a row has ended."""


def symbols_of(x: Any, num_symbols: int, what: str = "x") -> np.ndarray:
    """Rows of symbols ``[n, T]``, int32, -1 after the end of a row.

    Args:
        x: ``[n, T]`` or ``[n, T, 1]``.
        num_symbols: K; symbols are 0 to K - 1.
        what: What to call it in an error.

    Raises:
        DataError: If the shape is another, a row has fewer than two symbols, or something is no
            symbol.
    """
    try:
        array = np.asarray(x)
        array = array if array.dtype.kind in "iub" else array.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{what} must be numbers of symbols, 0 to {num_symbols - 1}; the data set 'text' makes "
            "them from characters. Received: something that is no array of numbers."
        ) from None
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.shape[1] < 2 or not len(array):
        one = f" One text is given as {what}[np.newaxis]." if array.ndim == 1 else ""
        raise DataError(
            f"{what} must be rows of two symbols or more, [n, T] or [n, T, 1].{one} "
            f"Received: shape {list(np.shape(x))}."
        )
    wrong = ~((array >= NOTHING) & (array < num_symbols) & (array == np.floor(array)))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{what} must hold symbols, whole numbers from 0 to {num_symbols - 1} (and -1 after "
            f"the end of a row). Received: {array[row, column]} at [{row}, {column}]."
        )
    rows = array.astype(np.int32)
    ended = rows == NOTHING
    again = ended[:, :-1] & ~ended[:, 1:]
    if again.any() or ended[:, :2].any():
        row = int(np.argwhere(again.any(axis=1) | ended[:, :2].any(axis=1))[0, 0])
        raise DataError(
            f"A row of {what} has two symbols or more, and -1 only after its end. "
            f"Received: row {row} with {int((~ended[row]).sum())} symbols and gaps or fewer."
        )
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class TruncatedSequences:
    """Rows cut for training.

    Attributes:
        pieces: ``[R, C * length + 1]``, filled up with -1.
        length: Symbols that a truncated sequence predicts.
        num_predicted: Symbols that all of them predict.
    """

    pieces: np.ndarray
    length: int
    num_predicted: int

    @classmethod
    def cut(cls, rows: np.ndarray, length: int, streams: int) -> TruncatedSequences:
        """Cut rows ``[n, T]``.

        Args:
            rows: As ``symbols_of`` gives them.
            length: Symbols that a truncated sequence predicts, at most.
            streams: Rows fewer than these are cut into pieces, about so many in all.
        """
        number, predicted = len(rows), rows.shape[1] - 1
        parts = max(1, min(streams // number, predicted))
        span = math.ceil(predicted / parts)
        length = min(length, span)
        whole = _filled(rows, parts * span + 1)
        starts = span * np.arange(parts)
        pieces = np.stack([whole[:, at : at + span + 1] for at in starts], axis=1)
        pieces = _filled(pieces.reshape(-1, span + 1), math.ceil(span / length) * length + 1)
        return cls(pieces=pieces, length=length, num_predicted=int((rows[:, 1:] >= 0).sum()))

    @property
    def per_piece(self) -> int:
        """C: truncated sequences of a piece."""
        return (self.pieces.shape[1] - 1) // self.length

    @property
    def weight(self) -> float:
        """Truncated sequences for each symbol that is predicted.

        The mean over truncated sequences of their log-likelihoods, times this, is that per symbol.
        """
        return len(self.pieces) * self.per_piece / self.num_predicted

    def steps(self, batch_size: int) -> int:
        """B C: training steps of an epoch, with so many rows a step."""
        return math.ceil(len(self.pieces) / batch_size) * self.per_piece

    def batches(
        self, batch_size: int, *, seed: int, shuffle: bool, start: int = 0, repeat: bool = True
    ) -> tf.data.Dataset:
        """Truncated sequences: of the first rows all, in their order, then of the next rows.

        Rows are shuffled by (seed, epoch); the truncated sequences of a row never are.

        Args:
            batch_size: Rows of a step.
            seed: Of the order of the rows.
            shuffle: Whether to draw an order for each epoch.
            start: Steps to leave out.
            repeat: Whether to go on for ever; otherwise one epoch.

        Returns:
            Mappings: ``symbols [b, length + 1]`` int32, of which the last ``length`` are predicted;
            ``fresh [b]`` int32, 1 where a row begins, with states of zero; ``weight [b]``.
        """
        per_epoch, count, length = self.steps(batch_size), self.per_piece, self.length
        epoch, skip = divmod(start, per_epoch)
        rows = epochs_of_batches(
            tf.constant(self.pieces),
            len(self.pieces),
            batch_size,
            seed=seed,
            shuffle=shuffle,
            start_epoch=epoch,
            repeat=repeat,
        )
        weight = tf.constant(self.weight, tf.float32)
        same = None if len(self.pieces) % batch_size else batch_size  # rows of all batches

        def part(rows: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            at = tf.cast(index, tf.int32) * length
            symbols = rows[:, at : at + length + 1]
            rows = tf.ensure_shape(rows, [same, rows.shape[1]])
            batch = tf.shape(rows)[:1]
            return {
                "symbols": tf.ensure_shape(symbols, [same, length + 1]),
                "fresh": tf.fill(batch, tf.cast(at == 0, tf.int32)),
                "weight": tf.fill(batch, weight),
            }

        def parts(rows: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.range(count).map(lambda index: part(rows, index))

        steps = tf.data.INFINITE_CARDINALITY if repeat else per_epoch - skip
        return (
            rows.flat_map(parts)
            .skip(skip)
            .apply(tf.data.experimental.assert_cardinality(steps))
            .prefetch(tf.data.AUTOTUNE)
        )


def _filled(rows: np.ndarray, width: int) -> np.ndarray:
    """Rows ``[n, T]`` with -1 behind them, up to a width."""
    gap = width - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, gap)), constant_values=NOTHING)
