"""Split conformal prediction: the quantile that makes sets and intervals cover.

If the held-out rows and a new one are exchangeable, and neither was used in training, the new
row's score is at most the quantile with a probability of at least ``1 - alpha``, whatever the model
and the distribution; without ties also of at most ``1 - alpha + 1 / (n + 1)``. That is over the
draw of all rows: given the held-out ones, the coverage has the distribution Beta(k, n + 1 - k) with
``k = ceil((n + 1) (1 - alpha))`` (Vovk 2012).

References:
    Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 4.1.
    Vovk 2012, "Conditional validity of inductive conformal predictors".
    Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, "Distribution-free predictive inference for
    regression", section 2.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DataError, OptionsError, did_you_mean
from . import checks

ALPHA = 0.1


def conformal_quantile(scores: Any, alpha: float = ALPHA) -> Any:
    """The k-th smallest score with ``k = ceil((n + 1) (1 - alpha))``; infinite if ``k > n``.

    It is infinite with fewer than ``1 / alpha - 1`` rows (9 at 0.1, 19 at 0.05): nothing less
    would cover, and the sets and intervals made of it hold everything.

    Args:
        scores: Of held-out rows, the larger the worse the prediction was: ``[n]``, or ``[n, ...]``
            for one quantile each.
        alpha: Share of new rows that may have a larger score, in (0, 1).

    Returns:
        A number, or an array of the shape ``[...]``.

    Raises:
        DataError: If there is no score or one is NaN.
        OptionsError: If ``alpha`` is not in (0, 1).
    """
    alpha = checks.share(alpha, "alpha")
    scores = checks.array(scores, "Scores", finite=False)
    if scores.ndim == 0 or np.isnan(scores).any():
        raise DataError(f"Scores must be [n, ...], without NaN. Received: shape {scores.shape}.")
    n = len(scores)
    k = math.ceil((n + 1) * (1.0 - alpha) * (1.0 - 1e-12))  # rounding costs no row
    found = np.sort(scores, axis=0)[k - 1] if k <= n else np.full(scores.shape[1:], np.inf)
    return found if scores.ndim > 1 else float(found)


def check_score(score: Any, known: tuple[str, ...]) -> None:
    """Refuse the name of a score that there is not.

    Raises:
        OptionsError: With the nearest name.
    """
    if score not in known:
        raise OptionsError(
            f"No conformal score is named {score!r}.{did_you_mean(score, known)} "
            f"Expected one of: {', '.join(known)}."
        )
