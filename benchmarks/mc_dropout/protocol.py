"""The protocol of Gal & Ghahramani: which net, which grid, chosen by what, scored how.

One hidden layer of 50 units, dropout before each layer, so of the inputs too; noise of fixed
precision tau in the units of the targets. Rate and tau are the pair with the largest predictive log
likelihood on a fifth of the training rows, which the nets of the search are not trained on; the net
that is tested is trained on all of them.

References:
    Gal & Ghahramani 2016, "Dropout as a Bayesian Approximation", section 5.2, and the authors'
    code, https://github.com/yaringal/DropoutUncertaintyExps, which the grid is from.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

import tfbdl
from tfbdl.data import DataInfo, Dataset, as_dataset

HIDDEN = 50
LENGTH_SCALE = 1e-2
MASKS = 10_000
VALIDATION = 0.2
RATES = (0.005, 0.01, 0.05, 0.1)
TAUS = {  # a set's precisions of the noise, in its own units
    "boston": (0.1, 0.15, 0.2),
    "concrete": (0.025, 0.05, 0.075),
    "yacht": (0.25, 0.5, 0.75),
}


class Choice(NamedTuple):
    """A rate of dropout, a precision, and the log likelihood of validation rows under them."""

    rate: float
    tau: float
    log_likelihood: float


def network(info: DataInfo, rate: float, tau: float) -> tfbdl.BayesianNetwork:
    """The net for data with these moments, and its noise.

    Args:
        info: Of the training rows, of one target.
        rate: Share of inputs and of hidden units that is dropped.
        tau: Precision of the noise of a target, in one over its squared units.
    """
    (mean,), (deviation,) = info.y_mean or (), info.y_std or ()
    variance = [std**2 for std in info.x_std or ()]
    net = keras.Sequential(
        [
            keras.Input(info.x_shape),
            keras.layers.Normalization(mean=list(info.x_mean or ()), variance=variance),
            keras.layers.Dropout(rate),
            keras.layers.Dense(HIDDEN, "relu"),
            keras.layers.Dropout(rate),
            keras.layers.Dense(1),
        ]
    )
    noise = tfbdl.likelihoods.Gaussian(
        scale=tau**-0.5 / deviation, target_mean=mean, target_scale=deviation
    )
    return tfbdl.BayesianNetwork(net, noise)


def fitted(data: Dataset, rate: float, tau: float, seed: int, **options: Any) -> tfbdl.Fit:
    """Train on the training rows of ``data`` and score its other rows.

    Args:
        data: With test rows, or rows to validate on in their place.
        rate, tau: See ``network``.
        seed: Of weights, order and masks.
        **options: Of the engine, beside the length scale.
    """
    return tfbdl.fit(
        network(data.info, rate, tau),
        data,
        engine="mc_dropout",
        engine_options={"length_scale": LENGTH_SCALE, **options},
        seed=seed,
    )


def choose(
    data: Dataset,
    taus: Iterable[float],
    seed: int,
    rates: Iterable[float] = RATES,
    **options: Any,
) -> list[Choice]:
    """Try each pair on a validation part of the training rows; the best comes first.

    Args:
        data: Whose test rows are left unread.
        taus, rates: The grid.
        seed: Of the part and of the fits.
        **options: Of the engine.
    """
    order = np.random.default_rng(seed).permutation(len(data.x))
    held_out = order[: round(VALIDATION * len(order))]
    part = as_dataset((data.x, data.y), task="regression").hold_out(held_out)
    tried = [
        Choice(rate, tau, -fitted(part, rate, tau, seed, **options).metrics["nll"])
        for rate, tau in itertools.product(rates, taus)
    ]
    return sorted(tried, key=lambda choice: choice.log_likelihood, reverse=True)


def scores(fit: tfbdl.Fit, data: Dataset, masks: int = MASKS) -> dict[str, float]:
    """RMSE and mean predictive log likelihood of the test rows, over masks and without any.

    The log likelihood of a row is ``logsumexp_t(-tau/2 (y - f_t)^2) - log T - 1/2 log 2 pi + 1/2
    log tau``. Without masks, the net is the plain one with weights scaled by dropout.
    """
    x, y = data.x_test, np.asarray(data.y_test).ravel()
    p = fit.predict(x, draws=masks)
    likelihood, outputs = fit.model.likelihood, fit.model.net(x)
    plain = likelihood.mean(outputs).numpy().ravel()
    return {
        "rmse": _rmse(p.mean.ravel() - y),
        "ll": float(p.log_prob(y).mean()),
        "rmse without masks": _rmse(plain - y),
        "ll without masks": float(np.mean(likelihood.log_prob(outputs, y))),
    }


def _rmse(residuals: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(residuals, dtype=np.float64))))
