"""What the panel of hidden Markov models shows: which state each step was probably in.

References:
    Rabiner 1989, sections III.A and III.B; Bishop 2006, section 13.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import ModelError
from tfbdl.remembered import remember

from .panel import StatesControls

Arrays = dict[str, np.ndarray]


def states(fit: Any, controls: StatesControls) -> Arrays:
    """State probabilities over a window of a sequence, smoothed and filtered, and the best path.

    Returns:
        ``step [w]``; ``observed [w, d]`` (symbols ``[w, 1]``); ``smoothed [w, k]``, ``filtered
        [w, k]``; ``path [w]``; ``transition [k, k]``; ``level [k]``: of Gaussian observations the
        state's mean in the column that is drawn; ``length``, ``sequences``, ``sequence``,
        ``column``; ``changed``: the share of steps at which the two probabilities name another
        state.

    Raises:
        ModelError: If the data of the run are not known.
    """
    known = remember(fit.model, "sequences", lambda: _sequences_of(fit))
    index = controls.sequence % len(known)
    said = remember(fit.model, ("states", index), lambda: _probabilities(fit.model, known[index]))
    length = len(said["path"])
    width = min(controls.window, length)
    first = round(controls.position * (length - width))
    shown = slice(first, first + width)
    column = controls.column % said["observed"].shape[1]
    means = fit.model.fitted().get("means")
    return {
        "step": np.arange(first, first + width),
        **{n: said[n][shown] for n in ("observed", "smoothed", "filtered", "path")},
        "transition": np.asarray(fit.model.transition_),
        "level": np.zeros(0) if means is None else np.asarray(means)[:, column],
        "length": np.array(length),
        "sequence": np.array(index),
        "sequences": np.array(len(known)),
        "column": np.array(column),
        "changed": np.mean(said["smoothed"].argmax(axis=1) != said["filtered"].argmax(axis=1)),
        "shown": np.array(controls.probabilities),
    }


def _sequences_of(fit: Any) -> list[np.ndarray]:
    """The sequences of training, each ``[T, d]`` or of symbols ``[T]``."""
    data = fit.dataset()
    if data is None:
        raise ModelError(
            "States are of the steps of a sequence. Expected: a run on data that are given by "
            "name. Received: other data, which no run stores."
        )
    y = np.asarray(data.in_memory().x)
    single = 1 if fit.model.options.emission == "categorical" else 2
    return [y] if y.ndim <= single else list(y)


def _probabilities(model: Any, y: np.ndarray) -> Arrays:
    return {
        "observed": np.asarray(y, np.float64).reshape(len(y), -1),
        "smoothed": model.posterior_marginals(y),
        "filtered": model.filter(y),
        "path": model.viterbi(y),
    }
