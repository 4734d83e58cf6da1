"""Microseconds of a step on a stream of 10,000 observations, and the memory it takes.

``step`` of an ``lstm_kalman`` of the default size (d = m = 3) in one ``tf.function``, from NumPy to
NumPy, one observation after the other; medians of blocks of 1,000 steps.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from tfbdl_kalman_lstm import LSTMKalman

from benchmarks import parts
from benchmarks.kalman.data import simulate

STEPS, BLOCK, WARMUP = 10_000, 1_000, 200


def run() -> dict[str, Any]:
    """One stream, and 64 side by side."""
    parts.header("streams", "us a step", "us, first block", "us, last block", "MB more at the end")
    figures = {}
    for batch in (1, 64):
        found = _stream(batch)
        blocks = np.median(np.reshape(found["seconds"], [-1, BLOCK]), axis=1) * 1e6
        cells = [parts.spread(blocks, 0), f"{blocks[0]:.0f}", f"{blocks[-1]:.0f}"]
        parts.row(batch, *cells, f"{found['megabytes']:.1f}")
        figures[str(batch)] = {"us": blocks.tolist(), "megabytes": found["megabytes"]}
    return figures


def _stream(batch: int) -> dict[str, Any]:
    model = LSTMKalman(3, 3, seed=0)
    _, y = simulate(batch, (0, 1, 2), 0, STEPS + WARMUP)
    y = np.ascontiguousarray(np.swapaxes(y, 0, 1).astype("float32"))
    step = tf.function(model.step, autograph=False)
    state, process, seconds = model.initial_state(batch), psutil.Process(), []
    for t, value in enumerate(y):
        if t == WARMUP:
            before = process.memory_info().rss
        started = time.perf_counter()
        state, mean, covariance = step(state, tf.constant(value))
        mean.numpy(), covariance.numpy()
        seconds.append(time.perf_counter() - started)
    grown = (process.memory_info().rss - before) / 2**20
    assert step.experimental_get_tracing_count() == 1
    return {"seconds": seconds[WARMUP:], "megabytes": grown}
