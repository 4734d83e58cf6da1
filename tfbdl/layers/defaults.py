"""The functions that layers take where the user gives none: those of TFP."""

from __future__ import annotations

from .divergences import KLDivergence
from .sampling import Sample
from .weight_functions import MeanFieldNormal, default_multivariate_normal_fn

POSTERIOR = MeanFieldNormal()
POINT = MeanFieldNormal(is_singular=True)
PRIOR = default_multivariate_normal_fn
DRAW = Sample()
DIVERGENCE = KLDivergence()
