"""The task ``prior_density``: what a prior says of one element of a tensor, before any fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .. import distributions, random
from ..errors import ModelError
from . import marginals
from .tasks import FitsByRun

SHAPE = (10, 10)
HYPER_DRAWS, HYPER_DRAWS_OF_TENSORS = 200, 40
"""Over which a density is averaged; fewer where a whole tensor is drawn for each."""
DTYPE = "float32"


def prior_density(runs: FitsByRun, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The marginal density of one element under a prior.

    Parameters of the prior that have a hyperprior are averaged over it; others have the value at
    which they start.

    Args:
        runs: Not used.
        arguments: ``prior``, its name; ``options``, those that differ from their defaults.

    Returns:
        ``x`` and ``density`` ``[m]``; ``draws`` ``[n]``; ``shape``, of the tensor; ``note``, what
        else to know.

    Raises:
        UnknownNameError: If there is no such prior.
        OptionsError: If an option is not admitted.
        ModelError: If it is a prior of no tensor by itself.
    """
    del runs
    prior = distributions.prior(str(arguments.get("prior", "")), **(arguments.get("options") or {}))
    shape, parts, note = _parts(prior)
    index = (0,) * len(shape)
    count = -(-marginals.NUM_DRAWS // len(parts))
    each = [marginals.draws_of(part, index, seed, count) for seed, part in enumerate(parts)]
    draws = np.concatenate(each)
    grid = marginals.grid_over(draws)
    if marginals.element_of(parts[0], index) is None:
        averaged = marginals.histogram(draws, grid)
    else:
        exact = [marginals.density(part, index, grid, draws) for part in parts]
        averaged = np.mean(exact, axis=0)
    return {
        "x": grid,
        "density": averaged,
        "draws": draws,
        "shape": np.asarray(shape),
        "note": np.asarray(note),
    }


def _parts(prior: distributions.Prior) -> tuple[tuple[int, ...], list[Any], str]:
    """The tensor's shape, the distributions to average, and what to say of them."""
    failure: Exception | None = None
    for shape in (SHAPE, SHAPE[:1]):  # some priors are of vectors alone
        try:
            return shape, *_of_shape(prior, shape)
        except (ModelError, ValueError, TypeError) as error:
            failure = failure or error
    raise ModelError(
        f"The prior {prior.name!r} is of no tensor by itself, so it has no density to show. "
        f"{failure}"
    )


def _of_shape(prior: distributions.Prior, shape: tuple[int, ...]) -> tuple[list[Any], str]:
    learned = prior.parameters(shape, None, DTYPE)
    hyper = {name: item for name, item in learned.items() if item.prior is not None}
    if not hyper:
        note = ""
        if learned:
            note = f"Learned from the data: {', '.join(learned)}. Shown where they start."
        return [prior.distribution(shape, DTYPE)], note
    alone = marginals.element_of(prior.distribution(shape, DTYPE), (0,) * len(shape))
    count = HYPER_DRAWS_OF_TENSORS if alone is None else HYPER_DRAWS
    keys = {name: tf.bitcast(random.key(0, "hyper", name), tf.int32) for name in hyper}
    drawn = {name: item.prior.sample(count, seed=keys[name]) for name, item in hyper.items()}
    parts = [
        prior.distribution(shape, DTYPE, **{name: values[i] for name, values in drawn.items()})
        for i in range(count)
    ]
    return parts, f"Averaged over the hyperprior of: {', '.join(hyper)}."
