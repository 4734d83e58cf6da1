"""What the panels show of latent variables: walks along one, the plane of two, rows given back.

References:
    Kingma & Welling 2014, figure 4 (the manifold); Higgins et al. 2017, figure 1 (traversals);
    Burda et al. 2016, section 5.2 (active units).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tfbdl.errors import ModelError
from tfbdl.pictures import image_shape
from tfbdl.remembered import remember

from .panel import ManifoldControls, ReconstructionControls, TraversalControls

MOST_ROWS = 200
STOPS = 11
MOST_LATENTS = 10  # of the overview
ELBO_DRAWS = 20
ACTIVE = 0.01
"""A unit is active where the variance over rows of its mean is above this (Burda et al. 2016)."""

Arrays = dict[str, np.ndarray]


def latent_traversal(fit: Any, controls: TraversalControls) -> Arrays:
    """What a row's code decodes to as one latent dimension moves, and each of the others.

    Returns:
        ``original``: the row; ``stops [11]``: where the latent goes, in standard deviations of the
        prior (of the autoencoder, which has none: of the rows' codes); ``walk [11, ...]``;
        ``dimension`` and ``dimensions``: which latent moves, of how many, the busiest first;
        ``latent [m]`` and ``overview [m, 11, ...]``: the same of the ten busiest; ``row_index``.
    """
    view = remember(fit.model, "view", lambda: View.of(fit))
    place = min(controls.dimension, len(view.order) - 1)
    index = controls.row % len(view.rows)
    stops = np.linspace(-controls.reach, controls.reach, STOPS)
    points = remember(fit.model, ("quantiles", STOPS, controls.reach), lambda: view.at(fit, stops))
    shown = list(dict.fromkeys([view.order[place], *view.order[:MOST_LATENTS]]))
    codes = np.tile(view.codes[index], (len(shown), STOPS, 1))
    for i, latent in enumerate(shown):
        codes[i, :, latent] = points[:, latent]
    decoded = _decoded(fit.model, codes.reshape(len(shown) * STOPS, -1), view.rows.shape[1:])
    walks = decoded.reshape(len(shown), STOPS, *view.rows.shape[1:])
    overview = [shown.index(latent) for latent in view.order[:MOST_LATENTS]]
    return {
        **view.picture(view.rows[index][np.newaxis], "original"),
        **view.picture(walks[0], "walk"),
        **view.picture(walks[overview], "overview", leading=2),
        "stops": stops,
        "dimension": np.array(view.order[place]),
        "place": np.array(place),
        "dimensions": np.array(len(view.order)),
        "latent": np.array(view.order[:MOST_LATENTS]),
        "row_index": np.array(index),
        "unit": np.array("the prior" if view.has_prior else "the codes"),
        "is_image": np.array(view.shape is not None),
    }


def manifold(fit: Any, controls: ManifoldControls) -> Arrays:
    """What a plane of codes decodes to, and where rows lie in it.

    Returns:
        ``grid [steps * steps, ...]`` of decoded rows, the second latent falling from above, the
        first rising to the right; ``first [steps]`` and ``second [steps]``: their values;
        ``latents [2]``: which; ``codes [n, 2]`` of at most 200 rows with their ``label [n]``.
    """
    view = remember(fit.model, "view", lambda: View.of(fit))
    steps, model = controls.steps, fit.model
    pair = sorted(view.order[:2]) if len(view.order) > 1 else [0, 0]
    levels = stats.norm.ppf((np.arange(steps) + 0.5) / steps)
    points = remember(model, ("quantiles", steps), lambda: view.at(fit, levels))
    centre = remember(model, "centre", lambda: view.at(fit, np.zeros(1))[0])
    codes = np.tile(centre, (steps, steps, 1))
    codes[..., pair[1]] = points[::-1, pair[1], np.newaxis]
    codes[..., pair[0]] = points[:, pair[0]]
    rows = _decoded(model, codes.reshape(steps * steps, -1), view.rows.shape[1:])
    return {
        **view.picture(rows, "grid"),
        "first": points[:, pair[0]],
        "second": points[::-1, pair[1]],
        "latents": np.array(pair),
        "dimensions": np.array(len(view.order)),
        "codes": view.codes[:, pair],
        "label": view.labels,
        "is_image": np.array(view.shape is not None),
        "unit": np.array("the prior" if view.has_prior else "the codes"),
        "column": np.array(controls.column),
    }


def reconstructions(fit: Any, controls: ReconstructionControls) -> Arrays:
    """Rows, what the model gives back of them, and the parts of each row's bound.

    Returns:
        ``original [n, ...]``, ``given_back [n, ...]``, ``reconstruction [n]`` in nats, and of a VAE
        ``kl [n]`` and by latent ``kl_parts [n, d]``; ``mean_kl [d]`` and ``active [d]`` over at
        most 200 rows. A vector-quantised model has ``commitment [n]`` instead.
    """
    view = remember(fit.model, "view", lambda: View.of(fit))
    model = fit.model
    chosen = (controls.first + np.arange(controls.rows)) % len(view.rows)
    x = view.rows[chosen[: len(view.rows)]]
    said: Arrays = {
        **view.picture(x, "original"),
        **view.picture(_as_rows(model.reconstruct(x), x.shape), "given_back"),
        "row_index": chosen[: len(view.rows)],
        "is_image": np.array(view.shape is not None),
    }
    if hasattr(model, "elbo_parts"):
        said |= model.elbo_parts(x, draws=ELBO_DRAWS, seed=0)
    else:
        scores = model.scores(x)
        said |= {n: scores[n] for n in ("reconstruction", "commitment") if n in scores}
    if view.mean_kl is not None:
        said |= {"mean_kl": view.mean_kl, "active": view.spread > ACTIVE}
    return said


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Some rows of the run's data, their codes, and which latents they use.

    Attributes:
        rows: ``[n, ...]``, test rows where there are any; draws of the prior where the data are
            not known.
        labels: ``[n]``, texts; empty ones without classes.
        codes: ``[n, d]``; ``[n, 0]`` where codes are no vectors.
        order: Latent dimensions, the busiest first.
        mean_kl: ``[d]`` nats, or None where the KL does not part.
        spread: ``[d]``, the variance over rows of each code.
        shape: Of a row as an image, or None.
        centre, scale: ``[columns]`` of the training data, for rows that are no images.
    """

    rows: np.ndarray
    labels: np.ndarray
    codes: np.ndarray
    order: list[int]
    mean_kl: np.ndarray | None
    spread: np.ndarray
    shape: tuple[int, ...] | None
    centre: np.ndarray
    scale: np.ndarray
    has_prior: bool

    @classmethod
    def of(cls, fit: Any) -> View:
        """The view of a fit."""
        model, info = fit.model, fit.info
        rows, labels = _rows_of(fit)
        codes = model.codes(rows)
        vectors = np.issubdtype(codes.dtype, np.floating) and codes.ndim == 2
        codes = codes if vectors else np.zeros((len(rows), 0))
        mean_kl, spread = None, codes.var(axis=0)
        if vectors and getattr(model, "kl_parts", 0) == model.latent_dim:
            mean_kl = model.kl_per_dimension(rows)
        busy = spread if mean_kl is None else mean_kl
        width = int(np.prod(rows.shape[1:]))
        known = info is not None and info.x_mean is not None and len(info.x_mean) == width
        return cls(
            rows=rows,
            labels=labels,
            codes=codes,
            order=[int(j) for j in np.argsort(-busy, kind="stable")],
            mean_kl=mean_kl,
            spread=spread,
            shape=image_shape(rows.shape[1:], getattr(info, "feature_names", None)),
            centre=np.asarray(info.x_mean) if known else np.zeros(width),
            scale=np.asarray(info.x_std) if known else np.ones(width),
            has_prior=hasattr(model, "elbo_parts"),
        )

    def at(self, fit: Any, deviations: np.ndarray) -> np.ndarray:
        """Each latent at so many standard deviations of a normal: ``[len(deviations), d]``.

        By the prior's quantiles; without a prior, from mean and deviation of the rows' codes.
        """
        if self.has_prior:
            quantiles = fit.model.prior_quantiles(stats.norm.cdf(deviations))
            return np.array(quantiles, dtype=np.float64)
        spread = np.sqrt(self.spread)
        return self.codes.mean(axis=0) + deviations[:, np.newaxis] * spread

    def picture(self, rows: np.ndarray, name: str, leading: int = 1) -> Arrays:
        """Rows as images, or flat with each column in its own standard deviations."""
        first = rows.shape[:leading]
        if self.shape is not None:
            return {name: rows.reshape(*first, *self.shape)}
        flat = rows.reshape(*first, -1)
        scale = np.where(self.scale > 0, self.scale, 1.0)
        return {name: (flat - self.centre) / scale}


def _rows_of(fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """At most 200 rows, evenly spaced, and their labels."""
    data = fit.dataset()
    if data is None or (data.x is None and data.x_test is None):
        if not hasattr(fit.model, "sample"):
            raise ModelError(
                f"A {type(fit.model).__name__} is shown at rows of its data. Expected: a run on "
                "data that are given by name. Received: other data, which no run stores."
            )
        rows = np.asarray(fit.model.sample(MOST_ROWS, seed=0))
        return rows, np.full(len(rows), "")
    tested = data.x_test is not None
    x, y = (data.x_test, data.y_test) if tested else (data.x, data.y)
    step = -(-len(x) // MOST_ROWS)
    x = np.asarray(x[::step])
    names = data.info.class_names
    if y is None or data.info.task != "classification":
        return x, np.full(len(x), "")
    y = y[::step]
    return x, np.array([str(label if names is None else names[int(label)]) for label in y])


def _decoded(model: Any, codes: np.ndarray, row: tuple[int, ...]) -> np.ndarray:
    """``E[x | z]`` of codes, in the shape of rows."""
    return _as_rows(model.mean_at(codes), (len(codes), *row))


def _as_rows(means: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Conditional means in the shape of rows; of labels, the mean label of their probabilities."""
    if means.size != np.prod(shape):
        means = means @ np.arange(means.shape[-1], dtype=means.dtype)
    return np.asarray(means).reshape(shape)
