"""Closed forms: a posterior, or a maximum of the likelihood, without iterations over the data."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.protocols import Context, EngineResult

from .em_config import ExactOptions
from .results import result_of, rows_of


class Exact:
    """The engine ``exact``: the model is conditioned on the data, all at once or in turn.

    Args:
        options: See ExactOptions.
    """

    def __init__(self, options: ExactOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Condition the model on the data.

        Raises:
            DataError: If the model cannot be conditioned on them.
        """
        if data is None:
            return result_of(model, {}, {}, model.condition(None))
        rows = rows_of(model, data)
        total = len(tf.nest.flatten(rows.x)[0])
        size = self.options.batch_size or total
        history: dict[str, list[float]] = {}
        posterior = None
        for start in range(0, total, size):
            posterior = model.condition(rows.part(slice(start, start + size)))
            figures = {n: float(v) for n, v in getattr(model, "figures", dict)().items()}
            for name, value in figures.items():
                history.setdefault(name, []).append(value)
            if context.on_step is not None:
                done = min(start + size, total)
                context.on_step({"step": done, "steps": total, **figures})
        return result_of(model, history, {}, posterior)
