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

from . import evidence, relevance, roots
from .config import ArdOptions
from .regression import BasisRegression
from .ridge import Ridge, decompose
from .solution import Solution

AS_MANY = (
    "{kept} columns are kept, which can fit any targets of {rows:g} rows: what is found of the "
    "noise means little. Give beta, or more rows."
)


class Ard(BasisRegression):
    """``w_i ~ N(0, 1 / alpha_i)``, each alpha where the evidence is largest; many are infinite.

    Fitted arrays: ``alpha_`` ``[M]``, ``relevant_`` (which columns are kept, ``[M]``), ``beta_``,
    ``weights_``, ``intercept_``, ``root_``, ``count_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EXACT})
    default_engine: ClassVar[str] = "exact"
    options: ArdOptions
    _notices: tuple[str, ...] = ()

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; the precisions are those of all rows so far.

        Raises:
            DataError: If the rows are none of a regression, or not like those before.
        """
        root, count = roots.extended(self.params, *self.columns_and_targets(data))
        known = {"root": root, "count": np.asarray(count)} | self.basis.state()
        own, parts = self.options, self._parts_of(root, count)
        found = relevance.search(
            parts.columns,
            parts.targets,
            roots.counted(parts, count, own.intercept),
            beta=own.beta,
            alpha_max=own.alpha_max,
            tolerance=own.tolerance,
            steps=own.steps,
        )
        self._notices = self._notices_of(found, parts, count)
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
        """``log_evidence`` in nats, ``beta``, and how many columns are ``relevant``.

        With ``intercept`` the evidence is the density of the N centred targets, as in ``linear``.
        """
        params = self.fitted()
        return {
            "log_evidence": evidence.log_evidence(self._ridge.spectrum, 1.0, float(params["beta"])),
            "beta": float(params["beta"]),
            "relevant": float(params["relevant"].sum()),
        }

    def notices(self) -> list[str]:
        """Of a search that was cut short or has no end, and of a model without columns."""
        return list(self._notices)

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        for name in ("_solution", "_ridge"):
            self.__dict__.pop(name, None)
        super().assign(params)

    def _notices_of(
        self, found: relevance.Relevance, parts: roots.Centred, count: float
    ) -> tuple[str, ...]:
        notices = [found.notice] if found.notice else []
        kept = int(np.isfinite(found.alpha).sum())
        if self.options.beta is None and kept >= count - self.options.intercept > 0 < kept:
            notices.append(AS_MANY.format(kept=kept, rows=count))
        if not found.converged:
            notices.append(
                f"The precisions were still moving after {self.options.steps} steps. Give the "
                "model option steps a larger number, or tolerance."
            )
        elif not found.notice and np.isinf(found.alpha).all():
            notices.append("No column is relevant: every weight is zero.")
        return (*notices, *roots.constant_columns(parts, count, self.options.intercept))

    def _parts_of(self, root: np.ndarray, count: float) -> roots.Centred:
        return roots.parts(root, self.basis.num_columns, self.options.intercept, count)

    @cached_property
    def _ridge(self) -> Ridge:
        """Of the columns that are kept, each with its own precision: whitened, alpha is one."""
        params, count = self.params, float(self.params["count"])
        parts, kept = self._parts_of(params["root"], count), params["relevant"]
        factor = np.diag(1.0 / np.sqrt(params["alpha"][kept]))
        return decompose(parts.columns[:, kept], parts.targets, count, factor=factor)

    @cached_property
    def _solution(self) -> Solution:
        count, beta = float(self.params["count"]), float(self.params["beta"])
        parts = self._parts_of(self.params["root"], count)
        kept = np.flatnonzero(self.params["relevant"])
        mean = np.zeros((self.basis.num_columns, self.num_targets))
        root = np.zeros((len(mean), len(kept)))
        mean[kept], root[kept] = self._ridge.mean(1.0, beta), self._ridge.root(1.0, beta)
        return Solution(
            model=self,
            mean=mean,
            root=root,
            column_means=parts.column_means,
            target_means=parts.target_means,
            count=count,
            beta=beta,
        )
