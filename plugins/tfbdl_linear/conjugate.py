"""Conjugate families: posterior, evidence and predictive distribution in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import Capability, random
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.parametric import ParametricModel

from .conjugate_config import ConjugateOptions
from .conjugate_counts import (
    BetaBinomial,
    DirichletCategorical,
    DirichletMultinomial,
    GammaPoisson,
)
from .conjugate_family import Family
from .conjugate_normal import NormalGamma, NormalInverseWishart

FAMILIES: Mapping[str, type[Family]] = {
    "normal_inverse_wishart": NormalInverseWishart,
    "normal_gamma": NormalGamma,
    "beta_bernoulli": BetaBinomial,
    "beta_binomial": BetaBinomial,
    "dirichlet_categorical": DirichletCategorical,
    "dirichlet_multinomial": DirichletMultinomial,
    "gamma_poisson": GammaPoisson,
}
EVIDENCE = "log_evidence"
_OWN = (EVIDENCE, "num_rows", "num_columns")


class Conjugate(ParametricModel):
    """Rows that are independent given the parameters of a family with its conjugate prior.

    After a fit its hyperparameters are attributes: ``alpha_`` and ``beta_`` (beta priors),
    ``alpha_`` (Dirichlet), ``shape_`` and ``rate_`` (gamma), ``mean_ kappa_ nu_ scale_``
    (normal-inverse-Wishart), ``mean_ kappa_ shape_ rate_`` (normal-gamma); ``log_evidence_`` is
    that of all rows so far, and ``num_rows_`` their number.
    """

    options_class = ConjugateOptions
    capabilities = frozenset({Capability.EXACT})
    default_engine = "exact"

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; the posterior before them is the prior.

        Raises:
            DataError: If the family cannot have produced them, they have another number of columns
                than those before, or weights.
            OptionsError: If a hyperparameter does not fit them.
        """
        data = data.in_memory()
        if data.sample_weight is not None:
            raise DataError("conjugate counts each row once. Received: a sample_weight.")
        x = self._rows(data.x)
        family = self._family_for(x)
        family.check(x)
        if self.params:
            family.check_later()
        before = self._hyperparameters() or family.prior(x)
        after = family.update(before, x)
        evidence = family.log_evidence(before, x) + float(self.params.get(EVIDENCE, 0.0))
        rows = len(x) + int(self.params.get("num_rows", 0))
        self.assign({**after, EVIDENCE: evidence, "num_rows": rows, "num_columns": x.shape[1]})
        return self.posterior

    @property
    def posterior(self) -> ClosedFormPosterior:
        """Of the likelihood's parameters: ``probs``, ``rate``, ``mean``, ``covariance``...

        Raises:
            ModelError: If the model is not fitted.
        """
        self.fitted()
        return self.family.posterior(self._hyperparameters())

    @cached_property
    def family(self) -> Family:
        """The family of the rows that were seen."""
        columns = int(self.fitted()["num_columns"])
        return FAMILIES[self.options.family](self.options, columns)

    def figures(self) -> Mapping[str, float]:
        """``log_evidence``: log p(all rows so far), in nats."""
        return {EVIDENCE: float(self.fitted()[EVIDENCE])}

    def log_prob(self, x: Any) -> np.ndarray:
        """Log predictive density of each row by itself, in nats: ``[n]``.

        Args:
            x: ``[n, d]``, or ``[n]`` for one column; a row of ``dirichlet_multinomial`` is given
                its sum.

        Raises:
            ModelError: If the model is not fitted.
            DataError: If the family cannot have produced x.
        """
        self.fitted()
        x = self._rows(x)
        family = self._family_for(x)
        family.check(x)
        return family.log_prob(self._hyperparameters(), x)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw rows of the predictive distribution, each of parameters of its own: ``[n, d]``.

        Args:
            n: At least 1.
            seed: Of the draws.

        Raises:
            ModelError: If the model is not fitted.
            OptionsError: If n is no such number, or the sum of a multinomial row is not known.
        """
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise OptionsError(f"n must be an integer of at least 1. Received: {n!r}.")
        key = tf.bitcast(random.key(seed, "conjugate"), tf.int32)
        return self.family.sample(self._hyperparameters(), int(n), key)

    def _hyperparameters(self) -> dict[str, np.ndarray]:
        return {name: value for name, value in self.params.items() if name not in _OWN}

    def _rows(self, x: Any) -> np.ndarray:
        """Rows ``[n, d]`` in float64."""
        if isinstance(x, Mapping):
            raise DataError(f"conjugate takes one array. Received: a mapping of {', '.join(x)}.")
        try:
            rows = np.asarray(x, np.float64)
        except (TypeError, ValueError):
            raise DataError(
                "Expected finite numbers of shape [n, d] or [n]. "
                f"Received: {type(x).__name__} {np.array2string(np.asarray(x), threshold=4)}."
            ) from None
        rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise DataError(
                f"Expected finite numbers of shape [n, d] or [n]. Received: shape {rows.shape}."
            )
        return rows

    def _family_for(self, x: np.ndarray) -> Family:
        if not self.params:
            return FAMILIES[self.options.family](self.options, x.shape[1])
        if x.shape[1] != self.family.dim:
            raise DataError(
                f"Expected rows of {self.family.dim} columns, as those before. "
                f"Received: {x.shape[1]}."
            )
        return self.family
