"""Automatic relevance determination: a prior precision for each column, by evidence.

With ``basis='gaussian'`` and ``centers='rows'`` this is the relevance vector machine.

References:
    MacKay 1994; Tipping 2001; Bishop 2006, section 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tfbdl import Capability
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import Dataset

from . import relevance, roots
from .config import ArdOptions
from .regression import BasisRegression
from .solution import Solution


class Ard(BasisRegression):
    """``w_i ~ N(0, 1 / alpha_i)``, each alpha where the evidence is largest; many are infinite.

    Fitted arrays: ``alpha_`` ``[M]``, ``relevant_`` (which columns are kept, ``[M]``), ``beta_``,
    ``weights_``, ``intercept_``, ``root_``, ``count_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EXACT})
    default_engine: ClassVar[str] = "exact"
    options: ArdOptions
    _converged = True

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; the precisions are those of all rows so far.

        Raises:
            DataError: If the rows are none of a regression, or not like those before.
        """
        root, count = roots.extended(self.params, *self.columns_and_targets(data))
        known = {"root": root, "count": np.asarray(count)} | self.basis.state()
        own, parts = self.options, self._parts_of(root)
        found = relevance.search(
            parts.columns,
            parts.targets,
            roots.counted(parts, count, own.intercept),
            beta=own.beta,
            alpha_max=own.alpha_max,
            tolerance=own.tolerance,
            steps=own.steps,
        )
        self._converged = found.converged
        self.assign(
            known
            | {
                "alpha": found.alpha,
                "relevant": np.isfinite(found.alpha),
                "beta": np.asarray(found.beta),
            }
        )
        solution = self._solution
        learned = {"weights": solution.mean.reshape(-1, *self.target_shape)}
        if own.intercept:
            learned["intercept"] = solution.intercept.reshape(self.target_shape)
        self.assign(self.params | learned)
        return self.posterior

    @property
    def posterior(self) -> ClosedFormPosterior:
        """The posterior at these precisions; pruned weights are zero, without variance.

        Raises:
            ModelError: If the model was not fitted.
        """
        self.fitted()
        return self._solution.posterior()

    def figures(self) -> Mapping[str, float]:
        """``log_evidence`` in nats, ``beta``, and how many columns are ``relevant``."""
        params = self.fitted()
        return {
            "log_evidence": self._weights.log_evidence,
            "beta": float(params["beta"]),
            "relevant": float(params["relevant"].sum()),
        }

    def notices(self) -> list[str]:
        """Of a search that was cut short, and of a model without columns."""
        found = []
        if not self._converged:
            found.append(
                f"The precisions were still moving after {self.options.steps} steps. Give the "
                "model option steps a larger number, or tolerance."
            )
        if not self.params["relevant"].any():
            found.append("No column is relevant: every weight is zero.")
        return found

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        for name in ("_solution", "_weights"):
            self.__dict__.pop(name, None)
        super().assign(params)

    def _parts_of(self, root: np.ndarray) -> roots.Centred:
        return roots.parts(root, self.basis.num_columns, self.options.intercept)

    @cached_property
    def _weights(self) -> relevance.Posterior:
        """Of the columns that are kept."""
        params, parts = self.params, self._parts_of(self.params["root"])
        kept = params["relevant"]
        return relevance.posterior(
            parts.columns[:, kept],
            parts.targets,
            params["alpha"][kept],
            float(params["beta"]),
            roots.counted(parts, float(params["count"]), self.options.intercept),
        )

    @cached_property
    def _solution(self) -> Solution:
        parts, kept = self._parts_of(self.params["root"]), np.flatnonzero(self.params["relevant"])
        mean = np.zeros((self.basis.num_columns, self.num_targets))
        covariance = np.zeros((len(mean), len(mean)))
        mean[kept] = self._weights.mean
        covariance[np.ix_(kept, kept)] = self._weights.covariance
        return Solution(
            model=self,
            mean=mean,
            covariance=covariance,
            column_means=parts.column_means,
            target_means=parts.target_means,
            count=float(self.params["count"]),
            beta=float(self.params["beta"]),
        )
