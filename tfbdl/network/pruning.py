"""Signal-to-noise ratios of weights, and networks without their noisiest ones.

References:
    Blundell et al. 2015, section 5.1 and table 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, OptionsError

if TYPE_CHECKING:
    from .model import BayesianNetwork


def signal_to_noise(model: BayesianNetwork) -> dict[str, np.ndarray]:
    """``|mean| / stddev`` of each random weight; 0 for a weight that is pruned already."""
    mean, stddev = model.surrogate.mean(), model.surrogate.stddev()
    ratios = {}
    for name in model.weight_sites():
        mu, sigma = np.abs(mean[name].numpy()), stddev[name].numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[name] = np.where(mu == 0.0, 0.0, mu / sigma)
    return ratios


def prune(model: BayesianNetwork, fraction: float) -> BayesianNetwork:
    """A copy in which the weights with the lowest signal-to-noise ratio are exactly zero.

    Raises:
        OptionsError: If ``fraction`` is not from 0 to 1.
        ModelError: If the posterior is not ``mean_field``.
    """
    if not 0.0 <= fraction <= 1.0:
        raise OptionsError(f"fraction must be from 0 to 1. Received: {fraction!r}.")
    if model.posterior_family != "mean_field":
        raise ModelError(
            "prune ranks weights by their own scales and needs posterior='mean_field'. "
            f"Received: a model with posterior={model.posterior_family!r}."
        )
    pruned = model.clone(posterior_options={**model.posterior_options, "masked": True})
    ratios = signal_to_noise(model)
    order = np.argsort(np.concatenate([ratio.ravel() for ratio in ratios.values()]), kind="stable")
    kept = np.ones(order.size, bool)
    kept[order[: round(fraction * order.size)]] = False
    ends = np.cumsum([ratio.size for ratio in ratios.values()])
    for (name, ratio), end in zip(ratios.items(), ends, strict=True):
        mask = pruned.surrogate.masks[name]  # what was pruned before stays so
        mask.assign(mask.numpy() * kept[end - ratio.size : end].reshape(ratio.shape))
    return pruned
