"""Missing values by probabilistic PCA: of digits, and of rows drawn from a fit to them."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import tfbdl
from benchmarks.parts import header, row, spread

SEEDS = range(3)
SIZES = (2, 5, 10, 20, 30)
SHARE = 0.2  # of the values, missing at random
TOLERANCE = 1e-5
DENSITIES = ("log density, em", "log density, filled")


def imputation() -> dict[str, Any]:
    """RMSE of imputed grey values, with all pixels that vary and with those that vary much.

    The last two columns are log densities of what was observed of a row, in nats.
    """
    columns = ("`em` with gaps", "column means", "rows filled", "seconds")
    header("pixels", "`latent_dim`", *columns, "log density, `em`", "rows filled")
    x = load_digits().data
    varied = x[:, x.std(axis=0) > 0.0]
    rare = x[:, x.std(axis=0) >= 1.0]
    figures = {}
    for table, sizes in ((varied, SIZES), (rare, (20, 30))):
        for size in sizes:
            found = [_impute(table, size, seed) for seed in SEEDS]
            names = ("em", "means", "filled")
            cells = [spread((one[name] for one in found), 2) for name in names]
            seconds = spread((one["seconds"] for one in found), 1)
            densities = [f"{np.median([one[n] for one in found]):.2f}" for n in DENSITIES]
            row(table.shape[1], size, *cells, seconds, *densities)
            figures[f"{table.shape[1]} pixels, {size} dimensions"] = found
    return figures


def drawn() -> dict[str, float]:
    """The same on 20,000 rows of which the true parameters are known."""
    x = load_digits().data
    true = tfbdl.fit("ppca", x[:, x.std(axis=0) > 0.0], model_options={"latent_dim": 30}).model
    found = _impute(true.sample(20_000, seed=0), 30, 0, true)
    header("`em` with gaps", "true parameters", "rows filled", "column means", "seconds")
    names = ("em", "true", "filled", "means")
    row(*(f"{found[name]:.3f}" for name in names), f"{found['seconds']:.1f}")
    return found


def _impute(x: np.ndarray, size: int, seed: int, true: Any = None) -> dict[str, float]:
    missing = np.random.default_rng(seed).random(x.shape) < SHARE
    gaps = np.where(missing, np.nan, x)
    means = np.where(missing, np.nanmean(gaps, axis=0), x)
    options = {"latent_dim": size}

    def error(filled: np.ndarray) -> float:
        return float(np.sqrt(np.mean((filled - x)[missing] ** 2)))

    with warnings.catch_warnings():
        # a pixel that is seldom other than zero may be constant once values are missing
        warnings.simplefilter("ignore", tfbdl.errors.TfbdlWarning)
        started = time.perf_counter()
        em = tfbdl.fit(
            "ppca",
            gaps,
            engine="em",
            model_options=options,
            engine_options={"tolerance": TOLERANCE},
            seed=seed,
        ).model
        seconds = time.perf_counter() - started
        filled = tfbdl.fit("ppca", means, model_options=options).model
    figures = {"seconds": seconds, "em": error(em.impute(gaps)), "means": error(means)}
    figures["filled"] = error(filled.impute(gaps))
    figures |= {
        n: float(m.log_prob(gaps).mean()) for n, m in zip(DENSITIES, (em, filled), strict=True)
    }
    return figures if true is None else figures | {"true": error(true.impute(gaps))}
