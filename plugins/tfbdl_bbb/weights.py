"""What the panels say of a net's weights: signal to noise, densities, and nets without some.

References:
    Blundell et al. 2015, section 5.1, figures 3 and 4, table 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import Posterior, Predictive, random
from tfbdl.errors import ModelError
from tfbdl.remembered import remember

from .panel import ORDERS, PruningControls

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
MOST_ROWS = 1_000
DRAWS = (4, 32)  # at least, at most
PRODUCTS = 2e9  # multiplications of one evaluation, at about
BINS = 80
PRIOR_NUMBERS = 200_000

Arrays = dict[str, np.ndarray]


def pruning(fit: Any, controls: PruningControls) -> Arrays:
    """Signal to noise of all weights, and the figures of nets without the least of them.

    Returns:
        ``ratio [bin]`` and ``density [layer, bin]``: of ``|mean| / sd`` on a logarithmic axis, by
        ``layer``; ``cdf [bin]`` of all layers; ``cut``: the ratio up to which weights go (from
        which on, in the reversed order; NaN where no ratio parts them); ``removed``, ``weights``:
        numbers of weights; ``share [s]``, ``figure [order, s]``, ``nll [order, s]``: figures of
        pruned nets, with ``figure_name`` and ``order``; ``now``, ``whole [2]``: figure and nll of
        the chosen net and of the whole one. Where the data of the run are not known, the figures
        are missing.

    Raises:
        ModelError: If the posterior has no draws, or no spread.
    """
    weights = remember(fit.model, "weights", lambda: Weights.of(fit))
    rank = weights.rank(controls.order)
    count = round(controls.pruned * rank.size)
    said = {
        **weights.histograms(),
        "cut": np.array(_cut(weights.ratios, count, controls.order)),
        "removed": np.array(count),
        "weights": np.array(rank.size),
        "order": np.array(ORDERS),
        "chosen_order": np.array(controls.order),
        "share": np.array(SHARES),
    }
    rows = remember(fit.model, "rows", lambda: _rows_of(fit, weights.ratios.size))
    if rows is None:
        return said
    name, figures = remember(fit.model, "curves", lambda: _curves(fit, weights, rows))
    now = _figures(fit, weights, rows, rank >= count)
    return said | {
        "figure_name": np.array(name),
        "rows_name": np.array(rows.name),
        "rows": np.array(len(rows.y)),
        "figure": figures[:, :, 0],
        "nll": figures[:, :, 1],
        "now": np.array([now[name], now["nll"]]),
        "whole": figures[0, 0],
    }


def densities(fit: Any, controls: Any) -> Arrays:
    """Densities of all weights under the prior, under the posterior, and of posterior means.

    Returns:
        ``value [bin]``, ``density [3, bin]`` with ``curve [3]``; and by layer ``layer``, ``count``,
        ``mean_sd`` and ``median_ratio``.

    Raises:
        ModelError: If the posterior has no draws, or no spread.
    """
    weights = remember(fit.model, "weights", lambda: Weights.of(fit))
    prior = remember(fit.model, "prior draws", lambda: _prior_draws(fit))
    drawn = np.concatenate([weights.draws[name].ravel() for name in weights.names])
    reach = 1.05 * max(np.quantile(np.abs(drawn), 0.999), np.quantile(np.abs(prior), 0.9))
    edges = np.linspace(-reach, reach, BINS + 2)
    parts = {"prior": prior, "posterior": drawn, "posterior means": weights.means}
    layers = weights.layers
    return {
        "value": 0.5 * (edges[1:] + edges[:-1]),
        "curve": np.array(list(parts)),
        "density": np.stack([_density(part, edges) for part in parts.values()]),
        "layer": np.array(weights.names),
        "count": np.bincount(layers),
        "mean_sd": np.bincount(layers, weights.stddevs) / np.bincount(layers),
        "median_ratio": np.array(
            [np.median(weights.ratios[layers == i]) for i in range(len(weights.names))]
        ),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """All random weights of a net, flat, in the order of its sites.

    Attributes:
        names: Of the sites.
        layers: ``[P]``, the site of each weight.
        means, stddevs: ``[P]``, under the posterior.
        ratios: ``[P]``, ``|mean| / sd``.
        draws: Site name -> ``[S, ...]``, of the other sites of the posterior, too.
    """

    names: tuple[str, ...]
    layers: np.ndarray
    means: np.ndarray
    stddevs: np.ndarray
    ratios: np.ndarray
    draws: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, fit: Any) -> Weights:
        """The weights of a fit.

        Raises:
            ModelError: If the posterior has no draws, or no spread.
        """
        mean, stddev = fit.posterior.mean(), fit.posterior.stddev()
        names = tuple(name for name in fit.model.weight_sites() if name in mean)
        sizes = [mean[name].size for name in names]
        means, stddevs = (
            np.concatenate([part[name].ravel().astype(np.float64) for name in names])
            for part in (mean, stddev)
        )
        if not stddevs.any():
            raise ModelError(
                "A ratio of signal to noise needs weights with a spread. Expected a posterior "
                "such as mean_field, or draws. Received: a point for each weight."
            )
        rows = MOST_ROWS
        number = int(np.clip(PRODUCTS / (means.size * rows), *DRAWS))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(means == 0.0, 0.0, np.abs(means) / stddevs)
        return cls(
            names=names,
            layers=np.repeat(np.arange(len(names)), sizes),
            means=means,
            stddevs=stddevs,
            ratios=ratios,
            draws=fit.posterior.sample(number, seed=0),
        )

    def rank(self, order: str) -> np.ndarray:
        """The place of each weight, ``[P]``: those of the lowest places go first."""
        key = {
            "signal_to_noise": self.ratios,
            "magnitude": np.abs(self.means),
            "reversed": -self.ratios,
        }[order]
        places = np.empty(key.size, dtype=np.int64)
        places[np.argsort(key, kind="stable")] = np.arange(key.size)
        return places

    def kept(self, keep: np.ndarray) -> dict[str, np.ndarray]:
        """The draws with zeros in place of the weights that ``keep [P]`` leaves out."""
        drawn = dict(self.draws)
        for index, name in enumerate(self.names):
            mask = keep[self.layers == index].reshape(drawn[name].shape[1:])
            drawn[name] = drawn[name] * mask.astype(drawn[name].dtype)
        return drawn

    def histograms(self) -> Arrays:
        """See ``pruning``."""
        finite = self.ratios[np.isfinite(self.ratios) & (self.ratios > 0)]
        low, high = np.quantile(np.log10(finite), [0.01, 1.0]) if finite.size else (-1.0, 1.0)
        edges = np.linspace(low - 0.05, max(high, low + 0.1) + 0.05, BINS + 1)
        with np.errstate(divide="ignore"):
            places = np.clip(np.log10(self.ratios), edges[0], edges[-1])
        counts = np.stack(
            [np.histogram(places[self.layers == i], edges)[0] for i in range(len(self.names))]
        )
        return {
            "ratio": 10.0 ** (0.5 * (edges[1:] + edges[:-1])),
            "density": counts / (places.size * (edges[1] - edges[0])),
            "cdf": np.cumsum(counts.sum(axis=0)) / places.size,
            "layer": np.array(self.names),
        }


def _cut(ratios: np.ndarray, count: int, order: str) -> float:
    """The ratio at which weights that go meet those that stay; see ``pruning``."""
    if order == "magnitude" or not count:
        return float("nan")
    place = count - 1 if order == "signal_to_noise" else ratios.size - count
    return float(np.sort(ratios)[place])


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows with targets, that pruned nets are scored on."""

    name: str
    x: Any
    y: np.ndarray


def _rows_of(fit: Any, size: int) -> Rows | None:
    """At most 1,000 test rows, evenly spaced; else of those of training."""
    data = fit.dataset()
    if data is None:
        return None
    tested = data.y_test is not None
    x, y = (data.x_test, data.y_test) if tested else (data.x, data.y)
    if y is None:
        return None
    step = -(-len(y) // MOST_ROWS)
    return Rows(name="test" if tested else "training", x=x[::step], y=y[::step])


def _curves(fit: Any, weights: Weights, rows: Rows) -> tuple[str, np.ndarray]:
    """The figure's name, and ``[order, share, (figure, nll)]``."""
    name = "error" if fit.model.likelihood.is_classification else "rmse"
    figures = []
    for order in ORDERS:
        rank = weights.rank(order)
        kept = (rank >= round(share * rank.size) for share in SHARES)
        scored = (_figures(fit, weights, rows, keep) for keep in kept)
        figures.append([[one[name], one["nll"]] for one in scored])
    return name, np.array(figures)


def _figures(fit: Any, weights: Weights, rows: Rows, keep: np.ndarray) -> dict[str, float]:
    """nll, and rmse or error, of the net with the weights that ``keep [P]`` leaves."""
    drawn = weights.kept(keep)
    posterior = Posterior({name: value[np.newaxis] for name, value in drawn.items()})
    predictive = Predictive(fit.model, posterior, rows.x, posterior.num_draws)
    said = {"nll": float(-np.mean(predictive.log_prob(rows.y)))}
    if fit.model.likelihood.is_classification:
        probs, labels = predictive.class_pairs(rows.y)
        return said | {"error": float(np.mean(probs.argmax(axis=-1) != labels))}
    residual = predictive.mean - rows.y.reshape(predictive.mean.shape)
    return said | {"rmse": float(np.sqrt(np.mean(residual.astype(np.float64) ** 2)))}


def _prior_draws(fit: Any) -> np.ndarray:
    """Weights drawn from the prior, of all sites in the proportions of their sizes."""
    model = fit.model
    sites = model.weight_sites()
    times = max(1, PRIOR_NUMBERS // sum(int(np.prod(site.shape)) for site in sites.values()))
    learned = model.learned_values({})
    parts = []
    for name in sites:
        seed = tf.bitcast(random.key(0, "prior of weights", name), tf.int32)
        parts.append(np.ravel(model.prior_of(name, learned).sample(times, seed=seed)))
    return np.concatenate(parts)


def _density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A histogram whose bars add up to the share of values that lie within the edges."""
    counts = np.histogram(values, edges)[0]
    return np.asarray(counts / (values.size * (edges[1] - edges[0])))
