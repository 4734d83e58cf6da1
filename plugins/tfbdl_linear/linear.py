"""Bayesian linear regression in closed form, its precisions given or by evidence.

References:
    Bishop 2006, sections 3.3 to 3.5; MacKay 1992, Bayesian interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tfbdl import Capability
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import Dataset

from . import evidence, priors, ridge, roots
from .config import LinearOptions
from .density import JointDensity
from .priors import WeightPrior
from .solution import TOO_FEW, GammaPosterior, Solution


class Linear(JointDensity):
    """``t = w_0 + Phi(x) w + e``, ``w ~ N(m0, I / alpha)``, ``e ~ N(0, 1 / beta)``.

    Rows are kept as the triangular root of their products, so that the posterior given rows in
    turn is that given all at once. Fitted arrays: ``root_``, ``count_``, ``alpha_``, ``beta_``,
    ``weights_``, ``intercept_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EXACT, Capability.LOG_JOINT}
    )
    default_engine: ClassVar[str] = "exact"
    options: LinearOptions

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; what was seen before counts as if it came with them.

        Raises:
            DataError: If the rows are none of a regression, or not like those before.
            OptionsError: If m0 or S0 do not fit the columns, or columns at rows come in turn.
        """
        root, count = roots.extended(self.params, *self.columns_and_targets(data))
        self._learn(root, count)
        return self.posterior

    @property
    def posterior(self) -> ClosedFormPosterior:
        """The posterior given all rows so far; its ``predictive(x)`` is exact.

        Raises:
            ModelError: If there were none.
        """
        self.fitted()
        return self._posterior

    def figures(self) -> Mapping[str, float]:
        """``log_evidence`` (nats), ``alpha``, ``beta`` and ``gamma`` (Bishop 2006, 3.86, 3.91).

        With ``intercept`` the evidence is the density of the N centred targets, as in
        scikit-learn's BayesianRidge; with ``noise_prior='gamma'`` the intercept is integrated out
        under its flat prior. The engine ``laplace`` gives ``k log(2 pi / (N beta)) / 2`` more than
        the former, the integral over the intercept: the two are not to be compared.
        """
        alpha, beta = float(self.fitted()["alpha"]), float(self.fitted()["beta"])
        data = self._ridge.spectrum
        if self._conjugate:
            own = self.options
            figures = {
                "log_evidence": evidence.conjugate_log_evidence(data, alpha, own.c0, own.d0),
                "gamma": evidence.effective_parameters(data, alpha, 1.0),
            }
            if self.options.intercept:  # integrated out
                figures["log_evidence"] -= 0.5 * data.targets * math.log(self._count)
        else:
            figures = {
                "log_evidence": evidence.log_evidence(data, alpha, beta),
                "gamma": evidence.effective_parameters(data, alpha, beta),
            }
        free = {} if self.options.S0 is not None else {"alpha": alpha}
        return figures | free | {"beta": beta}

    def notices(self) -> list[str]:
        """Of a search without an end, noise without a variance, and columns that do not vary."""
        found = [self._notice] if self._notice else []
        if np.isinf(self._solution.noise_variance):
            found.append(TOO_FEW.format(rows=self._count))
        return found + roots.constant_columns(self._parts, self._count, self.options.intercept)

    def weight_prior(self) -> WeightPrior:
        """The prior of the closed form.

        A precision that is sought by evidence there has the prior Gamma(1e-6, rate 1e-6) here, and
        the noise of ``noise_prior='gamma'`` its own.
        """
        own = self.options
        wide = (1e-6, 1e-6)
        alpha = 1.0 if own.S0 is not None else (own.alpha or wide)
        beta = (own.c0, own.d0) if self._conjugate else (own.beta or wide)
        return WeightPrior(self._m0, self._factor, alpha, beta, scaled=self._conjugate)

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        new = params.get("root") is not self.params.get("root")
        for name in ("_solution", "_posterior", *(("_parts", "_ridge") if new else ())):
            self.__dict__.pop(name, None)
        super().assign(params)

    _notice = ""

    def _learn(self, root: np.ndarray, count: float) -> None:
        own = self.options
        known = {"root": root, "count": np.asarray(count)} | self.basis.state()
        self.assign(known)
        data = self._ridge.spectrum
        given = 1.0 if own.S0 is not None else own.alpha
        if not self._conjugate:
            counted = roots.counted(self._parts, count, own.intercept)
            found = evidence.largest_evidence(data._replace(rows=counted), given, own.beta)
        elif given is None:
            found = evidence.largest_conjugate_evidence(data, own.c0, own.d0)
        else:
            rate = evidence.conjugate_rate(data, given, own.d0)
            found = evidence.Precisions(given, evidence.conjugate_shape(data, own.c0) / rate)
        self._notice = found.notice
        self.assign(known | {"alpha": np.asarray(found.alpha), "beta": np.asarray(found.beta)})
        solution = self._solution
        learned = {"weights": solution.mean.reshape(-1, *self.target_shape)}
        if own.intercept:
            learned["intercept"] = solution.intercept.reshape(self.target_shape)
        self.assign(self.params | learned)

    @cached_property
    def _solution(self) -> Solution:
        """``N(m_N, S_N)`` (Bishop 2006, 3.50 and 3.51)."""
        alpha, beta = float(self.params["alpha"]), float(self.params["beta"])
        noise: float | GammaPosterior = beta
        if self._conjugate:
            rate = evidence.conjugate_rate(self._ridge.spectrum, alpha, self.options.d0)
            shape = evidence.conjugate_shape(self._ridge.spectrum, self.options.c0)
            noise = GammaPosterior(shape=shape, rate=rate)
        precision = 1.0 if self._conjugate else beta
        return Solution(
            model=self,
            mean=self._ridge.mean(alpha, precision),
            root=self._ridge.root(alpha, precision),
            column_means=self._parts.column_means,
            target_means=self._parts.target_means,
            count=self._count,
            beta=noise,
            scaled=self._conjugate,
        )

    @cached_property
    def _posterior(self) -> ClosedFormPosterior:
        return self._solution.posterior()

    @cached_property
    def _parts(self) -> roots.Centred:
        params = self.fitted()
        return roots.parts(
            params["root"], self.basis.num_columns, self.options.intercept, self._count
        )

    @cached_property
    def _ridge(self) -> ridge.Ridge:
        # of normal-inverse-gamma the intercept is integrated out
        out = float(self._conjugate and self.options.intercept)
        parts = self._parts
        return ridge.decompose(
            parts.columns, parts.targets, self._count - out, self._m0, self._factor
        )

    @property
    def _conjugate(self) -> bool:
        return self.options.noise_prior == "gamma"

    @property
    def _count(self) -> float:
        return float(self.params["count"])

    @cached_property
    def _m0(self) -> np.ndarray:
        """The prior mean ``[M]``."""
        return priors.prior_mean(self.options.m0, self.basis.num_columns)

    @cached_property
    def _factor(self) -> np.ndarray | None:
        """L with ``L L' = S0``; None where the prior covariance is the identity."""
        return priors.prior_factor(self.options.S0, self.basis.num_columns)
